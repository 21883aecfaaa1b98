/** The tar of a tree: made for any offset, and read again. */
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { setModifiedAt } from '../../src/fs/index.ts'
import { secondsText } from '../../src/protocol/index.ts'
import { headerOf, leadsInside, parseTimeNs, pathNames, settableTimeNs, TreeIndex } from '../../src/tree/index.ts'
import { testFolder } from '../suites/folder.ts'
import { randomBytes, randomInt } from '../suites/random.ts'
import { file, folder, indexOf, link, type MadeEntry, readTar, tarOf, tarPart } from './trees.ts'

const long = (letter: string, length: number): string => letter.repeat(length)

const everything: readonly MadeEntry[] = [
  folder('photos'),
  file('photos/a', randomBytes(512)),
  folder(`photos/${long('d', 120)}`),
  file(`photos/${long('d', 120)}/${long('ü', 120)}`, randomBytes(1)),
  file('photos/empty', '', { mtimeNs: 0n }),
  folder('photos/empty folder', { mtimeNs: -1n }),
  link('photos/link', `${long('d', 120)}/${long('ü', 120)}`),
  file('photos/old', randomBytes(10_000), { mtimeNs: -2_500_000_000n, isExecutable: true }),
  file('photos/odd name\n= 12 path=x', 'odd'),
]

function expected(entries: readonly MadeEntry[]) {
  return entries.map(({ content, ...entry }) => ({ ...entry, sizeBytes: content.length }))
}

test.each([1, 7, 511, 512, 513, 100_000])(
  'a tree that is read in pieces of %i bytes is the tree that was written',
  (pieceBytes) => {
    const tar = tarOf(everything)
    const { entries, contents } = readTar(tar, pieceBytes)
    expect(entries).toEqual(expected(everything))
    for (const { path, kind, content } of everything) {
      if (kind === 'file') expect(Buffer.from(contents.get(path) ?? []).equals(content), path).toBe(true)
    }
  },
)

test('any piece of the tar, made by itself, is that piece of the whole', () => {
  const index = indexOf(everything)
  const tar = tarOf(everything)
  expect(tar.length).toBe(index.sizeBytes)
  for (let run = 0; run < 500; run++) {
    const from = randomInt(tar.length)
    const lengthBytes = randomInt(4096)
    const part = tarPart(everything, index, from, lengthBytes)
    expect(part.equals(tar.subarray(from, from + lengthBytes)), `${lengthBytes} bytes from ${from}`).toBe(true)
  }
  expect(tarPart(everything, index, tar.length, 10)).toHaveLength(0)
})

test('each entry is found by every offset of its header, content and padding', () => {
  const index = indexOf(everything)
  for (let entry = 0; entry < index.length; entry++) {
    const end = entry + 1 < index.length ? index.offset(entry + 1) : index.sizeBytes
    for (const offset of [index.offset(entry), Math.min(index.offset(entry) + 700, end - 1), end - 1])
      expect(index.entryAt(offset)).toBe(entry)
  }
})

test('an index of many entries says every path and every target', () => {
  const index = new TreeIndex()
  const entries = [folder('räume')]
  const folders = [index.add({ ...folder(''), parent: null, name: 'räume', sizeBytes: 0 })]
  // Enough for several arrays of each column.
  for (let number = 1; number < 70_000; number++) {
    const parent = folders[randomInt(folders.length)] ?? 0
    const name = `${number % 7 === 0 ? 'ö' : 'o'}${number}`.padStart(randomInt(40), 'x')
    const path = `${entries[parent]?.path}/${name}`
    const kind = number % 100 === 0 ? folder(path) : number % 10 === 0 ? link(path, `zu ${number}`) : file(path, '')
    entries.push(kind)
    index.add({ ...kind, parent, name, sizeBytes: kind.kind === 'file' ? number : 0 })
    if (kind.kind === 'folder') folders.push(number)
  }
  for (const [entry, { path, kind, target }] of entries.entries()) {
    const found = index.entry(entry)
    const next = entry + 1 < index.length ? index.offset(entry + 1) : index.sizeBytes - 1024
    const isRight =
      found.path === path &&
      found.kind === kind &&
      found.target === target &&
      index.pathBytes(entry) === Buffer.byteLength(path) &&
      next - index.offset(entry) === headerOf(found).length + Math.ceil(index.size(entry) / 512) * 512
    if (!isRight) expect([found, index.pathBytes(entry)]).toEqual([{ path, kind, target }, Buffer.byteLength(path)])
  }
  expect(index.fileCount).toBe(entries.filter(({ kind }) => kind === 'file').length)
})

