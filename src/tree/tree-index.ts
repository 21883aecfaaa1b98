/**
 * A tar that exists nowhere as a whole: the list of its entries, from which follows what lies at any offset of it. So any part can be
 * made by itself, again and again, from the files.
 *
 * A million entries take about 60 MB: numbers and names are in typed arrays, and no entry is an object.
 */
import { Problem } from '../protocol/index.ts'
import { Column, TextColumn } from './column.ts'
import { clampedTimeNs, type TreeEntry, type TreeEntryKind, treeEntriesMax } from './entry.ts'
import { HeaderWriter, headerLengthBytes, isAscii, paddedBytes, tarEndBytes } from './tar-header.ts'

/** An entry to add. */
export interface NewTreeEntry extends Omit<TreeEntry, 'path'> {
  /** The number of the folder that it lies in; null for the root folder. */
  readonly parent: number | null
  /** One name of a path. */
  readonly name: string
}

/**
 * A segment of the tar: bytes of a header, padding or the end, or bytes of a file's content. Bytes of a header lie in memory that the next
 * segment uses again.
 */
export type TarSegment =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'content'; readonly entry: number; readonly offsetBytes: number; readonly lengthBytes: number }

const kinds: readonly TreeEntryKind[] = ['file', 'folder', 'link']
const KIND_BITS = 0b11
const EXECUTABLE = 0b100
/** Set when neither the name nor a name above it has other characters than ASCII. */
const ASCII_PATH = 0b1000
const SLASH = 0x2f
const PATH_BYTES_FIRST = 512
const nothing = new Uint8Array()
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

export class TreeIndex {
  #length = 0
  #fileCount = 0
  #contentBytes = 0
  /** Where the next header begins. */
  #endBytes = 0
  /** The names, and behind the name of a link its target. */
  readonly #names = new TextColumn()
  readonly #nameAt = new Column<number>((length) => new Uint32Array(length))
  readonly #nameBytes = new Column<number>((length) => new Uint16Array(length))
  readonly #targetBytes = new Column<number>((length) => new Uint16Array(length))
  /** The root folder has itself. */
  readonly #parents = new Column<number>((length) => new Uint32Array(length))
  readonly #flags = new Column<number>((length) => new Uint8Array(length))
  readonly #sizes = new Column<number>((length) => new Float64Array(length))
  readonly #times = new Column<bigint>((length) => new BigInt64Array(length))
  readonly #offsets = new Column<number>((length) => new Float64Array(length))
  readonly #filesBefore = new Column<number>((length) => new Uint32Array(length))
  /** The path of the folder that was asked for last: files of a folder come one after another. */
  #lastFolder: { readonly entry: number; readonly path: string } | null = null
  /** The same in UTF-8, with `/` at its end. */
  #lastAbove: { readonly entry: number; readonly path: Uint8Array } | null = null
  readonly #headers = new HeaderWriter()
  #path = new Uint8Array(PATH_BYTES_FIRST)
  readonly #entriesMax: number

  /** @param entriesMax replaces the limit, for tests */
  constructor(entriesMax = treeEntriesMax) {
    this.#entriesMax = entriesMax
  }

  /** Entries so far. The root folder has the number 0. */
  get length(): number {
    return this.#length
  }

  get fileCount(): number {
    return this.#fileCount
  }

  /** The lengths of all files together. */
  get contentBytes(): number {
    return this.#contentBytes
  }

  /** The length of the tar. */
  get sizeBytes(): number {
    return this.#endBytes + tarEndBytes
  }

