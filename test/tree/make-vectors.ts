/** Writes `vectors/trees.json`: `node test/tree/make-vectors.ts`. */
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { digestOf } from '../../src/digests/index.ts'
import { secondsText, treeMediaType } from '../../src/protocol/index.ts'
import { file, folder, indexOf, link, type MadeEntry, tarOf } from './trees.ts'

const wholeNs = 1_732_950_000_000_000_000n
const long = `${'a'.repeat(60)}/${'b'.repeat(60)}`

const trees: readonly (readonly [what: string, entries: readonly MadeEntry[]])[] = [
  ['nothing but the root folder, with whole seconds', [folder('empty', { mtimeNs: wholeNs })]],
  ['an empty file, without times', [folder('t', { mtimeNs: 0n }), file('t/a', '', { mtimeNs: 0n })]],
  [
    'each kind of entry, in order, with fractions of seconds',
    [
      folder('photos', { mtimeNs: wholeNs + 123_456_716n }),
      folder('photos/a', { mtimeNs: wholeNs + 500_000_000n }),
      file('photos/a/run.sh', '#!/bin/sh\n', { mtimeNs: wholeNs, isExecutable: true }),
      file('photos/a.txt', 'hello', { mtimeNs: -1_500_000_000n }),
      { ...link('photos/link', 'a/run.sh'), mtimeNs: wholeNs },
    ],
  ],
  [
    'names beyond ASCII, and paths of more than 100 bytes',
    [
      folder('größe', { mtimeNs: wholeNs }),
      folder(`größe/${'a'.repeat(60)}`, { mtimeNs: wholeNs }),
      folder(`größe/${long}`, { mtimeNs: wholeNs }),
      file(`größe/${long}/c`, 'c', { mtimeNs: wholeNs }),
      { ...link('größe/ziel', `${long}/ü`), mtimeNs: wholeNs },
    ],
  ],
]

/** A header block with other bytes at a place, and the checksum that goes with them. */
function changed(tar: Buffer, at: number, bytes: string, { withChecksum = true } = {}): Buffer {
  const copy = Buffer.from(tar)
  copy.write(bytes, at, 'latin1')
  if (!withChecksum) return copy
  const begin = Math.floor(at / 512) * 512
  const block = copy.subarray(begin, begin + 512)
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0`, 148, 'latin1')
  return copy
}

const small = tarOf([folder('t', { mtimeNs: 0n }), file('t/a', 'abc', { mtimeNs: 0n })])
const withRecord = (record: string): Buffer => {
  const tar = tarOf([
    folder('t', { mtimeNs: 0n }),
    file('t/x', record, { mtimeNs: 0n }),
    file('t/a', '', { mtimeNs: 0n }),
  ])
  return changed(tar, 512 + 156, 'x')
}

const invalid: readonly (readonly [why: string, tar: Buffer])[] = [
  ['the checksum of the second header is wrong', changed(small, 512, 'z', { withChecksum: false })],
  ['the tar ends without blocks of zeros', small.subarray(0, small.length - 1024)],
  ['the tar ends with one block of zeros', small.subarray(0, small.length - 512)],
  ['the first entry is a file', tarOf([file('t', 'abc')])],
  ['an entry lies beside the root folder', changed(small, 512, 'u/a')],
  ['a path leads up', changed(small, 512, 't/../a')],
  ['a path is absolute', changed(small, 512, '/t/a')],
  ['an entry is a hard link', changed(changed(small, 512 + 156, '1'), 512 + 157, 't/b')],
  ['an entry is a device', changed(small, 512 + 156, '3')],
  ['a name is not UTF-8', changed(small, 512, 't/\xff')],
  ['a record is longer than all records together', withRecord('99 path=t/b\n')],
  ['a record makes the file a sparse one', withRecord('22 GNU.sparse.major=1\n')],
]

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

await writeFile(
  fileURLToPath(new URL('../../vectors/trees.json', import.meta.url)),
  `${JSON.stringify(
    {
      about: 'Folders as they travel: the entries, the metadata, and the tar.',
      valid: trees.map(([what, entries]) => {
        const tar = tarOf(entries)
        const { fileCount, contentBytes } = indexOf(entries)
        return {
          what,
          entries: entries.map(({ path, kind, content, mtimeNs, isExecutable, target }) => ({
            path,
            kind,
            ...(kind === 'file' ? { content: hex(content), isExecutable } : {}),
            mtime: secondsText(mtimeNs),
            ...(target === null ? {} : { target }),
          })),
          metadata: { name: `${entries[0]?.path}.tar`, mediaType: treeMediaType({ fileCount, contentBytes }) },
          sizeBytes: tar.length,
          sha256: digestOf('sha-256', tar),
          tar: hex(tar),
        }
      }),
      invalid: invalid.map(([why, tar]) => ({ tar: hex(tar), why, code: 'tree-invalid' })),
    },
    null,
    2,
  )}\n`,
)
