/**
 * What belongs to a file besides its name and content: parameters of the media type in the metadata (RFC 2045 section 5.1). A peer that
 * does not know a parameter ignores it, as the RFC says, so that older programs read the same metadata.
 *
 *     text/plain; mtime=1732950000.123456789; executable=1
 *     application/x-tar; tree=1; files=20000; bytes=81920000
 *
 * The second form is a tree: the content is a tar of a folder, with `files` regular files of `bytes` bytes together. Without valid
 * numbers it is a tar like any other. Invalid parameters are ignored, and of two with the same name the second one.
 */
import { mediaTypeLengthMax } from './limits.ts'

/** The media type of content about which nothing is known (RFC 2046 section 4.5.1). */
export const unknownMediaType = 'application/octet-stream'
const TREE_TYPE = 'application/x-tar'
/** The end of the name of a tree. A receiver that unpacks the tree removes it. */
export const treeNameEnd = '.tar'

/** The size of a tree, as its sender announces it. A receiver unpacks no more. */
export interface TreeSize {
  /** The number of regular files. */
  readonly fileCount: number
  /** The sum of the sizes of the regular files, in bytes. */
  readonly contentBytes: number
}

/** The properties of a file that its media type contains. */
export interface FileTraits {
  /** Type and subtype in lower case, without parameters; null where the sender said none. */
  readonly mediaType: string | null
  /** The time of the last modification, in nanoseconds since 1970; null where it is unknown. */
  readonly mtimeNs: bigint | null
  readonly isExecutable: boolean
  /** Null where the content is a file. */
  readonly tree: TreeSize | null
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const TYPE = new RegExp(`^[\\t ]*(${TOKEN}/${TOKEN})[\\t ]*(?=;|$)`)
const PARAMETER = new RegExp(`;[\\t ]*(?:(${TOKEN})=(?:(${TOKEN})|"((?:[^"\\\\]|\\\\.)*)")[\\t ]*(?=;|$))?`, 'g')
/** Seconds since 1970, with up to nine digits behind the point: the form of `mtime` in pax archives, too. */
const SECONDS = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?$/
const COUNT = /^\d{1,16}$/
const NS_PER_SECOND = 1_000_000_000n
const NS_DIGITS = 9
const MS_PER_SECOND = 1000
/** The years 0 to 9999, which RFC 3339 can write. */
const SECONDS_MIN = -62_167_219_200n
const SECONDS_MAX = 253_402_300_799n

/** @param text the media type in the metadata of a transfer */
export function fileTraitsOf(text: string | undefined): FileTraits {
  const [whole, type] = TYPE.exec(text ?? '') ?? []
  if (text === undefined || whole === undefined || type === undefined) {
    return { mediaType: null, mtimeNs: null, isExecutable: false, tree: null }
  }
  const mediaType = type.toLowerCase()
  const parameters = new Map<string, string>()
  for (const [, name, token, quoted] of text.slice(whole.length).matchAll(PARAMETER)) {
    const key = name?.toLowerCase()
    if (key === undefined || parameters.has(key)) continue
    parameters.set(key, token ?? quoted?.replace(/\\(.)/g, '$1') ?? '')
  }
  return {
    mediaType,
    mtimeNs: nanosecondsOf(parameters.get('mtime') ?? ''),
    isExecutable: parameters.get('executable') === '1',
    tree: mediaType === TREE_TYPE && parameters.get('tree') === '1' ? treeSizeOf(parameters) : null,
  }
}

/** The media type for the metadata of a file; undefined where nothing is known about it. */
export function fileMediaType({ mediaType, mtimeNs, isExecutable }: Omit<FileTraits, 'tree'>): string | undefined {
  if (mediaType === null && mtimeNs === null && !isExecutable) return undefined
  const mtime = mtimeNs === null || !canTell(mtimeNs) ? '' : `; mtime=${secondsText(mtimeNs)}`
  const parameters = `${mtime}${isExecutable ? '; executable=1' : ''}`
  const type = mediaType ?? unknownMediaType
  return (type.length + parameters.length > mediaTypeLengthMax ? unknownMediaType : type) + parameters
}

/** The media type for the metadata of a tree. */
export function treeMediaType({ fileCount, contentBytes }: TreeSize): string {
  return `${TREE_TYPE}; tree=1; files=${fileCount}; bytes=${contentBytes}`
}

/**
 * Reads seconds since 1970 as they stand in `mtime`.
 *
 * @returns null for a text of another form, and for a time outside the years 0 to 9999
 */
export function nanosecondsOf(text: string): bigint | null {
  const [, sign, seconds, fraction = ''] = SECONDS.exec(text) ?? []
  if (seconds === undefined) return null
  const ns = BigInt(seconds) * NS_PER_SECOND + BigInt(fraction.padEnd(NS_DIGITS, '0'))
  const signed = sign === '-' ? -ns : ns
  return canTell(signed) ? signed : null
}

/** Seconds since 1970 as a decimal number, as short as they can be written without loss. */
export function secondsText(ns: bigint): string {
  const size = ns < 0n ? -ns : ns
  return `${ns < 0n ? '-' : ''}${size / NS_PER_SECOND}${fractionText(size % NS_PER_SECOND)}`
}

/** A time in the form of RFC 3339, with as many digits of a second as it has. */
export function rfc3339Text(ns: bigint): string {
  const inSecond = ((ns % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND
  const seconds = Number((ns - inSecond) / NS_PER_SECOND)
  return `${new Date(seconds * MS_PER_SECOND).toISOString().replace(/\.\d+Z$/, '')}${fractionText(inSecond)}Z`
}

/** The digits behind the point, without zeros at the end; empty for none. */
function fractionText(nsInSecond: bigint): string {
  return nsInSecond === 0n ? '' : `.${String(nsInSecond).padStart(NS_DIGITS, '0').replace(/0+$/, '')}`
}

/** Whether a time lies in the years 0 to 9999. */
function canTell(ns: bigint): boolean {
  return ns >= SECONDS_MIN * NS_PER_SECOND && ns < (SECONDS_MAX + 1n) * NS_PER_SECOND
}

function treeSizeOf(parameters: ReadonlyMap<string, string>): TreeSize | null {
  const [fileCount, contentBytes] = ['files', 'bytes'].map((name) => countOf(parameters.get(name)))
  return fileCount == null || contentBytes == null ? null : { fileCount, contentBytes }
}

function countOf(text: string | undefined): number | null {
  const count = COUNT.test(text ?? '') ? Number(text) : Number.NaN
  return Number.isSafeInteger(count) ? count : null
}
