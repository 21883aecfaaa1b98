/** `vectors/trees.json` holds: the tars are what the entries make, and what GNU tar reads; invalid ones are refused. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import { fileTraitsOf, nanosecondsOf } from '../../src/protocol/index.ts'
import { indexOf, readTar, tarOf } from './trees.ts'

interface Valid {
  readonly what: string
  readonly entries: readonly {
    readonly path: string
    readonly kind: 'file' | 'folder' | 'link'
    readonly content?: string
    readonly isExecutable?: boolean
    readonly mtime: string
    readonly target?: string
  }[]
  readonly metadata: { readonly name: string; readonly mediaType: string }
  readonly sizeBytes: number
  readonly sha256: string
  readonly tar: string
}

const vectors: {
  readonly valid: readonly Valid[]
  readonly invalid: readonly { tar: string; why: string; code: string }[]
} = JSON.parse(readFileSync(new URL('../../vectors/trees.json', import.meta.url), 'utf8'))

test.each(vectors.valid)('$what', ({ entries, metadata, sizeBytes, sha256, tar }) => {
  const bytes = Buffer.from(tar, 'hex')
  const made = entries.map(({ path, kind, content = '', isExecutable = false, mtime, target = null }) => ({
    ...{ path, kind, isExecutable, target },
    content: Buffer.from(content, 'hex'),
    mtimeNs: nanosecondsOf(mtime) ?? 0n,
  }))
  expect(tarOf(made).toString('hex')).toBe(tar)
  expect({ sizeBytes, sha256 }).toEqual({ sizeBytes: bytes.length, sha256: digestOf('sha-256', bytes) })
  const { fileCount, contentBytes } = indexOf(made)
  expect(fileTraitsOf(metadata.mediaType).tree).toEqual({ fileCount, contentBytes })
  expect(metadata.name).toBe(`${entries[0]?.path}.tar`)
  const read = readTar(bytes)
  expect(read.entries).toEqual(made.map(({ content, ...entry }) => ({ ...entry, sizeBytes: content.length })))
  const listed = execFileSync('tar', ['-t', '--quoting-style=literal', '-f', '-'], { input: bytes, stdio: 'pipe' })
  expect(
    listed
      .toString()
      .trimEnd()
      .split('\n')
      .map((path) => path.replace(/\/$/, '')),
  ).toEqual(entries.map(({ path }) => path))
})

test.each(vectors.invalid)('refused, because $why', ({ tar, code }) => {
  expect(() => readTar(Buffer.from(tar, 'hex'))).toThrow(expect.objectContaining({ code }))
})
