/** Reads the tar of a received tree, from the browser's own copy of it. */
import type { TreeSize } from '../../../protocol/index.ts'
import { splitPath } from '../../../receiver/index.ts'
import { invalidTree, leadsInside, type TreeEntry, TreeParser, unnamedFoldersMax } from '../../../tree/index.ts'

/** An entry, and what a file of it has in it. */
export interface UnpackedEntry {
  readonly entry: TreeEntry
  /** A copy of what is small, and a slice of the tar for what is not. Empty for folders and links. */
  readonly content: Uint8Array<ArrayBuffer> | Blob
}

const nothing = new Uint8Array()

/** @throws Problem `tree-invalid`; the signal's reason */
export async function* entriesOf(tar: File, signal: AbortSignal): AsyncGenerator<UnpackedEntry, void, undefined> {
  const parser = new TreeParser()
  const reader = tar.stream().getReader()
  try {
    let atByte = 0
    let file: TreeEntry | null = null
    let contentAt: number | null = null
    for (;;) {
      const { done, value } = await reader.read()
      signal.throwIfAborted()
      if (done) break
      for (const event of parser.push(value)) {
        if (event.type === 'entry') {
          if (event.entry.sizeBytes === 0) yield { entry: event.entry, content: nothing }
          else file = event.entry
          contentAt = null
          continue
        }
        if (file === null) throw new Error('content of no file')
        const isWhole = contentAt === null && event.isLast
        contentAt ??= atByte + event.bytes.byteOffset - value.byteOffset
        if (isWhole) yield { entry: file, content: event.bytes.slice() }
        else if (event.isLast) yield { entry: file, content: tar.slice(contentAt, contentAt + file.sizeBytes) }
      }
      atByte += value.length
    }
    parser.end()
  } finally {
    // The stream may have failed already.
    reader.cancel().catch(() => {})
  }
}

/**
 * Checks a tree before anything of it is written.
 *
 * @returns how many symbolic links are in it
 * @throws Problem `tree-invalid`; the signal's reason
 */
export async function checkTree(tar: File, announced: TreeSize, signal: AbortSignal): Promise<number> {
  let fileCount = 0
  let contentBytes = 0
  let linkCount = 0
  const folders = new FolderCount()
  for await (const { entry } of entriesOf(tar, signal)) {
    const { path, kind, target } = entry
    folders.add(path, kind)
    if (kind === 'file') fileCount++
    if (kind === 'link') {
      linkCount++
      if (target === null || !leadsInside(path, target)) throw invalidTree(path, 'the link leads out of the tree')
    }
    contentBytes += entry.sizeBytes
    if (fileCount > announced.fileCount) throw invalidTree(path, 'there are more files than were announced')
    if (contentBytes > announced.contentBytes) throw invalidTree(path, 'there are more bytes than were announced')
  }
  if (fileCount < announced.fileCount || contentBytes < announced.contentBytes) {
    throw invalidTree(null, 'the tree has fewer files or bytes than were announced')
  }
  return linkCount
}

/** Counts the folders that are made only because something lies in them. */
class FolderCount {
  readonly #known = new Set([''])
  #unnamedCount = 0

  /** @throws Problem `tree-invalid` when there are too many of them */
  add(path: string, kind: TreeEntry['kind']): void {
    for (let [above] = splitPath(path); !this.#known.has(above); [above] = splitPath(above)) {
      this.#known.add(above)
      if (++this.#unnamedCount > unnamedFoldersMax) {
        throw invalidTree(path, `more than ${unnamedFoldersMax} folders have no entry of their own`)
      }
    }
    if (kind === 'folder') this.#known.add(path)
  }
}
