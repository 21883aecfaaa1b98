import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  fileMediaType,
  fileTraitsOf,
  mediaTypeLengthMax,
  nanosecondsOf,
  rfc3339Text,
  secondsText,
  treeMediaType,
} from '../../src/protocol/index.ts'

const nothing = { mediaType: null, mtimeNs: null, isExecutable: false, tree: null }
/** The first nanosecond of the year 0, and the last of the year 9999. */
const [earliestNs, latestNs] = [-62_167_219_200_000_000_000n, 253_402_300_799_999_999_999n]
const times = fc.bigInt({ min: earliestNs, max: latestNs })

test('what belongs to a file comes back as it was written', () => {
  const types = fc.constantFrom(null, 'text/plain', 'image/svg+xml', `x/${'y'.repeat(300)}`)
  const arbitrary = fc.record({
    mediaType: types,
    mtimeNs: fc.option(times, { nil: null }),
    isExecutable: fc.boolean(),
  })
  fc.assert(
    fc.property(arbitrary, (file) => {
      const text = fileMediaType(file)
      const isUnknown = file.mediaType === null && file.mtimeNs === null && !file.isExecutable
      expect(text === undefined).toBe(isUnknown)
      expect(text?.length ?? 0).toBeLessThanOrEqual(mediaTypeLengthMax)
      const isKept = file.mediaType !== null && file.mediaType.length < 100
      const mediaType = isUnknown ? null : isKept ? file.mediaType : 'application/octet-stream'
      expect(fileTraitsOf(text)).toEqual({ ...file, mediaType, tree: null })
    }),
  )
})

test('a tree comes back as it was written, and says so to nothing but a tar', () => {
  const size = { fileCount: 20_000, contentBytes: 81_920_000 }
  expect(treeMediaType(size)).toBe('application/x-tar; tree=1; files=20000; bytes=81920000')
  expect(fileTraitsOf(treeMediaType(size))).toEqual({ ...nothing, mediaType: 'application/x-tar', tree: size })
  expect(fileTraitsOf('text/plain; tree=1; files=1; bytes=1').tree).toBeNull()
  const largest = { fileCount: Number.MAX_SAFE_INTEGER, contentBytes: Number.MAX_SAFE_INTEGER }
  expect(fileTraitsOf(treeMediaType(largest)).tree).toEqual(largest)
  expect(treeMediaType(largest).length).toBeLessThanOrEqual(mediaTypeLengthMax)
})

test.each([
  ['no version', 'application/x-tar; files=1; bytes=1'],
  ['another version', 'application/x-tar; tree=2; files=1; bytes=1'],
  ['no size', 'application/x-tar; tree=1'],
  ['a negative size', 'application/x-tar; tree=1; files=1; bytes=-1'],
  ['a size that no number holds', 'application/x-tar; tree=1; files=1; bytes=9999999999999999'],
  ['a fraction', 'application/x-tar; tree=1; files=1.5; bytes=1'],
])('a tar with %s is a file', (_what, text) => {
  expect(fileTraitsOf(text)).toEqual({ ...nothing, mediaType: 'application/x-tar' })
})

test.each([
  ['nothing', undefined, nothing],
  ['an empty text', '', nothing],
  ['no type', '; mtime=1', nothing],
  ['half a type', 'text; mtime=1', nothing],
  ['a type alone', 'Text/Plain', { ...nothing, mediaType: 'text/plain' }],
  [
    'a parameter that is not known',
    'text/plain; charset=utf-8; mtime=1',
    { ...nothing, mediaType: 'text/plain', mtimeNs: 1_000_000_000n },
  ],
  [
    'names in capitals',
    'TEXT/PLAIN;MTIME=1;Executable=1',
    { mediaType: 'text/plain', mtimeNs: 1_000_000_000n, isExecutable: true, tree: null },
  ],
  [
    'quotes',
    'text/plain; name="a;b\\"=c; mtime=3"; mtime="2"',
    { ...nothing, mediaType: 'text/plain', mtimeNs: 2_000_000_000n },
  ],
  [
    'blanks and empty parameters',
    'text/plain ; ;;\tmtime=1 ;',
    { ...nothing, mediaType: 'text/plain', mtimeNs: 1_000_000_000n },
  ],
  [
    'an invalid parameter before a valid one',
    'text/plain; =; a b; mtime; mtime=1',
    { ...nothing, mediaType: 'text/plain', mtimeNs: 1_000_000_000n },
  ],
  [
    'a parameter twice',
    'text/plain; mtime=1; mtime=2',
    { ...nothing, mediaType: 'text/plain', mtimeNs: 1_000_000_000n },
  ],
  ['an invalid time', 'text/plain; mtime=yesterday; executable=yes', { ...nothing, mediaType: 'text/plain' }],
  ['a time beyond the year 9999', 'text/plain; mtime=253402300800', { ...nothing, mediaType: 'text/plain' }],
])('%s is read tolerantly', (_what, text, expected) => {
  expect(fileTraitsOf(text)).toEqual(expected)
})

test('a time that RFC 3339 cannot write is not announced', () => {
  expect(fileMediaType({ mediaType: 'text/plain', mtimeNs: latestNs + 1n, isExecutable: false })).toBe('text/plain')
})

test('times keep each nanosecond, before 1970, too', () => {
  fc.assert(fc.property(times, (ns) => void expect(nanosecondsOf(secondsText(ns))).toBe(ns)))
  expect(secondsText(1_732_950_000_123_456_789n)).toBe('1732950000.123456789')
  expect(secondsText(1_500_000_000n)).toBe('1.5')
  expect(secondsText(-1n)).toBe('-0.000000001')
  expect(secondsText(1_000_000_000_000n)).toBe('1000')
  expect(secondsText(0n)).toBe('0')
})

test('a time as text can be parsed by any program', () => {
  fc.assert(
    fc.property(times, (ns) => {
      const ms = Number((ns - (((ns % 1_000_000n) + 1_000_000n) % 1_000_000n)) / 1_000_000n)
      expect(Date.parse(rfc3339Text(ns))).toBe(ms)
    }),
  )
  expect(rfc3339Text(1_732_950_000_123_456_789n)).toBe('2024-11-30T07:00:00.123456789Z')
  expect(rfc3339Text(-1n)).toBe('1969-12-31T23:59:59.999999999Z')
  expect(rfc3339Text(0n)).toBe('1970-01-01T00:00:00Z')
  expect(rfc3339Text(earliestNs)).toBe('0000-01-01T00:00:00Z')
})
