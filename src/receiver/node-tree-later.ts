/**
 * What is done once all files of a tree are written: symbolic links, which must not be there before, and the times of folders, which change
 * with each entry. A few are kept in memory; many go to a file, so that a tree of any number of folders takes no more memory.
 */
import { closeSync, createReadStream, openSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'

export type LaterLine =
  /** The path on the disk, and nanoseconds since 1970. */
  | { readonly kind: 'folder'; readonly path: string; readonly mtime: string }
  /** The path in the tree, and the folder on the disk. */
  | {
      readonly kind: 'link'
      readonly path: string
      readonly folder: string
      readonly target: string
      readonly mtime: string
    }

const MEMORY_LENGTH_MAX = 1024 * 1024
const FILE_MODE = 0o600

export class LaterList {
  readonly #path: string
  #lines: string[] = []
  #length = 0
  #descriptor: number | null = null
  #hasFile = false

  constructor(path: string) {
    this.#path = path
  }

  add(line: LaterLine): void {
    // Readers of lines take these two for ends of lines.
    const text = JSON.stringify(line).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
    this.#lines.push(text)
    this.#length += text.length
    if (this.#length > MEMORY_LENGTH_MAX) this.#write()
  }

  /** All lines, in the order in which they came. */
  async *lines(): AsyncGenerator<LaterLine, void, undefined> {
    if (this.#hasFile) {
      for await (const line of createInterface({ input: createReadStream(this.#path) })) yield JSON.parse(line)
    }
    for (const line of this.#lines) yield JSON.parse(line)
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor)
    this.#descriptor = null
  }

  #write(): void {
    this.#descriptor ??= openSync(this.#path, this.#hasFile ? 'a' : 'wx', FILE_MODE)
    this.#hasFile = true
    const bytes = Buffer.from(`${this.#lines.join('\n')}\n`)
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#descriptor, bytes, at)
    this.#lines = []
    this.#length = 0
  }
}
