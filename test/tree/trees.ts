/** Trees in memory, and their tars. */
import { type TreeEntry, TreeIndex, TreeParser } from '../../src/tree/index.ts'

/** An entry of a tree to make, by its path, with the content of a file. */
export interface MadeEntry extends Omit<TreeEntry, 'sizeBytes'> {
  readonly content: Uint8Array
}

/** What a parser has read: entries, and the contents of files. */
export interface ReadTree {
  readonly entries: TreeEntry[]
  readonly contents: Map<string, Uint8Array>
}

export const someTimeNs = 1_732_950_000_123_456_789n

export function file(path: string, content: string | Uint8Array, more: Partial<MadeEntry> = {}): MadeEntry {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
  return { path, kind: 'file', mtimeNs: someTimeNs, isExecutable: false, target: null, content: bytes, ...more }
}

export function folder(path: string, more: Partial<MadeEntry> = {}): MadeEntry {
  return { ...file(path, ''), kind: 'folder', ...more }
}

export function link(path: string, target: string): MadeEntry {
  return { ...file(path, ''), kind: 'link', target }
}

/** @param entries each folder before what lies in it */
export function indexOf(entries: readonly MadeEntry[]): TreeIndex {
  const index = new TreeIndex()
  const numbers = new Map<string, number>()
  for (const { path, content, ...entry } of entries) {
    const slash = path.lastIndexOf('/')
    const parent = slash < 0 ? null : (numbers.get(path.slice(0, slash)) ?? null)
    numbers.set(path, index.add({ ...entry, parent, name: path.slice(slash + 1), sizeBytes: content.length }))
  }
  return index
}

/** Bytes of the tar from an offset on. */
export function tarPart(
  entries: readonly MadeEntry[],
  index: TreeIndex,
  offsetBytes: number,
  lengthBytes: number,
): Buffer {
  const pieces: Uint8Array[] = []
  for (const segment of index.segments(offsetBytes, lengthBytes)) {
    if (segment.kind === 'bytes') pieces.push(segment.bytes.slice())
    else {
      const { content } = entries[segment.entry] as MadeEntry
      pieces.push(content.subarray(segment.offsetBytes, segment.offsetBytes + segment.lengthBytes))
    }
  }
  return Buffer.concat(pieces)
}

export function tarOf(entries: readonly MadeEntry[]): Buffer {
  const index = indexOf(entries)
  return tarPart(entries, index, 0, index.sizeBytes)
}

/** Reads a tar in pieces of a length. */
export function readTar(tar: Uint8Array, pieceBytes = tar.length): ReadTree {
  const parser = new TreeParser()
  const entries: TreeEntry[] = []
  const contents = new Map<string, Uint8Array>()
  for (let at = 0; at < tar.length; at += pieceBytes) {
    for (const event of parser.push(tar.subarray(at, at + pieceBytes))) {
      if (event.type === 'entry') {
        entries.push(event.entry)
        if (event.entry.kind === 'file') contents.set(event.entry.path, new Uint8Array())
      } else {
        const path = entries.at(-1)?.path ?? ''
        const content = Buffer.concat([contents.get(path) ?? new Uint8Array(), event.bytes])
        contents.set(path, content)
        if (event.isLast !== (content.length === entries.at(-1)?.sizeBytes))
          throw new Error(`${path}: the last piece is not`)
      }
    }
  }
  parser.end()
  return { entries, contents }
}
