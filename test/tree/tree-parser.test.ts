/** Tars of other programs, and tars of attackers. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { TreeParser } from '../../src/tree/index.ts'
import { randomBytes, randomInt } from '../suites/random.ts'
import { file, folder, link, readTar, tarOf } from './trees.ts'

const wholeNs = 1_732_950_000_000_000_000n
/** Made by libarchive 3.6.2, BusyBox 1.35, node-tar 7.5 and Python 3.12 from one folder, in which all but one entry have the time below. */
const archives = {
  'bsdtar-pax': wholeNs + 123_456_789n,
  'bsdtar-gnu': wholeNs,
  busybox: wholeNs,
  'node-tar': wholeNs + 123_000_000n,
  'python-pax': wholeNs + 123_456_700n,
  'python-gnu': wholeNs,
}

test.each(Object.entries(archives))(
  'a tree written by %s is read: long names, times, links, modes',
  (name, mtimeNs) => {
    const { entries, contents } = readTar(
      gunzipSync(readFileSync(join(import.meta.dirname, `archives/${name}.tar.gz`))),
    )
    const deep = `${'a'.repeat(120)}/${'ö'.repeat(90)}`
    const common = { sizeBytes: 0, mtimeNs, isExecutable: false, target: null }
    const inOrder = entries
      // One of the programs keeps the times of files better than those of folders.
      .map((entry) =>
        entry.kind === 'folder' && entry.mtimeNs / 10n ** 9n === wholeNs / 10n ** 9n ? { ...entry, mtimeNs } : entry,
      )
      .map((entry) => (entry.kind === 'link' && name === 'node-tar' ? { ...entry, mtimeNs } : entry))
      .sort((a, b) => (a.path < b.path ? -1 : 1))
    expect(inOrder).toEqual([
      { ...common, path: 'photos', kind: 'folder' },
      { ...common, path: `photos/${'a'.repeat(120)}`, kind: 'folder' },
      { ...common, path: `photos/${deep}`, kind: 'folder' },
      { ...common, path: `photos/${deep}/deep.bin`, kind: 'file', sizeBytes: 1500 },
      { ...common, path: 'photos/empty', kind: 'folder' },
      { ...common, path: 'photos/größe.txt', kind: 'file', sizeBytes: 6 },
      { ...common, path: 'photos/link', kind: 'link', target: 'größe.txt' },
      { ...common, path: 'photos/long-link', kind: 'link', target: `${deep}/deep.bin` },
      {
        ...common,
        path: 'photos/run.sh',
        kind: 'file',
        sizeBytes: 10,
        mtimeNs: 1_000_000_000_000_000_000n,
        isExecutable: true,
      },
    ])
    expect(Buffer.from(contents.get('photos/größe.txt') ?? []).toString()).toBe('hello\n')
  },
)

const codeOf = (tar: Uint8Array): unknown => {
  try {
    readTar(tar)
    return null
  } catch (error) {
    return (error as { code?: unknown }).code
  }
}