test('an entry beyond the most that a tree may have is refused, with the name of the folder', () => {
  const index = new TreeIndex(2)
  index.add({ ...folder('photos'), parent: null, name: 'photos', sizeBytes: 0 })
  index.add({ ...file('photos/a', ''), parent: 0, name: 'a', sizeBytes: 0 })
  const refusal = {
    code: 'source-unreadable',
    details: { path: 'photos', detail: expect.stringContaining('at most 2') },
  }
  expect(() => index.add({ ...file('photos/b', ''), parent: 0, name: 'b', sizeBytes: 0 })).toThrow(
    expect.objectContaining(refusal),
  )
  expect(index.length).toBe(2)
})

test('the same entry has the same header always, and a header says nothing of the machine', () => {
  const [entry] = readTar(
    tarOf([folder('x'), file('x/run.sh', '#!', { isExecutable: true, mtimeNs: 1_000_000_000_000_000_000n })]),
  ).entries.slice(1)
  if (entry === undefined) throw new Error('no entry')
  const header = Buffer.from(headerOf(entry))
  expect(header).toHaveLength(512)
  expect(header.toString('latin1')).toBe(
    `x/run.sh${'\0'.repeat(92)}0000755\x000000000\x000000000\x0000000000002\x0007346545000\x00` +
      `010651\0 0${'\0'.repeat(100)}ustar\x0000${'\0'.repeat(64)}0000000\x000000000\0${'\0'.repeat(167)}`,
  )
})

test('times are written as they were, and read again', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (ns) => {
      expect(parseTimeNs(secondsText(ns))).toBe(ns)
    }),
  )
  expect(secondsText(-1n)).toBe('-0.000000001')
  expect(secondsText(1_500_000_000n)).toBe('1.5')
  for (const text of ['', '.5', '1e3', '0x1', ' 1', '1 ', '--1', '9'.repeat(15), '1.2.3'])
    expect(parseTimeNs(text), text).toBe(null)
})

test('a time that a file system has taken from a program stays as it is', async () => {
  const path = join(await testFolder(), 'file')
  writeFileSync(path, '')
  const keeps = (ns: bigint): void => {
    const settled = settableTimeNs(ns)
    expect(Math.abs(Number(settled - ns)), String(ns)).toBeLessThanOrEqual(Number(2n ** 62n) * Number.EPSILON)
    expect(settableTimeNs(settled), String(ns)).toBe(settled)
    setModifiedAt(path, settled)
    expect(statSync(path, { bigint: true }).mtimeNs, String(ns)).toBe(settled)
  }
  // Settled in two steps.
  keeps(-1_888_949_500_987_311n)
  for (const bits of [50n, 62n]) fc.assert(fc.property(fc.bigInt({ min: -(2n ** bits) / 4n, max: 2n ** bits }), keeps))
})

test.each([
  ['t/link', 'file', true],
  ['t/link', 'a/b/../c', false],
  ['t/link', '..', false],
  ['t/a/link', '..', true],
  ['t/a/link', '../../b', false],
  ['t/a/b/link', './../..//c', true],
  ['t/link', '/etc', false],
  ['t/link', '', false],
  ['t/link', 'a\\..\\..', false],
  ['t/link', '.', true],
])('the link %s to %s leads to a place in the tree: %s', (path, target, isInside) => {
  expect(leadsInside(path, target)).toBe(isInside)
})

test.each(['/etc/passwd', '..', 'a/../b', 'a/..', '', '/', './.', 'a\0b', Array(300).fill('d').join('/')])(
  'the path %j is refused',
  (path) => {
    expect(() => pathNames(path)).toThrow(expect.objectContaining({ code: 'tree-invalid' }))
  },
)
