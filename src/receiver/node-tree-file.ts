/**
 * A tree that is being received. It is unpacked while its parts come: a part once it is verified, and in the order of the parts. A part that
 * comes before its turn waits, a small one in memory and a large one in a file, which goes as soon as it is unpacked. So the tree is on the
 * disk only once, and with it {@link WAITING_BYTES_MAX} at most.
 *
 *     <transferId>.tree         the root folder
 *     <transferId>.waiting-N    part N, before its turn
 *     <transferId>.later        what is done last, where that is much
 *
 * After a crash it starts over. Nothing of it counts before the whole tree is durable.
 */
import { lstatSync, statfsSync } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { isThere, removeFile, whenDescriptorsAllow, writeAll } from '../fs/index.ts'
import type { PartSink } from '../parts/index.ts'
import { Problem, partCount, partSpan, type TreeSize } from '../protocol/index.ts'
import type { PartDigests } from '../trust/index.ts'
import type {
  ArrivingPart,
  IncomingFile,
  IncomingTree,
  LinksLeftOut,
  PartialLayout,
  ReceiveLimits,
  TreeProgress,
} from './incoming-file.ts'
import { receiveArrivingPart } from './node-arriving-part.ts'
import type { TreePaths } from './node-partial-file.ts'
import { syncTree } from './node-tree-sync.ts'
import { TreeUnpacker } from './node-tree-unpacker.ts'
import type { RenamedEntry } from './tree-names.ts'

const ROOT_MODE = 0o755
const WAITING_MODE = 0o600
/** Parts are fetched only this far ahead of the one that is unpacked next. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024
/** Smaller parts wait in memory. */
const MEMORY_BYTES_MAX = 1024 * 1024
const READ_BYTES = 512 * 1024
/**
 * What a small file takes on common disks. What the disk itself says may be something else: the size of a record or of a transfer, which
 * is 128 KiB on ZFS and 1 MiB over NFS.
 */
const BLOCK_BYTES = 4096

/** A verified part whose turn has not come. */
interface WaitingPart {
  contents(): AsyncIterable<Uint8Array>
  remove(): Promise<void>
}

export interface TreeTraits {
  readonly size: TreeSize
  readonly withTimes: boolean
}

/**
 * Begins the tree of a transfer. What an earlier run has left of it is removed.
 *
 * @throws Problem `disk-full` when the disk has too few free entries; errors of the file system
 */
export async function beginTree(paths: TreePaths, layout: PartialLayout, traits: TreeTraits): Promise<TreeFile> {
  requireEntries(dirname(paths.tree), traits.size.fileCount)
  await removeTree(paths)
  await mkdir(paths.tree, { mode: ROOT_MODE })
  return new TreeFile(paths, layout, traits)
}

/** Removes everything of a tree that is not published. */
export async function removeTree(paths: TreePaths): Promise<void> {
  if (isThere(paths.tree)) await rm(paths.tree, { recursive: true, force: true })
  await removeFile(paths.later)
  const prefix = basename(paths.waiting)
  for (const name of await readdir(dirname(paths.tree))) {
    if (name.startsWith(prefix)) await removeFile(join(dirname(paths.tree), name))
  }
}

export class TreeFile implements IncomingFile<Readable>, IncomingTree {
  readonly tree: IncomingTree = this
  readonly #paths: TreePaths
  readonly #layout: PartialLayout
  readonly #traits: TreeTraits
  readonly #held = new Map<number, PartDigests>()
  readonly #waiting = new Map<number, WaitingPart>()
  #heldBytes = 0
  #unpacker: TreeUnpacker
  /** The part that is unpacked next. */
  #next = 1
  #unpacking: Promise<void> = Promise.resolve()

  constructor(paths: TreePaths, layout: PartialLayout, traits: TreeTraits) {
    this.#paths = paths
    this.#layout = layout
    this.#traits = traits
    this.#unpacker = this.#newUnpacker()
  }