  /**
   * Adds an entry at the end. The caller adds them in the order of the tar.
   *
   * @returns its number
   * @throws Problem `source-unreadable` when the tree has as many entries as it may have
   */
  add({ parent, name, kind, sizeBytes, mtimeNs, isExecutable, target }: NewTreeEntry): number {
    const entry = this.#length
    if (entry >= this.#entriesMax) throw this.#tooMany()
    const nameAt = this.#names.begin(name.length + (target?.length ?? 0))
    const nameBytes = this.#names.append(name)
    const targetBytes = target === null ? 0 : this.#names.append(target)
    this.#nameAt.set(entry, nameAt)
    this.#nameBytes.set(entry, nameBytes)
    this.#targetBytes.set(entry, targetBytes)
    this.#parents.set(entry, parent ?? entry)
    this.#sizes.set(entry, sizeBytes)
    const time = clampedTimeNs(mtimeNs)
    this.#times.set(entry, time)
    this.#offsets.set(entry, this.#endBytes)
    this.#filesBefore.set(entry, this.#fileCount)
    this.#length++
    const isAboveAscii = parent === null || (this.#flagsOf(parent) & ASCII_PATH) !== 0
    const isPathAscii = isAboveAscii && isAscii(this.#names.bytes(nameAt, nameBytes))
    this.#flags.set(entry, kinds.indexOf(kind) | (isExecutable ? EXECUTABLE : 0) | (isPathAscii ? ASCII_PATH : 0))
    const isTargetAscii = isAscii(this.#names.bytes(nameAt + nameBytes, targetBytes))
    const pathBytes = this.pathBytes(entry) + (kind === 'folder' ? 1 : 0)
    const measures = { pathBytes, isPathAscii, targetBytes, isTargetAscii, sizeBytes, mtimeNs: time }
    this.#endBytes += headerLengthBytes(measures) + paddedBytes(sizeBytes)
    if (kind === 'file') {
      this.#fileCount++
      this.#contentBytes += sizeBytes
    }
    return entry
  }

  entry(entry: number): TreeEntry {
    const kind = this.kind(entry)
    const target = kind === 'link' ? this.#target(entry) : null
    const isExecutable = (this.#flagsOf(entry) & EXECUTABLE) !== 0
    return {
      path: this.path(entry),
      kind,
      sizeBytes: this.size(entry),
      mtimeNs: this.time(entry),
      isExecutable,
      target,
    }
  }

  kind(entry: number): TreeEntryKind {
    return kinds[this.#flagsOf(entry) & KIND_BITS] ?? 'file'
  }

  size(entry: number): number {
    return this.#at(this.#sizes, entry)
  }

  time(entry: number): bigint {
    return this.#times.at(entry) ?? 0n
  }

  /** Where the header of the entry begins. */
  offset(entry: number): number {
    return this.#at(this.#offsets, entry)
  }

  /** How many files come before the entry. */
  filesBefore(entry: number): number {
    return this.#at(this.#filesBefore, entry)
  }

  /** The number of the folder that the entry lies in; null for the root folder. */
  parent(entry: number): number | null {
    const parent = this.#at(this.#parents, entry)
    return parent === entry ? null : parent
  }

  name(entry: number): string {
    return this.#text(this.#at(this.#nameAt, entry), this.#at(this.#nameBytes, entry))
  }

  path(entry: number): string {
    const parent = this.parent(entry)
    if (parent === null) return this.name(entry)
    if (this.#lastFolder?.entry !== parent) this.#lastFolder = { entry: parent, path: this.path(parent) }
    return `${this.#lastFolder.path}/${this.name(entry)}`
  }

  /** The length of {@link path} in bytes of UTF-8. */
  pathBytes(entry: number): number {
    let lengthBytes = this.#at(this.#nameBytes, entry)
    for (let above = this.parent(entry); above !== null; above = this.parent(above)) {
      lengthBytes += 1 + this.#at(this.#nameBytes, above)
    }
    return lengthBytes
  }

  /** The entry whose header or content, with its padding, lies at the offset; the last one for the end of the tar. */
  entryAt(offsetBytes: number): number {
    let from = 0
    let to = this.#length
    while (to - from > 1) {
      const middle = (from + to) >> 1
      if (this.offset(middle) <= offsetBytes) from = middle
      else to = middle
    }
    return from
  }

  /** The segments from `offsetBytes` on, in order, up to the end of the tar. */
  *segments(offsetBytes: number, lengthBytes: number): Generator<TarSegment, void, undefined> {
    const end = Math.min(offsetBytes + lengthBytes, this.sizeBytes)
    let at = offsetBytes
    for (let entry = this.entryAt(at); at < end && entry < this.#length; entry++) {
      const nextAt = entry + 1 < this.#length ? this.offset(entry + 1) : this.#endBytes
      const sizeBytes = this.size(entry)
      const contentAt = nextAt - paddedBytes(sizeBytes)
      if (at < contentAt) {
        const header = this.#header(entry)
        const from = at - this.offset(entry)
        const bytes = header.subarray(from, from + (end - at))
        yield { kind: 'bytes', bytes }
        at += bytes.length
      }
      const contentEnd = Math.min(contentAt + sizeBytes, end)
      if (at < contentEnd) {
        yield { kind: 'content', entry, offsetBytes: at - contentAt, lengthBytes: contentEnd - at }
        at = contentEnd
      }
      const paddingEnd = Math.min(nextAt, end)
      if (at < paddingEnd) {
        yield { kind: 'bytes', bytes: zeros.subarray(0, paddingEnd - at) }
        at = paddingEnd
      }
    }
    if (at < end) yield { kind: 'bytes', bytes: zeros.subarray(0, end - at) }
  }

  /** The header of an entry. Made of the bytes that are kept here, because to decode and encode names would take longer than the rest. */
  #header(entry: number): Uint8Array {
    const flags = this.#flagsOf(entry)
    const kind = this.kind(entry)
    const path = this.#pathInUtf8(entry, kind)
    const nameEnd = this.#at(this.#nameAt, entry) + this.#at(this.#nameBytes, entry)
    const target = this.#names.bytes(nameEnd, this.#at(this.#targetBytes, entry))
    return this.#headers.write({
      kind,
      isExecutable: (flags & EXECUTABLE) !== 0,
      sizeBytes: this.size(entry),
      mtimeNs: this.time(entry),
      ...{ path, pathBytes: path.length, isPathAscii: (flags & ASCII_PATH) !== 0 },
      ...{ target, targetBytes: target.length, isTargetAscii: isAscii(target) },
    })
  }

  /** The path, that of a folder with `/` at its end, in memory that the next call uses again. */
  #pathInUtf8(entry: number, kind: TreeEntryKind): Uint8Array {
    const parent = this.parent(entry)
    if (parent !== null && this.#lastAbove?.entry !== parent) {
      this.#lastAbove = { entry: parent, path: encoder.encode(`${this.path(parent)}/`) }
    }
    const above = parent === null ? nothing : (this.#lastAbove?.path ?? nothing)
    const name = this.#names.bytes(this.#at(this.#nameAt, entry), this.#at(this.#nameBytes, entry))
    const lengthBytes = above.length + name.length + (kind === 'folder' ? 1 : 0)
    if (lengthBytes > this.#path.length) this.#path = new Uint8Array(lengthBytes * 2)
    this.#path.set(above)
    this.#path.set(name, above.length)
    if (kind === 'folder') this.#path[lengthBytes - 1] = SLASH
    return this.#path.subarray(0, lengthBytes)
  }

  #tooMany(): Problem {
    const path = this.name(0)
    const detail = `${path}: a folder has at most ${this.#entriesMax} files, folders and links`
    return new Problem('source-unreadable', { path, detail })
  }

  #flagsOf(entry: number): number {
    return this.#at(this.#flags, entry)
  }

  #at(numbers: Column<number>, entry: number): number {
    return numbers.at(entry) ?? 0
  }

  #target(entry: number): string {
    const at = this.#at(this.#nameAt, entry) + this.#at(this.#nameBytes, entry)
    return this.#text(at, this.#at(this.#targetBytes, entry))
  }

  #text(at: number, lengthBytes: number): string {
    return decoder.decode(this.#names.bytes(at, lengthBytes))
  }
}

const zeros = new Uint8Array(tarEndBytes)
