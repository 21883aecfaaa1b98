/**
 * Folders to send: each is one tree. Its tar is made while it is read, and any part of it can be made again from the files, so that no copy of
 * the folder is ever written.
 */
import { closeSync, lstatSync, openSync, readSync } from 'node:fs'
import { constants, type FileHandle, open } from 'node:fs/promises'
import { stopYoungGenerationGrowth } from '../buffers/index.ts'
import { digestDriver } from '../digests/index.ts'
import { hasCode, isOutOfDescriptors, whenDescriptorsAllow } from '../fs/index.ts'
import { Problem, treeMediaType, treeNameEnd } from '../protocol/index.ts'
import { Column, TreeIndex } from '../tree/index.ts'
import {
  changedSource,
  type LeftOut,
  type NodeSource,
  OpenContent,
  openFlags,
  readBytes,
  unreadable,
} from './node-content.ts'
import { type FoundEntry, type Location, locationIn, type TreeOrigin, walkTree } from './node-tree-walk.ts'
import type { OpenSource } from './source.ts'

/** Files up to this size are read in this thread: the way to another one and back costs more than the reading. */
const AT_ONCE_BYTES_MAX = 256 * 1024
/** Never through a link that has taken the place of a file. */
const FLAGS = openFlags | (constants.O_NOFOLLOW ?? 0)
const WRITTEN = 'it was written to'
const GONE = 'it was removed'
const SHORTER = 'it is shorter than it was'
const HASHED_AT_ONCE = 512
/**
 * From this number of entries on, V8's young generation does not grow: a million empty files would make it 100 MB larger. Going through
 * them takes a tenth more processor time, which smaller trees do without.
 */
const MANY_ENTRIES = 50_000

/** A folder as it was found. */
export class FoundTree {
  readonly index = new TreeIndex()
  readonly leftOut: LeftOut[] = []
  readonly #inodes = new Column<bigint>((length) => new BigUint64Array(length))
  /** Where entries are that do not lie in their folder by their name. */
  readonly #places = new Map<number, Location>()
  #lastFolder: { readonly entry: number; readonly location: Location } | null = null

  /** @throws Problem `source-unreadable` */
  static async find(origin: TreeOrigin): Promise<FoundTree> {
    const tree = new FoundTree()
    await walkTree(origin, {
      found: (entry) => tree.#add(entry),
      leftOut: (path, reason) => tree.leftOut.push({ path, reason }),
    })
    return tree
  }

  inode(entry: number): bigint {
    return this.#inodes.at(entry) ?? 0n
  }

  /** Where an entry is on this machine. */
  location(entry: number): Location {
    const place = this.#places.get(entry)
    if (place !== undefined) return place
    const parent = this.index.parent(entry)
    if (parent === null) throw new Error('the root folder has a place')
    if (this.#lastFolder?.entry !== parent) this.#lastFolder = { entry: parent, location: this.location(parent) }
    return locationIn(this.#lastFolder.location, this.index.name(entry))
  }

  /**
   * A digest of all that tells this tree from others.
   *
   * @param withInodes false for a digest that stays the same when the disk is mounted again
   */
  digest(withInodes: boolean): string {
    const hasher = digestDriver('sha-256').create()
    const encoder = new TextEncoder()
    let lines: string[] = []
    const flush = (): void => {
      hasher.update(encoder.encode(lines.join('\n')))
      lines = ['']
    }
    for (let entry = 0; entry < this.index.length; entry++) {
      const { kind, sizeBytes, mtimeNs, isExecutable, target } = this.index.entry(entry)
      const where = [this.index.parent(entry), this.index.name(entry), kind, target]
      const inode = withInodes ? [`${this.inode(entry)}`] : []
      lines.push(JSON.stringify([...where, sizeBytes, `${mtimeNs}`, isExecutable, ...inode]))
      if (lines.length === HASHED_AT_ONCE) flush()
    }
    flush()
    return hasher.digest()
  }

  #add(found: FoundEntry): number {
    const entry = this.index.add(found)
    if (entry === MANY_ENTRIES) stopYoungGenerationGrowth()
    this.#inodes.set(entry, found.inode)
    if (found.location !== null) this.#places.set(entry, found.location)
    return entry
  }
}

interface FoundAt {
  readonly origin: TreeOrigin
  readonly tree: FoundTree
  /** Whether the inodes tell it from others. */
  readonly withInodes: boolean
}

/** A folder that has been found. */
export class TreeSource implements NodeSource {
  readonly path: string
  readonly name: string
  readonly place: string
  readonly leftOut: readonly LeftOut[]
  readonly #origin: TreeOrigin
  readonly #tree: FoundTree
  readonly #withInodes: boolean

  private constructor(path: string, place: string, { origin, tree, withInodes }: FoundAt) {
    this.path = path
    this.name = origin.root + treeNameEnd
    this.place = place
    this.leftOut = tree.leftOut
    this.#origin = origin
    this.#tree = tree
    this.#withInodes = withInodes
  }

  /**
   * @param isRemountable whether the folder counts as the same when its disk was mounted again meanwhile
   * @throws Problem `source-unreadable`
   */
  static async find(
    path: string,
    place: string,
    origin: TreeOrigin,
    { isRemountable = false } = {},
  ): Promise<TreeSource> {
    return new TreeSource(path, place, { origin, tree: await FoundTree.find(origin), withInodes: !isRemountable })
  }

  get sizeBytes(): number {
    return this.#tree.index.sizeBytes
  }

  get tree(): TreeIndex {
    return this.#tree.index
  }

