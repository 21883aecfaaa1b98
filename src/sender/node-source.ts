/** Files to send: checked before any request, then read part by part through one handle. */
import { accessSync, type BigIntStats, realpathSync, statSync } from 'node:fs'
import { constants, readdir } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { digestDriver } from '../digests/index.ts'
import { hasCode, whenDescriptorsAllow } from '../fs/index.ts'
import { Problem } from '../protocol/index.ts'
import { changedSource, type NodeSource, OpenContent, openFlags, readBytes, unreadable } from './node-content.ts'
import { HeldContent } from './node-held-content.ts'
import { mediaTypeOfFile } from './node-media-type.ts'
import { openSourceHandle, type SourceHandle } from './node-source-handle.ts'
import { TreeSource } from './node-tree-source.ts'
import type { Location } from './node-tree-walk.ts'
import { isSizeTrue, readUnsized, UnsizedFileError } from './node-unsized.ts'
import { PartsRead, type ReadPart } from './parts-read.ts'
import { isSameSource, type OpenSource, type Source, type SourceIdentity } from './source.ts'

/** What is sent, and how. */
export interface SourceOptions {
  /** Whether the receivers are told when a file was modified. */
  readonly withTimes: boolean
  /** Patterns of what is left out of folders, as in gitignore(5). */
  readonly exclude: readonly string[]
  /** The name of the tree that all paths together become; null when each is a delivery of its own. */
  readonly as: string | null
  /** Whether it is refused to leave something out of a folder that no pattern excludes. */
  readonly isStrict: boolean
}

const optionsDefault: SourceOptions = { withTimes: true, exclude: [], as: null, isStrict: false }

/**
 * Checks every path before anything is sent. A folder is gone through.
 *
 * @returns one source per path, in their order; with `as` one for all
 * @throws Problem `source-not-a-file`, `source-unreadable`, `source-incomplete`; `paths-invalid` when a file is given twice, or a path has
 *   no name, or another one's
 */
export async function checkSources(
  paths: readonly string[],
  options: Partial<SourceOptions> = {},
): Promise<NodeSource[]> {
  const chosen = { ...optionsDefault, ...options }
  const given: GivenPath[] = []
  const seen = new Set<string>()
  for (const path of paths) {
    const one = await lookAt(path)
    if (seen.has(one.place)) {
      throw new Problem('paths-invalid', { path, detail: `${path} is given more than once` })
    }
    seen.add(one.place)
    given.push(one)
  }
  const sources: NodeSource[] = chosen.as === null ? [] : [await together(chosen.as, given, chosen)]
  if (chosen.as === null) for (const one of given) sources.push(await sourceOf(one, chosen))
  if (chosen.isStrict) sources.forEach(requireComplete)
  return sources
}

/** A path that was given, and what is there. */
interface GivenPath {
  readonly path: string
  readonly place: string
  readonly location: Location
  readonly stats: BigIntStats
}

/** @param at where it lies, if that is not the path by which people know it */
async function lookAt(path: string, at = path): Promise<GivenPath> {
  try {
    const absolute = resolve(at)
    const location = await locate(absolute)
    // Synchronous, because for thousands of files another thread costs more than the call itself.
    const stats = statSync(location, { bigint: true })
    if (!stats.isDirectory()) assertIsFile(path, stats)
    accessSync(location, constants.R_OK)
    // `realpath` of a name that is not UTF-8 would not be text either, so only its folder is resolved.
    const place =
      typeof location === 'string'
        ? realpathSync.native(location)
        : join(realpathSync.native(dirname(absolute)), basename(absolute))
    return { path, place, location, stats }
  } catch (error) {
    throw unreadable(path, error)
  }
}

async function sourceOf({ path, place, location, stats }: GivenPath, options: SourceOptions): Promise<NodeSource> {
  const { withTimes, exclude } = options
  if (!stats.isDirectory()) return new FileSource(path, { place, location, sizeBytes: Number(stats.size), withTimes })
  const from = typeof location === 'string' ? place : location
  return TreeSource.find(path, place, { root: nameOf(path), from, withTimes, exclude })
}

/**
 * A folder under a name of its own, as it may have been sent.
 *
 * @param root null for the folder's own name
 * @returns null when the path does not lead to a folder
 * @throws Problem `source-unreadable`
 */
export async function folderSource(
  path: string,
  { root, ...options }: Pick<SourceOptions, 'withTimes' | 'exclude'> & { readonly root: string | null },
): Promise<NodeSource | null> {
  const { place, location, stats } = await lookAt(path)
  if (!stats.isDirectory()) return null
  const from = typeof location === 'string' ? place : location
  return TreeSource.find(path, place, { root: root ?? nameOf(path), from, ...options })
}

