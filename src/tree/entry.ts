/** The entries of a tree: files, folders and symbolic links, each with the properties that are sent. */
import { nanosecondsOf, Problem, secondsText } from '../protocol/index.ts'

export type TreeEntryKind = 'file' | 'folder' | 'link'

export interface TreeEntry {
  /** Names with `/` between them. The first one is the tree's root folder. No name is empty, `.` or `..`, and none contains `/` or NUL. */
  readonly path: string
  readonly kind: TreeEntryKind
  /** The length of a file; 0 for folders and links. */
  readonly sizeBytes: number
  /** Nanoseconds since 1970 (UTC), as a signed 64-bit number. */
  readonly mtimeNs: bigint
  /** For files only. */
  readonly isExecutable: boolean
  /** The text of a symbolic link; null for other entries. */
  readonly target: string | null
}

/** Most entries of a tree: files, folders and links. */
export const treeEntriesMax = 10_000_000
/** Most folders of a tree that no entry is for, but for something in them: nothing else limits those. One path may name 255 of them. */
export const unnamedFoldersMax = 10_000
/** Most names in a path, the root folder included. */
export const treeDepthMax = 256
/** Longest path, in bytes of UTF-8. The longest that Linux takes in one call. */
export const treePathBytesMax = 4095

const NS_PER_SECOND = 1_000_000_000n
const NS_MIN = -(2n ** 63n)
const NS_MAX = 2n ** 63n - 1n

/** A time that 64 bits hold: the nearest one. */
export function clampedTimeNs(mtimeNs: bigint): bigint {
  if (mtimeNs < NS_MIN) return NS_MIN
  return mtimeNs > NS_MAX ? NS_MAX : mtimeNs
}

/** Reads seconds as pax records have them. Digits beyond nanoseconds are dropped. @returns null when it is none, or too large */
export function parseTimeNs(text: string): bigint | null {
  const ns = nanosecondsOf(text.replace(/(\.[0-9]{9})[0-9]{1,30}$/, '$1'))
  return ns !== null && clampedTimeNs(ns) === ns ? ns : null
}

/**
 * The nearest time, towards 1970, that a file keeps when it is set to it. Programs set times as floating-point numbers of seconds, of which
 * the system cuts off what is below a nanosecond: a quarter of a microsecond is as exact as that is today.
 */
export function settableTimeNs(mtimeNs: bigint): bigint {
  // Within three years of 1970 the number is so exact that a cut may need another one.
  for (let time = mtimeNs; ; ) {
    const taken = takenTimeNs(time)
    if (taken === time) return time
    time = taken
  }
}

/** What the system says about a file whose time was set to this one. */
function takenTimeNs(mtimeNs: bigint): bigint {
  const seconds = Number(secondsText(mtimeNs))
  const whole = Math.trunc(seconds)
  return BigInt(whole) * NS_PER_SECOND + BigInt(Math.trunc((seconds - whole) * Number(NS_PER_SECOND)))
}

/**
 * The names of a path from outside. Empty names and `.` are dropped.
 *
 * @throws Problem `tree-invalid` for an absolute path, `..`, NUL, and what is longer or deeper than the limits
 */
export function pathNames(path: string): string[] {
  if (path.startsWith('/')) throw invalidTree(path, 'the path is absolute')
  if (path.includes('\0')) throw invalidTree(path, 'the path contains a NUL character')
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  if (names.length === 0) throw invalidTree(path, 'the path has no name')
  if (names.includes('..')) throw invalidTree(path, 'the path leads out of the tree')
  if (names.length > treeDepthMax) throw invalidTree(path, `the path is deeper than ${treeDepthMax} names`)
  return names
}

/** @param path shown shortened */
export function invalidTree(path: string | null, reason: string): Problem {
  const at = path === null ? '' : `${path.slice(0, PATH_SHOWN_MAX)}: `
  return new Problem('tree-invalid', { detail: `${at}${reason}` })
}

const PATH_SHOWN_MAX = 256

/**
 * Whether a symbolic link leads to a place inside the tree, whatever else is in it. Names that go up may only begin a target: behind another
 * link they would lead to a place that the text does not say. The place may be empty.
 *
 * @param path of the link
 */
export function leadsInside(path: string, target: string): boolean {
  if (target === '' || target.startsWith('/') || target.includes('\0') || target.includes('\\')) return false
  // The names between the root folder and the link are those of folders.
  let up = path.split('/').length - 2
  let isBegun = false
  for (const name of target.split('/')) {
    if (name === '' || name === '.') continue
    if (name !== '..') isBegun = true
    else if (isBegun || up-- === 0) return false
  }
  return true
}
