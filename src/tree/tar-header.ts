/**
 * Tar headers as this program writes them: the pax interchange format of POSIX.1-2001, in a form in which each header follows from its
 * entry alone. PROTOCOL.md, Trees, says the same in prose.
 *
 * What a ustar header cannot say exactly stands in pax records before it: `path`, `linkpath`, `size` and `mtime`, in this order. Owner
 * and group are 0 and have no names. The mode is 0755 for folders and executable files, 0644 for other files, 0777 for links.
 */
import { secondsText } from '../protocol/index.ts'
import type { TreeEntry, TreeEntryKind } from './entry.ts'

export const blockBytes = 512
/** The two blocks of zeros that end a tar. */
export const tarEndBytes = 2 * blockBytes

/** Where the fields of a ustar header begin, and how long they are. */
export const ustarFields = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 8],
  deviceMajor: [329, 8],
  deviceMinor: [337, 8],
  prefix: [345, 155],
} as const

const NAME_BYTES = 100
/** The largest number that 11 octal digits hold. */
const OCTAL_MAX = 0o77777777777
const NS_PER_SECOND = 1_000_000_000n
const OCTAL_MAX_NS = (BigInt(OCTAL_MAX) + 1n) * NS_PER_SECOND
const USTAR = 'ustar\u000000'
const PAX_NAME = 'PaxHeaders/entry'
const PAX_TYPE = 'x'
const types: Readonly<Record<TreeEntryKind, string>> = { file: '0', folder: '5', link: '2' }
const encoder = new TextEncoder()
const nothing = new Uint8Array()
const paxName = encoder.encode(PAX_NAME)

/** Lengths that a header's length follows from. Lengths of texts are in bytes of UTF-8. */
export interface HeaderMeasures {
  /** A folder's path has `/` at its end. */
  readonly pathBytes: number
  readonly isPathAscii: boolean
  /** 0 for what is not a link. */
  readonly targetBytes: number
  readonly isTargetAscii: boolean
  readonly sizeBytes: number
  readonly mtimeNs: bigint
}

/** How long the header of an entry is, pax records included: one block, or at least three. */
export function headerLengthBytes(measures: HeaderMeasures): number {
  const { pathBytes, isPathAscii, targetBytes, isTargetAscii, sizeBytes, mtimeNs } = measures
  let recordsBytes = 0
  if (!fitsName(pathBytes, isPathAscii)) recordsBytes += recordLengthBytes('path', pathBytes)
  if (!fitsName(targetBytes, isTargetAscii)) recordsBytes += recordLengthBytes('linkpath', targetBytes)
  if (sizeBytes > OCTAL_MAX) recordsBytes += recordLengthBytes('size', String(sizeBytes).length)
  if (!fitsTime(mtimeNs)) recordsBytes += recordLengthBytes('mtime', secondsText(mtimeNs).length)
  return recordsBytes === 0 ? blockBytes : 2 * blockBytes + paddedBytes(recordsBytes)
}

/** The header of an entry, pax records included. Its length is a multiple of 512 bytes. */
export function headerOf(entry: TreeEntry): Uint8Array {
  const { kind, sizeBytes, mtimeNs } = entry
  const path = encoder.encode(kind === 'folder' ? `${entry.path}/` : entry.path)
  const target = entry.target === null ? nothing : encoder.encode(entry.target)
  const isPathAscii = isAscii(path)
  const isTargetAscii = isAscii(target)
  const measures = {
    pathBytes: path.length,
    isPathAscii,
    targetBytes: target.length,
    isTargetAscii,
    sizeBytes,
    mtimeNs,
  }
  const header = new Uint8Array(headerLengthBytes(measures))
  const last = header.length - blockBytes
  if (last > 0) {
    let at = blockBytes
    if (!fitsName(path.length, isPathAscii)) at = writeRecord(header, at, 'path', path)
    if (!fitsName(target.length, isTargetAscii)) at = writeRecord(header, at, 'linkpath', target)
    if (sizeBytes > OCTAL_MAX) at = writeRecord(header, at, 'size', encoder.encode(String(sizeBytes)))
    if (!fitsTime(mtimeNs)) at = writeRecord(header, at, 'mtime', encoder.encode(secondsText(mtimeNs)))
    const records = { type: PAX_TYPE, mode: 0o644, sizeBytes: at - blockBytes, mtimeSeconds: 0 }
    writeBlock(header, 0, paxName, nothing, records)
  }
  const isFullMode = kind === 'folder' || (kind === 'file' && entry.isExecutable)
  writeBlock(header, last, cut(path), cut(target), {
    type: types[kind],
    mode: kind === 'link' ? 0o777 : isFullMode ? 0o755 : 0o644,
    sizeBytes: sizeBytes > OCTAL_MAX ? 0 : sizeBytes,
    mtimeSeconds: mtimeNs < 0n || mtimeNs >= OCTAL_MAX_NS ? 0 : Number(mtimeNs / NS_PER_SECOND),
  })
  return header
}