/** A file or folder that this program has taken over. */
export interface TakenOver extends Pick<SourceOptions, 'withTimes' | 'exclude' | 'isStrict'> {
  /** The path by which people know it, with its name. */
  readonly path: string
  /** Where it lies. */
  readonly location: string
  /** See `Source.place`: the same for all runs, wherever the disk is mounted. */
  readonly place: string
}

/**
 * A file or folder that lies where only this program changes its name. It counts as the same when its disk was mounted again meanwhile:
 * network disks then have other numbers.
 *
 * @throws Problem `source-not-a-file`, `source-unreadable`, `source-incomplete`
 */
export async function sourceTakenOver({ path, location, place, isStrict, ...options }: TakenOver): Promise<NodeSource> {
  const { stats } = await lookAt(path, location)
  if (!stats.isDirectory())
    return new FileSource(path, { place, location, sizeBytes: Number(stats.size), ...options, isRemountable: true })
  const origin = { root: nameOf(path), from: location, ...options }
  const source = await TreeSource.find(path, place, origin, { isRemountable: true })
  if (isStrict) requireComplete(source)
  return source
}

/** All paths as one tree, in which each has its name. */
async function together(root: string, given: readonly GivenPath[], options: SourceOptions): Promise<NodeSource> {
  const { withTimes, exclude } = options
  const from = new Map<string, Location>()
  for (const { path, place, location } of given) {
    const name = nameOf(path)
    if (from.has(name)) {
      const detail = `two of the paths have the name ${name}, which one folder cannot hold. Send them one by one`
      throw new Problem('paths-invalid', { path, detail })
    }
    from.set(name, typeof location === 'string' ? place : location)
  }
  const place = JSON.stringify(given.map((one) => one.place).sort())
  return TreeSource.find(root, place, { root, from, withTimes, exclude })
}

function nameOf(path: string): string {
  const name = basename(resolve(path))
  if (name !== '') return name
  const detail = `${path} has no name of its own. Send what is in it, under a name: golooader send /* --as NAME`
  throw new Problem('paths-invalid', { path, detail })
}

function requireComplete({ path, leftOut }: NodeSource): void {
  const [first] = leftOut
  if (first === undefined) return
  const others = leftOut.length === 1 ? '' : `, and ${leftOut.length - 1} more`
  const detail = `${first.path}: ${first.reason}${others}`
  throw new Problem('source-incomplete', { path, leftOut: leftOut.length, detail })
}

function assertIsFile(path: string, stats: BigIntStats): void {
  if (stats.isFile()) return
  throw new Problem('source-not-a-file', { path, detail: `${path} is not a regular file` })
}

/**
 * Node shows bytes of a name that are not UTF-8 as U+FFFD, and then cannot find the file. So the entries of the folder are read
 * as bytes to find the file.
 */
async function locate(absolute: string): Promise<Location> {
  const name = basename(absolute)
  if (!name.includes('\uFFFD')) return absolute
  const entries = await whenDescriptorsAllow(() => readdir(dirname(absolute), { encoding: 'buffer' }))
  const [match, other] = entries.filter((entry) => entry.toString() === name)
  if (match === undefined) return absolute
  if (other !== undefined) throw new Error('several files have a name that looks like this one')
  return Buffer.concat([Buffer.from(join(dirname(absolute), '/')), match])
}

interface CheckedPlace extends Pick<Source, 'place' | 'sizeBytes'> {
  readonly location: Location
  readonly withTimes: boolean
  /** Whether the file counts as the same when its disk was mounted again meanwhile. */
  readonly isRemountable?: boolean
}

/** A file that has been checked. */
class FileSource implements NodeSource {
  readonly path: string
  /** The last element of the path. */
  readonly name: string
  readonly place: string
  readonly sizeBytes: number
  readonly leftOut = []
  readonly tree = null
  /** The path to open: bytes where the name on disk is not UTF-8. */
  readonly location: Location

  readonly #withTimes: boolean
  readonly #isRemountable: boolean

  constructor(path: string, { place, location, sizeBytes, withTimes, isRemountable = false }: CheckedPlace) {
    this.path = path
    this.name = basename(resolve(path))
    this.place = place
    this.location = location
    this.sizeBytes = sizeBytes
    this.#withTimes = withTimes
    this.#isRemountable = isRemountable
  }

  identityOf(stats: BigIntStats): SourceIdentity {
    const { inode: _, device: __, ...remountable } = identityOf(stats)
    return this.#isRemountable ? remountable : identityOf(stats)
  }

