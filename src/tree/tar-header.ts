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
const BLANK = 0x20
const ZERO = 0x30
const UNDERSCORE = 0x5f
const NEWLINE = 0x0a
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

/** What a header says. */
export interface TarHeader extends HeaderMeasures {
  readonly kind: TreeEntryKind
  readonly isExecutable: boolean
  /** In UTF-8; that of a folder has `/` at its end. */
  readonly path: Uint8Array
  /** Empty for what is not a link. */
  readonly target: Uint8Array
}

/** Writes headers, pax records included. Their lengths are multiples of 512 bytes. */
export class HeaderWriter {
  #memory = new Uint8Array(4 * blockBytes)

  /** @returns the header, in memory that the next call uses again */
  write(fields: TarHeader): Uint8Array {
    const { kind, path, target, sizeBytes, mtimeNs } = fields
    const lengthBytes = headerLengthBytes(fields)
    if (lengthBytes > this.#memory.length) this.#memory = new Uint8Array(lengthBytes)
    const header = this.#memory.subarray(0, lengthBytes).fill(0)
    const last = header.length - blockBytes
    if (last > 0) {
      let at = blockBytes
      if (!fitsName(path.length, fields.isPathAscii)) at = writeRecord(header, at, 'path', path)
      if (!fitsName(target.length, fields.isTargetAscii)) at = writeRecord(header, at, 'linkpath', target)
      if (sizeBytes > OCTAL_MAX) at = writeRecord(header, at, 'size', String(sizeBytes))
      if (!fitsTime(mtimeNs)) at = writeRecord(header, at, 'mtime', secondsText(mtimeNs))
      const records = { type: PAX_TYPE, mode: 0o644, sizeBytes: at - blockBytes, mtimeSeconds: 0 }
      writeBlock(header, 0, paxName, nothing, records)
    }
    const isFullMode = kind === 'folder' || (kind === 'file' && fields.isExecutable)
    writeBlock(header, last, path, target, {
      type: types[kind],
      mode: kind === 'link' ? 0o777 : isFullMode ? 0o755 : 0o644,
      sizeBytes: sizeBytes > OCTAL_MAX ? 0 : sizeBytes,
      mtimeSeconds: mtimeNs < 0n || mtimeNs >= OCTAL_MAX_NS ? 0 : Number(mtimeNs / NS_PER_SECOND),
    })
    return header
  }
}

/** The header of one entry. */
export function headerOf(entry: TreeEntry): Uint8Array {
  const path = encoder.encode(entry.kind === 'folder' ? `${entry.path}/` : entry.path)
  const target = entry.target === null ? nothing : encoder.encode(entry.target)
  return new HeaderWriter().write({
    ...entry,
    ...{ path, pathBytes: path.length, isPathAscii: isAscii(path) },
    ...{ target, targetBytes: target.length, isTargetAscii: isAscii(target) },
  })
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

/** `LENGTH KEY=VALUE\n`, where LENGTH counts itself, too. */
function recordLengthBytes(key: string, valueBytes: number): number {
  const withoutLength = key.length + valueBytes + ' =\n'.length
  let lengthBytes = withoutLength + 1
  while (lengthBytes !== withoutLength + String(lengthBytes).length) lengthBytes++
  return lengthBytes
}

/** @param value a text is ASCII */
function writeRecord(target: Uint8Array, at: number, key: string, value: Uint8Array | string): number {
  const lengthBytes = recordLengthBytes(key, value.length)
  const begin = `${lengthBytes} ${key}=`
  writeAscii(target, at, begin)
  if (typeof value === 'string') writeAscii(target, at + begin.length, value)
  else target.set(value, at + begin.length)
  target[at + lengthBytes - 1] = NEWLINE
  return at + lengthBytes
}

interface BlockFields {
  readonly type: string
  readonly mode: number
  readonly sizeBytes: number
  readonly mtimeSeconds: number
}

/** What is the same in all headers. */
const template = new Uint8Array(blockBytes)
for (const field of ['uid', 'gid', 'deviceMajor', 'deviceMinor'] as const) writeOctal(template, ustarFields[field], 0)
writeAscii(template, ustarFields.magic[0], USTAR)
template.fill(BLANK, ustarFields.checksum[0], ustarFields.checksum[0] + ustarFields.checksum[1])
const templateSum = template.reduce((sum, byte) => sum + byte, 0)

function writeBlock(header: Uint8Array, at: number, name: Uint8Array, linkName: Uint8Array, fields: BlockFields): void {
  const block = header.subarray(at, at + blockBytes)
  block.set(template)
  let sum = templateSum
  sum += writeName(block, ustarFields.name, name)
  sum += writeOctal(block, ustarFields.mode, fields.mode)
  sum += writeOctal(block, ustarFields.size, fields.sizeBytes)
  sum += writeOctal(block, ustarFields.mtime, fields.mtimeSeconds)
  sum += writeAscii(block, ustarFields.type[0], fields.type)
  sum += writeName(block, ustarFields.linkName, linkName)
  const [checksumAt, checksumBytes] = ustarFields.checksum
  // Six digits, NUL, blank: as tar has always written it.
  writeOctal(block, [checksumAt, checksumBytes - 1], sum)
}

/**
 * Where a record has the text, programs without support for pax records see the beginning of it, as ASCII.
 *
 * @returns the sum of the bytes, as all of these functions do
 */
function writeName(block: Uint8Array, [at, lengthBytes]: readonly [number, number], text: Uint8Array): number {
  let sum = 0
  for (let index = 0; index < text.length && index < lengthBytes; index++) {
    const byte = text[index] ?? 0
    const written = byte > 0x7f ? UNDERSCORE : byte
    block[at + index] = written
    sum += written
  }
  return sum
}

/** Octal digits up to the end of the field, which is NUL. */
function writeOctal(block: Uint8Array, [at, lengthBytes]: readonly [number, number], value: number): number {
  let sum = 0
  let left = value
  block[at + lengthBytes - 1] = 0
  for (let index = at + lengthBytes - 2; index >= at; index--) {
    const rest = Math.floor(left / 8)
    const digit = ZERO + (left - rest * 8)
    block[index] = digit
    sum += digit
    left = rest
  }
  return sum
}

function writeAscii(target: Uint8Array, at: number, text: string): number {
  let sum = 0
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    target[at + index] = code
    sum += code
  }
  return sum
}