/** The next multiple of 512. */
export function paddedBytes(lengthBytes: number): number {
  return Math.ceil(lengthBytes / blockBytes) * blockBytes
}

export function isAscii(bytes: Uint8Array): boolean {
  for (let index = 0; index < bytes.length; index++) if ((bytes[index] ?? 0) > 0x7f) return false
  return true
}

/** POSIX wants ASCII in the fields of a ustar header. */
function fitsName(lengthBytes: number, isTextAscii: boolean): boolean {
  return isTextAscii && lengthBytes <= NAME_BYTES
}

function fitsTime(mtimeNs: bigint): boolean {
  return mtimeNs >= 0n && mtimeNs < OCTAL_MAX_NS && mtimeNs % NS_PER_SECOND === 0n
}

/** The text that programs without support for pax records see instead of a long one: its beginning, as ASCII. */
function cut(text: Uint8Array): Uint8Array {
  return text.length <= NAME_BYTES && isAscii(text)
    ? text
    : text.slice(0, NAME_BYTES).map((byte) => (byte > 0x7f ? UNDERSCORE : byte))
}

const UNDERSCORE = 0x5f

/** `LENGTH KEY=VALUE\n`, where LENGTH counts itself, too. */
function recordLengthBytes(key: string, valueBytes: number): number {
  const withoutLength = key.length + valueBytes + ' =\n'.length
  let lengthBytes = withoutLength + 1
  while (lengthBytes !== withoutLength + String(lengthBytes).length) lengthBytes++
  return lengthBytes
}

function writeRecord(target: Uint8Array, at: number, key: string, value: Uint8Array): number {
  const lengthBytes = recordLengthBytes(key, value.length)
  const begin = `${lengthBytes} ${key}=`
  writeAscii(target, at, begin)
  target.set(value, at + begin.length)
  target[at + lengthBytes - 1] = NEWLINE
  return at + lengthBytes
}

const NEWLINE = 0x0a

interface BlockFields {
  readonly type: string
  readonly mode: number
  readonly sizeBytes: number
  readonly mtimeSeconds: number
}

function writeBlock(header: Uint8Array, at: number, name: Uint8Array, linkName: Uint8Array, fields: BlockFields): void {
  const block = header.subarray(at, at + blockBytes)
  block.set(name, ustarFields.name[0])
  writeOctal(block, ustarFields.mode, fields.mode)
  writeOctal(block, ustarFields.uid, 0)
  writeOctal(block, ustarFields.gid, 0)
  writeOctal(block, ustarFields.size, fields.sizeBytes)
  writeOctal(block, ustarFields.mtime, fields.mtimeSeconds)
  writeAscii(block, ustarFields.type[0], fields.type)
  block.set(linkName, ustarFields.linkName[0])
  writeAscii(block, ustarFields.magic[0], USTAR)
  writeOctal(block, ustarFields.deviceMajor, 0)
  writeOctal(block, ustarFields.deviceMinor, 0)
  const [checksumAt, checksumBytes] = ustarFields.checksum
  block.fill(BLANK, checksumAt, checksumAt + checksumBytes)
  let sum = 0
  for (let index = 0; index < blockBytes; index++) sum += block[index] ?? 0
  // Six digits, NUL, blank: as tar has always written it.
  writeOctal(block, [checksumAt, checksumBytes - 1], sum)
}

const BLANK = 0x20
const ZERO = 0x30

/** Octal digits up to the end of the field, which is NUL. */
function writeOctal(block: Uint8Array, [at, lengthBytes]: readonly [number, number], value: number): void {
  let left = value
  block[at + lengthBytes - 1] = 0
  for (let index = at + lengthBytes - 2; index >= at; index--) {
    block[index] = ZERO + (left % 8)
    left = Math.floor(left / 8)
  }
}

function writeAscii(target: Uint8Array, at: number, text: string): void {
  for (let index = 0; index < text.length; index++) target[at + index] = text.charCodeAt(index)
}
