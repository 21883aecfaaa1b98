/**
 * A tar that exists nowhere as a whole: the list of its entries, from which follows what lies at any offset of it. So any part can be
 * made by itself, again and again, from the files.
 *
 * A million entries take about 60 MB: numbers are in typed arrays and names in one buffer, and no entry is an object.
 */
import { clampedTimeNs, type TreeEntry, type TreeEntryKind, treeEntriesMax } from './entry.ts'
import { headerLengthBytes, headerOf, isAscii, paddedBytes, tarEndBytes } from './tar-header.ts'

/** An entry to add. */
export interface NewTreeEntry extends Omit<TreeEntry, 'path'> {
  /** The number of the folder that it lies in; null for the root folder. */
  readonly parent: number | null
  /** One name of a path. */
  readonly name: string
}

/** A segment of the tar: bytes of a header, padding or the end, or bytes of a file's content. */
export type TarSegment =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'content'; readonly entry: number; readonly offsetBytes: number; readonly lengthBytes: number }

const kinds: readonly TreeEntryKind[] = ['file', 'folder', 'link']
const KIND_BITS = 0b11
const EXECUTABLE = 0b100
/** Set when neither the name nor a name above it has other characters than ASCII. */
const ASCII_PATH = 0b1000
const CAPACITY_FIRST = 64
const GROWTH = 1.5
/** UTF-8 has at most three bytes for a UTF-16 unit. */
const BYTES_PER_UNIT = 3
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

export class TreeIndex {
  #length = 0
  #fileCount = 0
  #contentBytes = 0
  /** Where the next header begins. */
  #endBytes = 0
  #namesBytes = 0
  /** The names, and behind the name of a link its target. */
  #names = new Uint8Array(CAPACITY_FIRST * 16)
  #nameAt = new Uint32Array(CAPACITY_FIRST + 1)
  #nameBytes = new Uint16Array(CAPACITY_FIRST)
  /** The root folder has itself. */
  #parents = new Uint32Array(CAPACITY_FIRST)
  #flags = new Uint8Array(CAPACITY_FIRST)
  #sizes = new Float64Array(CAPACITY_FIRST)
  #times = new BigInt64Array(CAPACITY_FIRST)
  #offsets = new Float64Array(CAPACITY_FIRST)
  #filesBefore = new Uint32Array(CAPACITY_FIRST)
  /** The path of the folder that was asked for last: files of a folder come one after another. */
  #lastFolder: { readonly entry: number; readonly path: string } | null = null

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

  /** Adds an entry at the end. The caller adds them in the order of the tar. @returns its number */
  add({ parent, name, kind, sizeBytes, mtimeNs, isExecutable, target }: NewTreeEntry): number {
    const entry = this.#length
    if (entry >= treeEntriesMax) throw new RangeError(`a tree has at most ${treeEntriesMax} entries`)
    this.#reserve(entry, name.length + (target?.length ?? 0))
    const nameAt = this.#namesBytes
    const nameBytes = encoder.encodeInto(name, this.#names.subarray(nameAt)).written
    const targetAt = nameAt + nameBytes
    const targetBytes = target === null ? 0 : encoder.encodeInto(target, this.#names.subarray(targetAt)).written
    this.#namesBytes = targetAt + targetBytes
    this.#nameBytes[entry] = nameBytes
    this.#nameAt[entry + 1] = this.#namesBytes
    this.#parents[entry] = parent ?? entry
    this.#sizes[entry] = sizeBytes
    const time = clampedTimeNs(mtimeNs)
    this.#times[entry] = time
    this.#offsets[entry] = this.#endBytes
    this.#filesBefore[entry] = this.#fileCount
    this.#length++
    const isAboveAscii = parent === null || (this.#flagsOf(parent) & ASCII_PATH) !== 0
    const isPathAscii = isAboveAscii && isAscii(this.#names.subarray(nameAt, targetAt))
    this.#flags[entry] = kinds.indexOf(kind) | (isExecutable ? EXECUTABLE : 0) | (isPathAscii ? ASCII_PATH : 0)
    const isTargetAscii = isAscii(this.#names.subarray(targetAt, this.#namesBytes))
    const pathBytes = this.pathBytes(entry) + (kind === 'folder' ? 1 : 0)
    const measures = { pathBytes, isPathAscii, targetBytes, isTargetAscii, sizeBytes, mtimeNs: time }
    this.#endBytes += headerLengthBytes(measures) + paddedBytes(sizeBytes)
    if (kind === 'file') {
      this.#fileCount++
      this.#contentBytes += sizeBytes
    }
    return entry
  }

  /** Gives back the memory that was reserved for more entries. */
  trim(): void {
    this.#resize(this.#length)
    this.#names = this.#names.slice(0, this.#namesBytes)
  }

  entry(entry: number): TreeEntry {
    const kind = this.kind(entry)
    const target =
      kind === 'link' ? this.#text(this.#at(this.#nameAt, entry) + this.#at(this.#nameBytes, entry), entry) : null
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
    return this.#times[entry] ?? 0n
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
    const at = this.#at(this.#nameAt, entry)
    return decoder.decode(this.#names.subarray(at, at + this.#at(this.#nameBytes, entry)))
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
        const header = headerOf(this.entry(entry))
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

  #flagsOf(entry: number): number {
    return this.#at(this.#flags, entry)
  }

  #at(numbers: Uint8Array | Uint16Array | Uint32Array | Float64Array, entry: number): number {
    return numbers[entry] ?? 0
  }

  #text(at: number, entry: number): string {
    return decoder.decode(this.#names.subarray(at, this.#at(this.#nameAt, entry + 1)))
  }

  #reserve(entry: number, units: number): void {
    if (entry >= this.#parents.length) this.#resize(Math.ceil(entry * GROWTH))
    const neededBytes = this.#namesBytes + units * BYTES_PER_UNIT
    if (neededBytes > this.#names.length) this.#names = resized(this.#names, Math.ceil(neededBytes * GROWTH))
  }

  #resize(capacity: number): void {
    this.#nameAt = resized(this.#nameAt, capacity + 1)
    this.#nameBytes = resized(this.#nameBytes, capacity)
    this.#parents = resized(this.#parents, capacity)
    this.#flags = resized(this.#flags, capacity)
    this.#sizes = resized(this.#sizes, capacity)
    this.#times = resized(this.#times, capacity)
    this.#offsets = resized(this.#offsets, capacity)
    this.#filesBefore = resized(this.#filesBefore, capacity)
  }
}

const zeros = new Uint8Array(tarEndBytes)

/** A copy of another length. */
function resized<Numbers extends Uint8Array | Uint16Array | Uint32Array | Float64Array | BigInt64Array>(
  numbers: Numbers,
  length: number,
): Numbers {
  const copy = new (numbers.constructor as new (length: number) => Numbers)(length)
  copy.set(numbers.subarray(0, length) as never)
  return copy
}
