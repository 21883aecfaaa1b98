/**
 * Reads the tar of a tree as its bytes come. Its input may be written by an attacker, or by another program than this one.
 *
 * It accepts what common programs write for files, folders and symbolic links: ustar, pax and the long names of GNU tar. It refuses
 * everything else with `tree-invalid`, also what programs are known to read in different ways. It holds no more in memory than one header
 * with its records.
 */
import {
  invalidTree,
  parseTimeNs,
  pathNames,
  type TreeEntry,
  type TreeEntryKind,
  treeDepthMax,
  treeEntriesMax,
  treePathBytesMax,
} from './entry.ts'
import { blockBytes, paddedBytes, ustarFields } from './tar-header.ts'

/** What comes in a tree, in its order. An entry that is a file of more than 0 bytes is followed by its content. */
export type TreeEvent =
  | { readonly type: 'entry'; readonly entry: TreeEntry }
  /** Bytes of the file that came last. They are a view of what was pushed. `isLast`: the file ends with them. */
  | { readonly type: 'content'; readonly bytes: Uint8Array; readonly isLast: boolean }

/** Longest pax records of an entry, and longest GNU name. */
const RECORDS_BYTES_MAX = 1024 * 1024
/** Longest decimal number of a record's length. */
const LENGTH_DIGITS_MAX = 8
const BLANK = 0x20
const EQUALS = 0x3d
const NEWLINE = 0x0a
const ZERO = 0x30
const SEVEN = 0x37
const NINE = 0x39
const OWNER_MAY_EXECUTE = 0o100
/** The end of a tar has two of these. */
const END_BLOCKS = 2
const kinds: ReadonlyMap<string, TreeEntryKind> = new Map([
  ['0', 'file'],
  ['\0', 'file'],
  // A file that shall lie in one run on the disk.
  ['7', 'file'],
  ['5', 'folder'],
  ['2', 'link'],
])
/** A header that only describes the next entry. */
const isAboutNext = (type: string): boolean => type === 'x' || type === 'g' || type === 'L' || type === 'K'
const UTF8_OF_PAX = 'ISO-IR 10646 2000 UTF-8'
/** Records that change what content an entry has, or how its names are to be read. */
const REFUSED_RECORDS = /^(?:GNU\.sparse\.|SCHILY\.realsize$|SUN\.holesdata$)/
const ASCII = new TextDecoder('latin1')
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The records before a header, which describe its entry. */
interface Records {
  path?: string
  linkpath?: string
  size?: string
  mtime?: string
}

type State =
  | { readonly at: 'header' }
  | {
      readonly at: 'records'
      readonly type: string
      readonly bytes: Uint8Array
      readonly paddedBytes: number
      done: number
    }
  | { readonly at: 'content'; left: number; readonly padding: number }
  | { readonly at: 'padding'; left: number }
  | { readonly at: 'end'; blocks: number }

export class TreeParser {
  readonly #block = new Uint8Array(blockBytes)
  #blockFill = 0
  #state: State = { at: 'header' }
  #records: Records = {}
  /** Names of GNU tar stand behind pax records of the same meaning. */
  #longName: string | null = null
  #longLink: string | null = null
  #root: string | null = null
  #entries = 0

  /** Whether the tar is complete. What follows may only be zeros. */
  get isComplete(): boolean {
    return this.#state.at === 'end' && this.#state.blocks >= END_BLOCKS
  }