/** A header block with other bytes somewhere, and the checksum that goes with them. */
function changed(tar: Buffer, at: number, bytes: string): Buffer {
  const copy = Buffer.from(tar)
  copy.write(bytes, at, 'latin1')
  const block = copy.subarray(Math.floor(at / 512) * 512).subarray(0, 512)
  block.fill(' ', 148, 156)
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0`,
    148,
    'latin1',
  )
  return copy
}

const plain = { mtimeNs: 0n }
const small = tarOf([folder('t', plain), file('t/a', 'abc', plain)])

/** A tar of a root folder, a header of a type with its records, and a file. */
function withRecords(type: string, records: Buffer): Buffer {
  const made = tarOf([folder('t', plain), file('t/records', records, plain), file('t/a', 'abc', plain)])
  return changed(made, 512 + 156, type)
}

const record = (key: string, value: string): Buffer => {
  const length = Buffer.byteLength(` ${key}=${value}\n`)
  const digits = String(length + String(length).length).length
  return Buffer.from(`${length + digits} ${key}=${value}\n`)
}

test('the tars that the following tests change are good ones', () => {
  expect(codeOf(small)).toBe(null)
  expect(codeOf(changed(small, 512 + 156, '0'))).toBe(null)
  const { entries } = readTar(withRecords('x', Buffer.concat([record('path', 't/ü'), record('comment', '=\n1')])))
  expect(entries.map(({ path }) => path)).toEqual(['t', 't/ü'])
})

test.each(['1', '3', '4', '6', 'S', 'D', 'M', 'N', 'V', 'A', 'X', '8'])(
  'an entry of the type %s is refused',
  (type) => {
    expect(codeOf(changed(small, 512 + 156, type))).toBe('tree-invalid')
  },
)

test.each([
  ['a checksum that is wrong', Buffer.from(small).fill('z', 512, 513)],
  ['an early end in a header', small.subarray(0, 700)],
  ['an early end in a file', small.subarray(0, 1025)],
  ['an early end before the zeros', small.subarray(0, 1536)],
  ['one block of zeros only', small.subarray(0, 2048)],
  ['a block that is not whole at the end', Buffer.concat([small, Buffer.alloc(100)])],
  ['something behind the end', Buffer.concat([small, randomBytes(512)])],
  ['nothing', Buffer.alloc(1024)],
  ['nothing at all', Buffer.alloc(0)],
  ['no ustar header', changed(small, 257, '\0'.repeat(8))],
  ['a file at the root', tarOf([file('t', 'abc')])],
  ['two roots', tarOf([folder('t'), folder('u')])],
  ['the root again', tarOf([folder('t'), folder('t')])],
  ['an entry outside of the root', changed(small, 512, 'u/a')],
  ['a root that lies deep', changed(small, 0, 't/u/')],
  ['a path that leads up', changed(small, 512, 't/../a')],
  ['an absolute path', changed(small, 512, '/t/a')],
  ['a file with / at its end', changed(small, 512, 't/a/')],
  ['a folder with content', changed(small, 124, '00000000003')],
  ['a link with content', changed(changed(small, 512 + 156, '2'), 512 + 157, 'b')],
  ['a link to nothing', changed(tarOf([folder('t', plain), { ...link('t/a', 'b'), ...plain }]), 512 + 157, '\0')],
  ['a size that is no number', changed(small, 512 + 124, '0000000000z')],
  ['a size below 0', changed(small, 512 + 124, '\xff'.repeat(12))],
  ['a size beyond all numbers', changed(small, 512 + 124, `\x80${'\xff'.repeat(11)}`)],
  ['a name that is not UTF-8', changed(small, 512, 't/\xff')],
  ['a record that is too short', withRecords('x', Buffer.from('3 a\n'))],
  ['a record with a length of 0', withRecords('x', Buffer.from('0 path=t/b\n'))],
  ['a record with a negative length', withRecords('x', Buffer.from('-11 path=t/b\n'))],
  ['a record that is longer than all records', withRecords('x', Buffer.from('99 path=t/b\n'))],
  ['a record without its end', withRecords('x', Buffer.from('12 path=t/bcd'))],
  ['a record without =', withRecords('x', Buffer.from('9 path/b\n'))],
  ['a record without a key', withRecords('x', Buffer.from('7 =t/b\n'))],
  ['an empty path', withRecords('x', record('path', ''))],
  ['a path with NUL', withRecords('x', record('path', 't/a\0b'))],
  ['a size with a sign', withRecords('x', record('size', '-3'))],
  ['a time that is none', withRecords('x', record('mtime', '1e9'))],
  ['names in another encoding', withRecords('x', record('hdrcharset', 'BINARY'))],
  ['a sparse file', withRecords('x', record('GNU.sparse.major', '1'))],
  ['a path for all entries', withRecords('g', record('path', 't/a'))],
  ['a size for all entries', withRecords('g', record('size', '3'))],
  ['records of nothing', tarOf([folder('t'), file('t/a', '', plain)]).subarray(0, 1024)],
  [
    'records before the end',
    Buffer.concat([withRecords('x', record('path', 't/b')).subarray(0, 1536), Buffer.alloc(1024)]),
  ],
  ['records that are too long', withRecords('x', Buffer.alloc(1024 * 1024 + 1))],
])('refused: %s', (_what, tar) => {
  expect(codeOf(tar)).toBe('tree-invalid')
})

test('records for all entries that say nothing of names, sizes and times are passed over, as `git archive` writes them', () => {
  expect(readTar(withRecords('g', record('comment', 'a'.repeat(40)))).entries.map(({ path }) => path)).toEqual([
    't',
    't/a',
  ])
})

test('damaged tars are refused or read, and never more is read than they hold', () => {
  const tar = tarOf([folder('t'), file('t/ü', randomBytes(700)), link('t/l', 'ü'), file('t/b', '')])
  for (let run = 0; run < 3000; run++) {
    const damaged = Buffer.from(tar)
    for (let change = randomInt(3); change >= 0; change--) damaged[randomInt(tar.length)] = randomInt(256)
    const parser = new TreeParser()
    let contentBytes = 0
    try {
      for (const event of parser.push(damaged)) if (event.type === 'content') contentBytes += event.bytes.length
      parser.end()
    } catch (error) {
      expect(error).toMatchObject({ code: 'tree-invalid' })
    }
    expect(contentBytes).toBeLessThan(damaged.length)
  }
})