  get held(): ReadonlyMap<number, string> {
    return new Map([...this.#held].map(([partNumber, { digest }]) => [partNumber, digest]))
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  get neededBytes(): number {
    const { size } = this.#traits
    const { progress } = this.#unpacker
    const { sizeBytes, partSizeBytes } = this.#layout
    const waitingBytes = partSizeBytes <= MEMORY_BYTES_MAX ? 0 : Math.min(WAITING_BYTES_MAX, sizeBytes)
    return roomBytes(size.fileCount - progress.fileCount, size.contentBytes - progress.contentBytes) + waitingBytes
  }

  get progress(): TreeProgress {
    return this.#unpacker.progress
  }

  takeRenamed(): readonly RenamedEntry[] {
    return this.#unpacker.takeRenamed()
  }

  get linksLeftOut(): LinksLeftOut {
    return this.#unpacker.linksLeftOut
  }

  isTooEarly(partNumber: number): boolean {
    return (partNumber - this.#next + 1) * this.#layout.partSizeBytes > WAITING_BYTES_MAX && partNumber > this.#next
  }

  *contentDigests(): Generator<string> {
    for (let partNumber = 1; partNumber <= partCount(this.#layout); partNumber++) {
      const held = this.#held.get(partNumber)
      if (held === undefined) throw new Error(`part ${partNumber} is not held`)
      yield held.contentDigest
    }
  }

  receivePart(part: ArrivingPart<Readable>, limits: ReceiveLimits): Promise<void> {
    return receiveArrivingPart(part, limits, (contentDigest) => this.#sink(part, contentDigest))
  }

  async startOver(): Promise<void> {
    await this.close()
    await removeTree(this.#paths)
    this.#held.clear()
    this.#waiting.clear()
    this.#heldBytes = 0
    this.#next = 1
    this.#unpacking = Promise.resolve()
    await mkdir(this.#paths.tree, { mode: ROOT_MODE })
    this.#unpacker = this.#newUnpacker()
  }

  async finish(): Promise<void> {
    await this.#unpacking
    await this.#unpacker.finish()
    await this.close()
    await removeFile(this.#paths.later)
    await syncTree(this.#paths.tree)
  }

  async close(): Promise<void> {
    await this.#unpacking.catch(() => {})
    this.#unpacker.close()
  }

  #newUnpacker(): TreeUnpacker {
    return new TreeUnpacker({
      root: this.#paths.tree,
      laterPath: this.#paths.later,
      announced: this.#traits.size,
      withTimes: this.#traits.withTimes,
      isCaseBlind: isCaseBlind(this.#paths.tree),
    })
  }

  #sink({ partNumber }: ArrivingPart<Readable>, contentDigest?: () => string): PartSink {
    const { lengthBytes } = partSpan(this.#layout, partNumber)
    const isInMemory = lengthBytes <= MEMORY_BYTES_MAX
    const store = isInMemory ? new PartInMemory() : new PartInFile(`${this.#paths.waiting}${partNumber}`)
    return {
      retainsBuffers: isInMemory,
      write: (buffers) => store.write(buffers),
      commit: async (digest) => {
        if (!this.#held.has(partNumber)) this.#heldBytes += lengthBytes
        this.#held.set(partNumber, { digest, contentDigest: contentDigest?.() ?? digest })
        this.#waiting.set(partNumber, store)
        await this.#unpackWaiting()
      },
      discard: () => store.remove(),
    }
  }

  /** Unpacks the parts whose turn has come. Calls queue up; one that fails makes all later ones fail. */
  #unpackWaiting(): Promise<void> {
    this.#unpacking = this.#unpacking.then(async () => {
      for (let part = this.#waiting.get(this.#next); part !== undefined; part = this.#waiting.get(this.#next)) {
        for await (const bytes of part.contents()) await this.#unpacker.unpack(bytes)
        this.#waiting.delete(this.#next++)
        await part.remove()
      }
    })
    return this.#unpacking
  }
}

class PartInMemory implements WaitingPart {
  #buffers: Uint8Array[] = []

  async write(buffers: readonly Uint8Array[]): Promise<void> {
    this.#buffers.push(...buffers)
  }

  async *contents(): AsyncGenerator<Uint8Array, void, undefined> {
    yield* this.#buffers
  }

  async remove(): Promise<void> {
    this.#buffers = []
  }
}

class PartInFile implements WaitingPart {
  readonly #path: string
  #handle: FileHandle | null = null
  #lengthBytes = 0

  constructor(path: string) {
    this.#path = path
  }

  async write(buffers: readonly Uint8Array[]): Promise<void> {
    this.#handle ??= await this.#open()
    this.#lengthBytes = (await writeAll(this.#handle, buffers, this.#lengthBytes)) ?? 0
  }

  async *contents(): AsyncGenerator<Uint8Array, void, undefined> {
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    for (let at = 0; at < this.#lengthBytes; ) {
      const read = await this.#handle?.read(buffer, 0, Math.min(buffer.length, this.#lengthBytes - at), at)
      // Another program has written to it.
      if (read === undefined || read.bytesRead === 0) throw new Problem('write-failed', { detail: 'a part is gone' })
      yield buffer.subarray(0, read.bytesRead)
      at += read.bytesRead
    }
  }

  async remove(): Promise<void> {
    await this.#handle?.close()
    this.#handle = null
    await removeFile(this.#path)
  }

  async #open(): Promise<FileHandle> {
    // An earlier try at this part may have failed.
    await removeFile(this.#path)
    return whenDescriptorsAllow(() => open(this.#path, 'wx+', WAITING_MODE))
  }
}

/** What files take on the disk at least: a block for each that is not empty. */
function roomBytes(fileCount: number, contentBytes: number): number {
  return Math.max(contentBytes, Math.min(fileCount, contentBytes) * BLOCK_BYTES)
}

/** Whether the disk takes upper and lower case for the same. The ids of transfers have letters in lower case. */
function isCaseBlind(path: string): boolean {
  const other = join(dirname(path), basename(path).toUpperCase())
  return lstatSync(other, { throwIfNoEntry: false }) !== undefined
}

/** Some file systems have room for a number of files that is fixed; others say 0. */
function requireEntries(folder: string, fileCount: number): void {
  const { files, ffree } = statfsSync(folder)
  if (files === 0 || fileCount <= ffree) return
  const detail = `the receiver has room for ${ffree} more files, and ${fileCount} are needed`
  throw new Problem('disk-full', { detail })
}
