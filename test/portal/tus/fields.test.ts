/** The fields of tus 1.0.0, as clients write them and as they must not. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  requireTusContent,
  requireTusVersion,
  TusChecksum,
  tusCreationOf,
  tusLengthOf,
  tusMetadataOf,
  tusOffsetOf,
} from '../../../src/portal/http/tus.ts'
import { Problem } from '../../../src/protocol/index.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')

function codeOf(act: () => unknown): string | null {
  try {
    act()
  } catch (error) {
    if (error instanceof Problem) return error.code
    throw error
  }
  return null
}

describe('Upload-Metadata', () => {
  test('pairs, keys alone, keys with a blank and no value, and blanks after commas are read', () => {
    const read = tusMetadataOf(`file/name ${base64('a.mp4')},size OTYwMjQ0,type! dmlkZW8vbXA0,video, withBlank `)
    expect([...read].map(([key, value]) => [key, value.toString()])).toEqual([
      ['file/name', 'a.mp4'],
      ['size', '960244'],
      ['type!', 'video/mp4'],
      ['video', ''],
      ['withBlank', ''],
    ])
  })

  test.each(['', ' ', '\t'])('a field without content (%j) is no metadata', (field) => {
    expect(tusMetadataOf(field).size).toBe(0)
  })

  test.each([
    ['a key twice', `name ${base64('a')},name ${base64('b')}`],
    ['a key twice, once without a value', 'video ,video'],
    ['an empty pair', 'a,,b'],
    ['an end with a comma', 'a,'],
    ['a key beyond ASCII', `é ${base64('a')}`],
    ['a value that is not base64', 'name a_b'],
    ['base64 without its padding', 'name YQ'],
    ['padding at the beginning', 'name =YWI'],
    ['two values', `name ${base64('a')} ${base64('b')}`],
    ['two blanks', `name  ${base64('a')}`],
  ])('%s is refused', (_what, field) => {
    expect(codeOf(() => tusMetadataOf(field))).toBe('request-invalid')
  })

  test('whatever is written as pairs is read back', () => {
    const key = fc.stringMatching(/^[!-+\--~]{1,20}$/)
    const pairs = fc.dictionary(key, fc.uint8Array({ maxLength: 50 }), { minKeys: 1, maxKeys: 9 })
    fc.assert(
      fc.property(pairs, (wanted) => {
        const entries = Object.entries(wanted)
        const field = entries.map(([one, value]) => `${one} ${Buffer.from(value).toString('base64')}`).join(',')
        const read = tusMetadataOf(field)
        expect([...read].map(([one, value]) => [one, [...value]])).toEqual(
          entries.map(([one, value]) => [one, [...value]]),
        )
      }),
    )
  })

  test('no field makes the reader fail with anything but a refusal', () => {
    fc.assert(fc.property(fc.string(), (field) => void codeOf(() => tusMetadataOf(field))))
  })
})

describe('a creation', () => {
  const metadata = `filename ${base64('bericht ä.pdf')},filetype ${base64('application/pdf')},to ${base64('bob, carol')}`
  const creation = (fields: Record<string, string>) => tusCreationOf({ 'upload-metadata': metadata, ...fields })

  test('has receivers, name, media type and length', () => {
    expect(creation({ 'upload-length': '7' })).toEqual({
      sizeBytes: 7,
      metadataField: metadata,
      to: ['bob', 'carol'],
      name: 'bericht ä.pdf',
      mediaType: 'application/pdf',
    })
  })

  test('may have no length yet', () => {
    expect(creation({ 'upload-defer-length': '1' }).sizeBytes).toBe(null)
  })

  test('takes the names that Uppy gives to the same things', () => {
    const uppy = `name ${base64('a.txt')},type ${base64('text/plain')},to ${base64('bob')},relativePath ${base64('null')}`
    expect(creation({ 'upload-length': '7', 'upload-metadata': uppy })).toMatchObject({
      name: 'a.txt',
      mediaType: 'text/plain',
    })
  })

  test('has no media type where the client knows none', () => {
    const unknown = `filename ${base64('a')},filetype ${base64('null')},to ${base64('bob')}`
    expect(creation({ 'upload-length': '7', 'upload-metadata': unknown }).mediaType).toBe(null)
  })

  test.each([
    ['neither a length nor its deferral', {}],
    ['both', { 'upload-length': '7', 'upload-defer-length': '1' }],
    ['another deferral than 1', { 'upload-defer-length': 'true' }],
    ['a negative length', { 'upload-length': '-7' }],
    ['a length that is no number', { 'upload-length': '7x' }],
    ['an empty length', { 'upload-length': '' }],
    ['a length with a fraction', { 'upload-length': '7.5' }],
    ['a length that a double cannot hold', { 'upload-length': '9007199254740993' }],
    ['a part of a parallel upload', { 'upload-length': '7', 'upload-concat': 'partial' }],
    ['the end of a parallel upload', { 'upload-concat': 'final;/a /b' }],
    ['no receiver', { 'upload-length': '7', 'upload-metadata': `filename ${base64('a')}` }],
    ['an empty receiver', { 'upload-length': '7', 'upload-metadata': `filename ${base64('a')},to` }],
    ['no name', { 'upload-length': '7', 'upload-metadata': `to ${base64('bob')}` }],
    ['a name that is not UTF-8', { 'upload-length': '7', 'upload-metadata': `to ${base64('bob')},filename /w==` }],
  ])('with %s is refused', (_what, fields) => {
    expect(codeOf(() => creation(fields))).toBe('request-invalid')
  })
})

describe('Upload-Checksum', () => {
  const content = Buffer.from('hello world')
  const checked = (field: string | undefined, bytes = content): string | null =>
    codeOf(() => {
      const checksum = TusChecksum.of(field === undefined ? {} : { 'upload-checksum': field })
      checksum?.update(bytes.subarray(0, 3))
      checksum?.update(bytes.subarray(3))
      checksum?.verify()
    })

  test('the example of the protocol is right', () => {
    expect(checked('sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=')).toBe(null)
  })

  test.each(['sha1', 'sha256'])('%s is verified', (algorithm) => {
    const field = `${algorithm} ${createHash(algorithm).update(content).digest('base64')}`
    expect(checked(field)).toBe(null)
    expect(checked(field, Buffer.from('hello World'))).toBe('checksum-mismatching')
  })

  test.each([
    'md5 XrY7u+Ae7tCTyyK7j1rNww==',
    'SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=',
    'constructor Kq5sNclPz7QV2+lfQIuc6R7oRu0=',
    'sha1',
    'sha1 !',
    'sha1 Kq5sNclPz7QV2+lfQIuc6R7oRg==',
    'sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=',
    'sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0= more',
    '',
  ])('%j is refused', (field) => {
    expect(checked(field)).toBe('request-invalid')
  })

  test('it may be missing', () => {
    expect(checked(undefined)).toBe(null)
  })
})

test.each(['0', '1', '9007199254740991'])('the offset %s is read', (text) => {
  expect(tusOffsetOf({ 'upload-offset': text })).toBe(Number(text))
})

test.each([undefined, '', '-1', '1.0', '0x1', ' 1', '1e3', '99999999999999999999'])(
  'the offset %j is refused',
  (text) => {
    expect(codeOf(() => tusOffsetOf({ 'upload-offset': text }))).toBe('request-invalid')
  },
)

test('a PATCH need not bring the length', () => {
  expect(tusLengthOf({})).toBe(null)
  expect(tusLengthOf({ 'upload-length': '12' })).toBe(12)
  expect(codeOf(() => tusLengthOf({ 'upload-length': 'x' }))).toBe('request-invalid')
})

test.each([undefined, '', '0.2.2', '1.0', '2.0.0'])('version %j is refused', (version) => {
  expect(codeOf(() => requireTusVersion({ 'tus-resumable': version }))).toBe('tus-version-unsupported')
  expect(codeOf(() => requireTusVersion({ 'tus-resumable': '1.0.0' }))).toBe(null)
})

test('the media type of a PATCH is the one of tus', () => {
  expect(codeOf(() => requireTusContent({ 'content-type': 'application/offset+octet-stream' }))).toBe(null)
  for (const other of [undefined, 'application/octet-stream', 'application/offset+octet-stream2']) {
    expect(codeOf(() => requireTusContent({ 'content-type': other }))).toBe('media-type-unsupported')
  }
})