  async open(): Promise<OpenSource> {
    return new OpenTree(this, { origin: this.#origin, tree: this.#tree, withInodes: this.#withInodes })
  }
}

/** A file that is too large to be read at once. */
interface LargeFile {
  readonly entry: number
  readonly handle: FileHandle
}

class OpenTree extends OpenContent {
  readonly #origin: TreeOrigin
  readonly #tree: FoundTree
  /** The one that was read last. */
  #large: LargeFile | null = null

  constructor(source: TreeSource, { origin, tree, withInodes }: FoundAt) {
    const { sizeBytes, fileCount, contentBytes } = tree.index
    super(source, { sizeBytes, treeDigest: tree.digest(withInodes) }, treeMediaType({ fileCount, contentBytes }))
    this.#origin = origin
    this.#tree = tree
  }

  treeProgress(bytes: number): { done: number; path: string } {
    const { index } = this.#tree
    const isAll = bytes >= index.sizeBytes
    const entry = index.entryAt(bytes)
    return { done: isAll ? index.fileCount : index.filesBefore(entry), path: index.path(entry) }
  }

  /** Goes through the folders again, and compares each entry with the one that was found first. */
  async assertUnchanged(onRead?: () => Promise<void>): Promise<void> {
    const { index } = this.#tree
    let count = 0
    // The time of a folder says that something in it is new or gone. That is named, if it is found.
    let folder: Problem | null = null
    try {
      await walkTree(this.#origin, {
        found: (found) => {
          if (!this.#isSame(count, found)) folder ??= changedSource(index.path(count), WRITTEN)
          return count++
        },
        leftOut: () => {},
        ...(onRead === undefined ? {} : { pause: onRead }),
      })
    } catch (error) {
      if (error instanceof Problem && hasCode(error.cause, 'ENOENT', 'ENOTDIR')) {
        throw changedSource(String(error.details.path), GONE, error)
      }
      throw error
    }
    if (count < index.length) throw changedSource(index.path(count), GONE)
    if (folder !== null) throw folder
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closeLarge()
  }

  protected async read(target: Uint8Array, at: number, position: number): Promise<number> {
    let filled = at
    for (const segment of this.#tree.index.segments(position, Math.min(readBytes, target.length - at))) {
      if (segment.kind === 'bytes') {
        target.set(segment.bytes, filled)
        filled += segment.bytes.length
      } else {
        const { entry, offsetBytes, lengthBytes } = segment
        const content = target.subarray(filled, filled + lengthBytes)
        const isSmall = this.#tree.index.size(entry) <= AT_ONCE_BYTES_MAX
        if (!(isSmall && this.#readAtOnce(content, entry, offsetBytes)))
          await this.#readLarge(content, entry, offsetBytes)
        filled += lengthBytes
      }
    }
    return filled - at
  }

  /** @returns false for a folder with another time @throws Problem `source-changed` */
  #isSame(entry: number, found: FoundEntry): boolean {
    const { index } = this.#tree
    if (entry >= index.length || index.name(entry) !== found.name || index.parent(entry) !== found.parent) {
      if (entry < index.length && this.#isGone(entry)) throw changedSource(index.path(entry), GONE)
      throw changedSource(found.parent === null ? found.name : `${index.path(found.parent)}/${found.name}`, 'it is new')
    }
    const { path, kind, sizeBytes, mtimeNs, isExecutable, target } = index.entry(entry)
    if (kind !== found.kind || this.#tree.inode(entry) !== found.inode) {
      throw changedSource(path, 'something else has taken its place')
    }
    const isSame = sizeBytes === found.sizeBytes && mtimeNs === found.mtimeNs && target === found.target
    if ((!isSame && kind !== 'folder') || isExecutable !== found.isExecutable) throw changedSource(path, WRITTEN)
    return isSame
  }

  #isGone(entry: number): boolean {
    try {
      lstatSync(this.#tree.location(entry))
      return false
    } catch (error) {
      return hasCode(error, 'ENOENT', 'ENOTDIR')
    }
  }

  /** @returns false when no descriptor is free */
  #readAtOnce(target: Uint8Array, entry: number, offsetBytes: number): boolean {
    let descriptor: number
    try {
      descriptor = openSync(this.#tree.location(entry), FLAGS)
    } catch (error) {
      if (isOutOfDescriptors(error)) return false
      throw this.#failed(entry, error)
    }
    try {
      for (let at = 0; at < target.length; ) {
        const bytesRead = readSync(descriptor, target, at, target.length - at, offsetBytes + at)
        if (bytesRead === 0) throw changedSource(this.#tree.index.path(entry), SHORTER)
        at += bytesRead
      }
    } catch (error) {
      throw this.#failed(entry, error)
    } finally {
      closeSync(descriptor)
    }
    return true
  }

  async #readLarge(target: Uint8Array, entry: number, offsetBytes: number): Promise<void> {
    try {
      if (this.#large?.entry !== entry) {
        await this.#closeLarge()
        this.#large = { entry, handle: await whenDescriptorsAllow(() => open(this.#tree.location(entry), FLAGS)) }
      }
      const { handle } = this.#large
      for (let at = 0; at < target.length; ) {
        const { bytesRead } = await handle.read(target, at, target.length - at, offsetBytes + at)
        if (bytesRead === 0) throw changedSource(this.#tree.index.path(entry), SHORTER)
        at += bytesRead
      }
    } catch (error) {
      throw this.#failed(entry, error)
    }
  }

  async #closeLarge(): Promise<void> {
    const handle = this.#large?.handle
    this.#large = null
    await handle?.close()
  }

  /** A link, a folder or nothing where the file was. */
  #failed(entry: number, error: unknown): unknown {
    const path = this.#tree.index.path(entry)
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return changedSource(path, GONE, error)
    if (hasCode(error, 'ELOOP', 'EISDIR', 'ENXIO'))
      return changedSource(path, 'something else has taken its place', error)
    return unreadable(path, error)
  }
}
