/**
 * Goes through folders in the order of a tree's entries, and says what each entry is. The same folders give the same entries in the same
 * order, on every machine.
 *
 * It asks the system in this thread, because for many small files the way to another one and back costs more than the answer. So it gives
 * way to other work again and again.
 */
import { isUtf8 } from 'node:buffer'
import { accessSync, type BigIntStats, constants, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { fileErrorText } from '../fs/index.ts'
import { Problem } from '../protocol/index.ts'
import { leadsInside, settableTimeNs, type TreeEntryKind, treeDepthMax, treePathBytesMax } from '../tree/index.ts'
import { IgnoreRules, ignoreFileName } from './ignore.ts'

/** The path of a file on this machine: bytes where a name that the user gave is not UTF-8. */
export type Location = string | Buffer

/** What a tree is made of. */
export interface TreeOrigin {
  /** The name of the tree's root folder. */
  readonly root: string
  /** The folder that becomes the root folder; or files and folders that lie in it, by their names. */
  readonly from: Location | ReadonlyMap<string, Location>
  /** False: all times are 0. */
  readonly withTimes: boolean
  /** Patterns of what is left out. */
  readonly exclude: readonly string[]
}

/** What was found. */
export interface FoundEntry {
  /** The number of the folder that it lies in; null for the root folder. */
  readonly parent: number | null
  readonly name: string
  readonly kind: TreeEntryKind
  readonly sizeBytes: number
  readonly mtimeNs: bigint
  readonly isExecutable: boolean
  readonly target: string | null
  readonly inode: bigint
  /** Null where it follows from the location of the folder: its name behind that. */
  readonly location: Location | null
}

export interface TreeVisitor {
  /** Called for each entry in the order of the tree. @returns its number */
  found(entry: FoundEntry): number
  /** Called for what is left out although no pattern says so. @param path in the tree */
  leftOut(path: string, reason: string): void
  /** Awaited now and then. */
  pause?(): Promise<void>
}

/** A folder that is being gone through. */
interface OpenFolder {
  readonly entry: number
  readonly names: readonly string[]
  next: number
  /** Where the entries lie: in one folder, or each by itself. */
  readonly locationOf: (name: string) => Location
  readonly isEachItself: boolean
  /** Path in the tree, relative to the root folder, with `/` at its end; empty for the root folder. */
  readonly path: string
  readonly rules: IgnoreRules
}

/** How long it works before it gives way. */
const WORK_MS_MAX = 20
/** How many entries it takes before it looks at the clock. */
const ENTRIES_PER_LOOK = 64
/** The receiver's own folder in a folder that it delivers to. */
const RECEIVERS_FOLDER = '.golooader'
const READABLE_FOR_ALL = 0o444n
const MAY_EXECUTE = 0o111n
/** Characters whose order in UTF-16 may be another one than in UTF-8. */
const BEYOND_COMMON_ORDER = /[\ud800-\uffff]/
const REPLACEMENT = '\uFFFD'

/** @throws Problem `source-unreadable` */
export async function walkTree(origin: TreeOrigin, visitor: TreeVisitor): Promise<void> {
  const { root, from, withTimes } = origin
  const timeOf = (stats: BigIntStats): bigint => (withTimes ? settableTimeNs(stats.mtimeNs) : 0n)
  const rules = IgnoreRules.of(origin.exclude)
  const stack: OpenFolder[] = []
  const rootEntry = {
    parent: null,
    name: root,
    kind: 'folder',
    sizeBytes: 0,
    isExecutable: false,
    target: null,
  } as const
  if (from instanceof Map) {
    const entry = visitor.found({ ...rootEntry, mtimeNs: 0n, inode: 0n, location: '' })
    const locationOf = (name: string): Location => from.get(name) ?? ''
    const names = inOrder([...from.keys()])
    stack.push({ entry, names, next: 0, locationOf, isEachItself: true, path: '', rules })
  } else {
    const location = from as Location
    const stats = lookAt(location, root)
    const entry = visitor.found({ ...rootEntry, mtimeNs: timeOf(stats), inode: stats.ino, location })
    stack.push(folderOf(location, { entry, path: '', rules, shown: root, visitor }))
  }
  let since = performance.now()
  for (let count = 1; ; count++) {
    const folder = stack.at(-1)
    if (folder === undefined) break
    if (count % ENTRIES_PER_LOOK === 0 && performance.now() - since > WORK_MS_MAX) {
      await setImmediate()
      await visitor.pause?.()
      since = performance.now()
    }
    const name = folder.names[folder.next++]
    if (name === undefined) {
      stack.pop()
      continue
    }
    const opened = visit(folder, name, { root, depth: stack.length + 1, timeOf, visitor })
    if (opened !== null) stack.push(opened)
  }
}

interface Visit {
  readonly root: string
  readonly depth: number
  readonly timeOf: (stats: BigIntStats) => bigint
  readonly visitor: TreeVisitor
}

/** @returns the entry when it is a folder, to be gone through next */
function visit(folder: OpenFolder, name: string, { root, depth, timeOf, visitor }: Visit): OpenFolder | null {
  const location = folder.locationOf(name)
  const path = folder.path + name
  const shown = `${root}/${path}`
  const stats = lookAtIfThere(location, shown)
  if (stats === null) return null
  const isFolder = stats.isDirectory()
  if (name === ignoreFileName || folder.rules.isIgnored(isFolder ? `${path}/` : path)) return null
  if (isFolder && name === RECEIVERS_FOLDER) {
    visitor.leftOut(shown, 'a receiver keeps its own files there')
    return null
  }
  const kind = isFolder ? 'folder' : stats.isFile() ? 'file' : stats.isSymbolicLink() ? 'link' : null
  if (kind === null) {
    visitor.leftOut(shown, `${kindText(stats)} cannot be sent`)
    return null
  }
  if (depth > treeDepthMax) throw unreadable(shown, `the path is deeper than ${treeDepthMax} names`)
  if (shown.length * 3 > treePathBytesMax && Buffer.byteLength(shown) > treePathBytesMax) {
    throw unreadable(shown, `the path is longer than ${treePathBytesMax} bytes`)
  }
  const target = kind === 'link' ? attempt(shown, () => readlinkSync(location)) : null
  if (target !== null && !leadsInside(shown, target)) {
    visitor.leftOut(shown, `the link leads out of the folder: ${target}`)
    return null
  }
  if (kind !== 'link') requireReadable(location, shown, stats)
  const entry = visitor.found({
    parent: folder.entry,
    name,
    kind,
    sizeBytes: kind === 'file' ? Number(stats.size) : 0,
    mtimeNs: timeOf(stats),
    isExecutable: kind === 'file' && process.platform !== 'win32' && (stats.mode & MAY_EXECUTE) !== 0n,
    target,
    inode: stats.ino,
    location: folder.isEachItself || typeof location !== 'string' ? location : null,
  })
  return isFolder ? folderOf(location, { entry, path: `${path}/`, rules: folder.rules, shown, visitor }) : null
}

interface FolderToRead extends Pick<OpenFolder, 'entry' | 'path' | 'rules'> {
  readonly shown: string
  readonly visitor: TreeVisitor
}

function folderOf(location: Location, { shown, visitor, ...folder }: FolderToRead): OpenFolder {
  const found = attempt(shown, () => readdirSync(location, 'utf8'))
  const locationOf = (name: string): Location => locationIn(location, name)
  const rules = found.includes(ignoreFileName)
    ? attempt(shown, () => folder.rules.with(folder.path, readFileSync(locationOf(ignoreFileName), 'utf8')))
    : folder.rules
  const leaveOut = (name: string): void => {
    const isExcluded = [name, `${name}/`].some((one) => rules.isIgnored(folder.path + one))
    if (!isExcluded) visitor.leftOut(`${shown}/${name}`, 'its name is not UTF-8')
  }
  const names = found.some((name) => name.includes(REPLACEMENT)) ? namesInUtf8(location, shown, leaveOut) : found
  return { ...folder, rules, names: inOrder(names), next: 0, locationOf, isEachItself: false }
}

/** Node shows bytes of a name that are not UTF-8 as U+FFFD, and then cannot find the file. @param leaveOut called for each such name */
function namesInUtf8(location: Location, shown: string, leaveOut: (name: string) => void): string[] {
  const found = attempt(shown, () => readdirSync(location, 'buffer')).sort(Buffer.compare)
  for (const name of found) if (!isUtf8(name)) leaveOut(name.toString())
  return found.filter((name) => isUtf8(name)).map((name) => name.toString())
}

/** The location of an entry of a folder. */
export function locationIn(folder: Location, name: string | Buffer): Location {
  if (typeof folder === 'string' && typeof name === 'string')
    return folder.endsWith('/') ? folder + name : `${folder}/${name}`
  return Buffer.concat([Buffer.from(folder), Buffer.from('/'), Buffer.from(name)])
}

/** Sorts by the bytes of UTF-8, which is the order of code points. */
function inOrder(names: string[]): string[] {
  return names.some((name) => BEYOND_COMMON_ORDER.test(name)) ? names.sort(byBytes) : names.sort()
}

function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other))
}

function lookAt(location: Location, shown: string): BigIntStats {
  return attempt(shown, () => lstatSync(location, { bigint: true }))
}

/** @returns null when it was removed after its folder was read */
function lookAtIfThere(location: Location, shown: string): BigIntStats | null {
  return attempt(shown, () => lstatSync(location, { bigint: true, throwIfNoEntry: false })) ?? null
}

/** Most files are readable for all. For the others the system is asked, before anything is sent. */
function requireReadable(location: Location, shown: string, { mode }: BigIntStats): void {
  if ((mode & READABLE_FOR_ALL) === READABLE_FOR_ALL) return
  attempt(shown, () => accessSync(location, constants.R_OK))
}

function attempt<Result>(shown: string, act: () => Result): Result {
  try {
    return act()
  } catch (error) {
    if (!(error instanceof Error) || error instanceof Problem) throw error
    throw unreadable(shown, fileErrorText(shown, error), error)
  }
}

function unreadable(path: string, reason: string, cause?: unknown): Problem {
  return new Problem('source-unreadable', { path, detail: reason }, { cause })
}

function kindText(stats: BigIntStats): string {
  if (stats.isSocket()) return 'a socket'
  if (stats.isFIFO()) return 'a FIFO'
  return 'a device'
}
