/** Folders and contents for the tests of the receiver. */
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf, manifestDigestOf } from '../../src/digests/index.ts'
import { partCount, partSpan } from '../../src/protocol/index.ts'

/** The files that a user sees in the folder. */
export async function visible(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name !== '.golooader').sort()
}

/** The unfinished files and open records. */
export async function unfinished(folder: string): Promise<string[]> {
  return (await readdir(join(folder, '.golooader')))
    .filter((name) => !['instance', 'lock', 'received'].includes(name))
    .sort()
}

/** A random file, cut into parts. */
export function newContent(sizeBytes: number, partSizeBytes: number) {
  return contentOf(randomBytes(sizeBytes), partSizeBytes)
}

/** A file, cut into parts. */
export function contentOf(bytes: Buffer, partSizeBytes: number) {
  const sizeBytes = bytes.length
  const layout = { sizeBytes, partSizeBytes, digestAlgorithm: 'sha-256' } as const
  const parts = Array.from({ length: partCount(layout) }, (_, index) => {
    const { offsetBytes, lengthBytes } = partSpan(layout, index + 1)
    const part = bytes.subarray(offsetBytes, offsetBytes + lengthBytes)
    return { bytes: part, digest: digestOf('sha-256', part) }
  })
  const manifestDigest = manifestDigestOf(
    'sha-256',
    parts.map(({ digest }) => digest),
  )
  return { bytes, layout, parts, manifestDigest }
}

export type Content = ReturnType<typeof newContent>