  /** @param stats null where they say nothing about the content */
  mediaTypeWith(stats: BigIntStats | null): string | undefined {
    return mediaTypeOfFile(this.name, stats, { withTimes: this.#withTimes })
  }

  async open(): Promise<OpenSource> {
    let handle: SourceHandle | null = null
    try {
      handle = await whenDescriptorsAllow(() => openSourceHandle(this.location, openFlags, this.sizeBytes))
      const stats = await handle.stat({ bigint: true })
      assertIsFile(this.path, stats)
      if (await isSizeTrue(handle, Number(stats.size))) return new OpenFile(this, handle, stats)
      const content = await this.#readUnsized(handle, stats)
      await handle.close()
      return new HeldContent(this, content, this.mediaTypeWith(null))
    } catch (error) {
      await handle?.close()
      throw error instanceof UnsizedFileError ? error : unreadable(this.path, error)
    }
  }

  async #readUnsized(handle: SourceHandle, stats: BigIntStats): Promise<Uint8Array> {
    const content = await readUnsized(handle)
    // When the size changes, a program is writing to the file.
    if ((await handle.stat({ bigint: true })).size !== stats.size) throw changedSource(this.path, 'it was written to')
    if (content !== null) return content
    throw new UnsizedFileError(this.path, this.location)
  }
}

/** How often a file is read again when its time changes while it is read. */
const REREADS_MAX = 3
const WRITTEN = 'it was written to'

/** Whether two looks saw the same file with the same length. The time is ignored. */
function isSameFile({ mtimeNs: _, ...one }: SourceIdentity, { mtimeNs: __, ...other }: SourceIdentity): boolean {
  return isSameSource(one, other)
}

/** A file whose size is true: read part by part. */
class OpenFile extends OpenContent {
  readonly #handle: SourceHandle
  readonly #parts = new PartsRead()
  readonly #location: Location
  readonly #opened: SourceIdentity
  /** The modification time at which the content was last known to equal the parts read. */
  #mtimeNs: SourceIdentity[string]

  constructor(source: FileSource, handle: SourceHandle, stats: BigIntStats) {
    super(source, source.identityOf(stats), source.mediaTypeWith(stats))
    this.#handle = handle
    this.#location = source.location
    this.#opened = identityOf(stats)
    this.#mtimeNs = this.identity.mtimeNs ?? ''
  }

  /**
   * The path must still lead to this file, too. Network file systems change the time of a file by themselves after it was written. So
   * when only the time is new, the file is read again, and its content decides.
   */
  async assertUnchanged(onRead?: () => Promise<void>): Promise<void> {
    await this.#requireContent(onRead)
    try {
      // A file system may report an old size although data was appended.
      if (!(await isSizeTrue(this.#handle, this.identity.sizeBytes))) throw this.changed('it is not as long as it was')
      const named = identityOf(statSync(this.#location, { bigint: true }))
      if (!isSameFile(named, this.#opened)) throw this.changed('another file has taken its place')
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) throw this.changed('it was removed', error)
      throw unreadable(this.source.path, error)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
  }

  async #requireContent(onRead: (() => Promise<void>) | undefined): Promise<void> {
    const { sizeBytes } = this.identity
    for (let tries = 1; ; tries++) {
      const found = identityOf(await this.#handle.stat({ bigint: true }))
      if (!isSameFile(found, this.#opened)) throw this.changed(WRITTEN)
      if (found.mtimeNs === this.#mtimeNs) return
      const buffer = new Uint8Array(Math.min(readBytes, sizeBytes))
      const digestNow = (part: ReadPart): Promise<string | null> => this.#digestOf(part, buffer)
      const isSame = tries <= REREADS_MAX && (await this.#parts.isSame(sizeBytes, digestNow, onRead))
      if (!isSame) throw this.changed(WRITTEN)
      // The time is checked once more, because a program may have written where the file had been read already.
      this.#mtimeNs = found.mtimeNs ?? ''
    }
  }

  protected override noteRead(part: ReadPart): void {
    this.#parts.note(part)
  }

  protected async read(target: Uint8Array, at: number, position: number): Promise<number> {
    return this.#readAt(target.subarray(at, at + readBytes), position)
  }

  /** @returns null when the file ends before the part does */
  async #digestOf(part: ReadPart, buffer: Uint8Array): Promise<string | null> {
    const hasher = digestDriver(part.digestAlgorithm).create()
    for (let at = 0; at < part.lengthBytes; ) {
      const target = buffer.subarray(0, Math.min(buffer.length, part.lengthBytes - at))
      const bytesRead = await this.#readAt(target, part.offsetBytes + at)
      if (bytesRead === 0) return null
      hasher.update(target.subarray(0, bytesRead))
      at += bytesRead
    }
    return hasher.digest()
  }

  async #readAt(target: Uint8Array, position: number): Promise<number> {
    try {
      return (await this.#handle.read(target, 0, target.length, position)).bytesRead
    } catch (error) {
      throw unreadable(this.source.path, error)
    }
  }
}

function identityOf(stats: BigIntStats): SourceIdentity {
  return {
    sizeBytes: Number(stats.size),
    mtimeNs: String(stats.mtimeNs),
    inode: String(stats.ino),
    device: String(stats.dev),
  }
}