  /**
   * Reads on. The caller goes through all events before it pushes more.
   *
   * @throws Problem `tree-invalid`
   */
  *push(bytes: Uint8Array): Generator<TreeEvent, void, undefined> {
    for (let at = 0; at < bytes.length; ) {
      const state = this.#state
      switch (state.at) {
        case 'content': {
          const taken = bytes.subarray(at, at + state.left)
          at += taken.length
          state.left -= taken.length
          const isLast = state.left === 0
          if (isLast) this.#state = state.padding === 0 ? { at: 'header' } : { at: 'padding', left: state.padding }
          yield { type: 'content', bytes: taken, isLast }
          break
        }
        case 'padding': {
          const skipped = Math.min(state.left, bytes.length - at)
          at += skipped
          state.left -= skipped
          if (state.left === 0) this.#state = { at: 'header' }
          break
        }
        case 'records': {
          const taken = bytes.subarray(at, at + state.paddedBytes - state.done)
          if (state.done < state.bytes.length) {
            state.bytes.set(taken.subarray(0, state.bytes.length - state.done), state.done)
          }
          at += taken.length
          state.done += taken.length
          if (state.done === state.paddedBytes) {
            this.#noteRecords(state.type, state.bytes)
            this.#state = { at: 'header' }
          }
          break
        }
        case 'header':
        case 'end': {
          const taken = bytes.subarray(at, at + blockBytes - this.#blockFill)
          at += taken.length
          const block = this.#wholeBlock(taken)
          if (block === null) break
          const entry = this.#readBlock(block)
          if (entry !== null) yield { type: 'entry', entry }
          break
        }
      }
    }
  }

  /** @throws Problem `tree-invalid` when the tar is not complete */
  end(): void {
    if (!this.isComplete || this.#blockFill > 0) throw invalidTree(this.#root, 'the tar ends early')
  }

  /** @returns the block when it is whole */
  #wholeBlock(taken: Uint8Array): Uint8Array | null {
    if (taken.length === blockBytes) return taken
    this.#block.set(taken, this.#blockFill)
    this.#blockFill += taken.length
    if (this.#blockFill < blockBytes) return null
    this.#blockFill = 0
    return this.#block
  }

  #readBlock(block: Uint8Array): TreeEntry | null {
    const isZero = isZeros(block)
    if (this.#state.at === 'end') {
      if (!isZero) throw invalidTree(this.#root, 'something follows the end of the tar')
      this.#state.blocks++
      return null
    }
    if (isZero) {
      if (this.#root === null) throw invalidTree(null, 'the tar has no entries')
      if (this.#isAnnounced) throw invalidTree(this.#root, 'a header announces an entry, and none follows')
      this.#state = { at: 'end', blocks: 1 }
      return null
    }
    requireChecksum(block)
    const type = ASCII.decode(bytesOf(block, 'type'))
    if (!isUstar(block)) throw invalidTree(null, 'a header is neither ustar nor GNU tar')
    if (isAboutNext(type)) return this.#beginRecords(type, block)
    const kind = kinds.get(type)
    if (kind === undefined)
      throw invalidTree(textOf(block, 'name'), `an entry of the type '${type}' is not part of trees`)
    return this.#entry(kind, block)
  }

  get #isAnnounced(): boolean {
    return Object.keys(this.#records).length > 0 || this.#longName !== null || this.#longLink !== null
  }

  #beginRecords(type: string, block: Uint8Array): null {
    const sizeBytes = numberOf(block, 'size')
    if (sizeBytes < 0 || sizeBytes > RECORDS_BYTES_MAX) throw invalidTree(null, 'the records of an entry are too long')
    if (sizeBytes === 0) return null
    const bytes = new Uint8Array(sizeBytes)
    this.#state = { at: 'records', type, bytes, paddedBytes: paddedBytes(sizeBytes), done: 0 }
    return null
  }

  #noteRecords(type: string, bytes: Uint8Array): void {
    if (type === 'L') this.#longName = textIn(bytes)
    else if (type === 'K') this.#longLink = textIn(bytes)
    else {
      const records = recordsIn(bytes)
      if (type === 'x') Object.assign(this.#records, records)
      else if (Object.keys(records).length > 0)
        throw invalidTree(null, 'records for all entries set names, sizes or times')
    }
  }

  #entry(kind: TreeEntryKind, block: Uint8Array): TreeEntry {
    const { path: recordPath, linkpath, size, mtime } = this.#records
    const shown = recordPath ?? this.#longName ?? nameOf(block)
    const names = pathNames(kind === 'folder' ? shown : withoutSlashAtEnd(shown))
    const path = names.join('/')
    const target = kind === 'link' ? (linkpath ?? this.#longLink ?? textOf(block, 'linkName')) : null
    this.#records = {}
    this.#longName = null
    this.#longLink = null
    this.#requirePlace(kind, names)
    if (isLonger(path) || (target !== null && isLonger(target))) throw invalidTree(path, 'the path is too long')
    if (target !== null && (target === '' || target.includes('\0'))) throw invalidTree(path, 'the link leads nowhere')
    const sizeBytes = size === undefined ? numberOf(block, 'size') : sizeIn(size)
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw invalidTree(path, 'the size is not valid')
    if (kind !== 'file' && sizeBytes !== 0) throw invalidTree(path, 'only files have content')
    const mtimeNs = mtime === undefined ? parseTimeNs(String(numberOf(block, 'mtime'))) : parseTimeNs(mtime)
    if (mtimeNs === null) throw invalidTree(path, 'the time is not valid')
    const isExecutable = kind === 'file' && (numberOf(block, 'mode') & OWNER_MAY_EXECUTE) !== 0
    if (sizeBytes > 0) this.#state = { at: 'content', left: sizeBytes, padding: paddedBytes(sizeBytes) - sizeBytes }
    return { path, kind, sizeBytes, mtimeNs, isExecutable, target }
  }

  /** The first entry is the root folder, and all others lie in it. */
  #requirePlace(kind: TreeEntryKind, names: readonly string[]): void {
    const path = names.join('/')
    if (++this.#entries > treeEntriesMax) throw invalidTree(path, `the tree has more than ${treeEntriesMax} entries`)
    if (names.length > treeDepthMax) throw invalidTree(path, `the path is deeper than ${treeDepthMax} names`)
    if (this.#root === null) {
      if (kind !== 'folder' || names.length !== 1) throw invalidTree(path, 'a tree begins with its root folder')
      this.#root = path
    } else if (names.length < 2 || names[0] !== this.#root) {
      throw invalidTree(path, 'the entry does not lie in the root folder')
    }
  }
}

function bytesOf(block: Uint8Array, field: keyof typeof ustarFields): Uint8Array {
  const [at, lengthBytes] = ustarFields[field]
  return block.subarray(at, at + lengthBytes)
}

/** `ustar`, NUL and `00`; or as GNU tar writes it, with blanks. */
function isUstar(block: Uint8Array): boolean {
  return isPosix(block) || hasMagic(block, 'ustar  \0')
}

function isPosix(block: Uint8Array): boolean {
  return hasMagic(block, 'ustar\0')
}

function hasMagic(block: Uint8Array, magic: string): boolean {
  const [at] = ustarFields.magic
  for (let index = 0; index < magic.length; index++) if (block[at + index] !== magic.charCodeAt(index)) return false
  return true
}

/** GNU tar has other things where POSIX has the beginning of a long path. */
function nameOf(block: Uint8Array): string {
  const prefix = isPosix(block) ? textOf(block, 'prefix') : ''
  return prefix === '' ? textOf(block, 'name') : `${prefix}/${textOf(block, 'name')}`
}

function textOf(block: Uint8Array, field: keyof typeof ustarFields): string {
  return textIn(bytesOf(block, field))
}

/** The text up to the first NUL. */
function textIn(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  try {
    return UTF8.decode(end < 0 ? bytes : bytes.subarray(0, end))
  } catch {
    throw invalidTree(null, 'a name is not UTF-8')
  }
}

/** A number in octal digits, or as two's complement in all bits but the first one, as GNU tar writes what is too large or negative. */
function numberOf(block: Uint8Array, field: keyof typeof ustarFields): number {
  const bytes = bytesOf(block, field)
  const first = bytes[0] ?? 0
  if (first === 0x80 || first === 0xff) {
    let value = first === 0xff ? -1n : 0n
    for (const byte of bytes.subarray(1)) value = value * 256n + BigInt(byte)
    const number = Number(value)
    if (!Number.isSafeInteger(number)) throw invalidTree(null, `the number in the field ${field} is too large`)
    return number
  }
  let number = 0
  let isBegun = false
  for (const byte of bytes) {
    if (byte >= ZERO && byte <= SEVEN) {
      number = number * 8 + (byte - ZERO)
      isBegun = true
    } else if (byte === 0 || (byte === BLANK && isBegun)) break
    else if (byte !== BLANK) throw invalidTree(null, `the field ${field} has no number`)
  }
  return number
}

function isZeros(block: Uint8Array): boolean {
  return block[0] === 0 && block.every((byte) => byte === 0)
}

/** The sum of all bytes, those of the checksum counted as blanks. Old programs added them as signed numbers. */
function requireChecksum(block: Uint8Array): void {
  const [at, lengthBytes] = ustarFields.checksum
  let sum = lengthBytes * BLANK
  let signedSum = sum
  for (let index = 0; index < block.length; index++) {
    if (index >= at && index < at + lengthBytes) continue
    const byte = block[index] ?? 0
    sum += byte
    signedSum += byte > 0x7f ? byte - 0x100 : byte
  }
  const stored = numberOf(block, 'checksum')
  if (stored !== sum && stored !== signedSum) throw invalidTree(null, 'the checksum of a header is wrong')
}

/** Records `LENGTH KEY=VALUE\n`; values may contain anything. @returns those that matter here */
function recordsIn(bytes: Uint8Array): Records {
  const records: Records = {}
  for (let at = 0; at < bytes.length; ) {
    const blank = bytes.indexOf(BLANK, at)
    const lengthBytes = lengthIn(bytes.subarray(at, blank < 0 ? at : blank))
    const end = at + lengthBytes
    const equals = bytes.indexOf(EQUALS, blank)
    if (end > bytes.length || equals <= blank + 1 || equals >= end || bytes[end - 1] !== NEWLINE) throw badRecord()
    const key = textIn(bytes.subarray(blank + 1, equals))
    noteRecord(records, key, bytes.subarray(equals + 1, end - 1))
    at = end
  }
  return records
}

function noteRecord(records: Records, key: string, value: Uint8Array): void {
  if (REFUSED_RECORDS.test(key)) throw invalidTree(null, `the record ${key} is not part of trees`)
  switch (key) {
    case 'path':
    case 'linkpath':
    case 'size':
    case 'mtime':
      if (value.length === 0 || value.includes(0)) throw badRecord()
      records[key] = textIn(value)
      break
    case 'hdrcharset':
      if (textIn(value) !== UTF8_OF_PAX) throw invalidTree(null, 'the names are not UTF-8')
      break
  }
}

function lengthIn(digits: Uint8Array): number {
  if (digits.length === 0 || digits.length > LENGTH_DIGITS_MAX) throw badRecord()
  let length = 0
  for (const digit of digits) {
    if (digit < ZERO || digit > NINE) throw badRecord()
    length = length * 10 + (digit - ZERO)
  }
  // At least `LENGTH K=\n`.
  if (length < digits.length + 4) throw badRecord()
  return length
}

function badRecord(): Error {
  return invalidTree(null, 'a pax record is not valid')
}

function sizeIn(text: string): number {
  return /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
}

function withoutSlashAtEnd(path: string): string {
  if (path.endsWith('/')) throw invalidTree(path, 'only the path of a folder ends with /')
  return path
}

/** UTF-8 takes at most three bytes for a UTF-16 unit, so that most paths need not be encoded. */
function isLonger(path: string): boolean {
  return path.length * 3 > treePathBytesMax && new TextEncoder().encode(path).length > treePathBytesMax
}
