/**
 * Parts as files of a folder that one portal process owns:
 *
 *     FOLDER/<last two of the id>/<transferId>/[<generation>/]<partNumber>.<digest>
 *     FOLDER/owner
 *
 * A part is written beside its final name with the ending `.partial`, synced, then renamed. So a name without that ending
 * always has whole, verified and durable content. `seal` syncs the entries of the folders.
 *
 * The folder has to stay in its place. While it is moved away or not mounted, no part counts as lost and nothing is created in its
 * place: every call fails with `unavailable`.
 */
import { randomBytes } from 'node:crypto'
import { createReadStream, type Dirent } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { KeyedMutex } from '../../async/index.ts'
import {
  FixedPath,
  FreeSpace,
  hasCode,
  isNoRoom,
  makeOwnFolder,
  readTextOrNull,
  replaceFile,
  syncFolder,
  writeAll,
} from '../../fs/index.ts'
import { Problem } from '../../protocol/index.ts'
import type { HeldGeneration, PartKey, PartPlace, PartsKey, Store, StoreSink } from './contract.ts'

/** Large reads need fewer system calls. */
const READ_BYTES = 1024 * 1024
/** How many listings are cached. Others are read from the folder again. */
const LISTINGS_MAX = 4096
const PART_NAME = /^([1-9][0-9]{0,5})\.([0-9a-f]{32,128})$/
const TRANSFER_NAME = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const GENERATION_NAME = /^[a-z0-9]{1,32}$/

type Listing = Map<number, string>

/** @param folder created if it does not exist. No other process may use it at the same time. */
export async function fsStore(folder: string): Promise<Store> {
  await makeOwnFolder(folder, { withParents: true })
  return new FsStore(folder, new FixedPath(folder, 'the folder of the parts'))
}

class FsStore implements Store {
  readonly traits = { isShared: false }
  readonly linkTo = null
  readonly #folder: string
  /** Cached listings of the folders of parts, so that finding one part does not mean reading the whole folder. */
  readonly #listings = new Map<string, Promise<Listing>>()
  /** Commits of one part number run one after another, so that two of them cannot both find it free. */
  readonly #placings = new KeyedMutex()
  /** Shard folders whose own entry is known to be durable. */
  readonly #durableShards = new Set<string>()

  readonly #freeSpace: FreeSpace
  readonly #root: FixedPath

  constructor(folder: string, root: FixedPath) {
    this.#folder = folder
    this.#root = root
    this.#freeSpace = new FreeSpace(folder)
  }

  async owner(): Promise<string | null> {
    return (await readTextOrNull(this.#ownerFile()))?.trim() ?? null
  }

  async claim(owner: string, { isOnlyFirst }: { isOnlyFirst: boolean }): Promise<void> {
    if (isOnlyFirst && (await this.owner()) !== null) return
    await replaceFile(this.#ownerFile(), `${owner}\n`)
  }

  async openPart(place: PartPlace): Promise<StoreSink> {
    const { partNumber } = place
    const folder = this.#folderOf(place)
    const partial = join(folder, `${partNumber}.${randomBytes(4).toString('hex')}.partial`)
    try {
      await this.#root.assertThere()
      const handle = await open(partial, 'wx', 0o600).catch(async (error: unknown) => {
        if (!hasCode(error, 'ENOENT')) throw error
        await this.#makeFolders(place)
        return open(partial, 'wx', 0o600)
      })
      const commitAs = async (final: PartPlace, digest: string): Promise<void> => {
        try {
          await handle.datasync()
          await handle.close()
          // Not more than that: where the transfer was removed meanwhile, it stays removed.
          if (this.#folderOf(final) !== folder) await makeFolder(this.#folderOf(final))
          await this.#place({ ...final, digest }, partial)
        } catch (cause) {
          throw await this.#problemOf(cause)
        }
      }
      return {
        write: async (buffers) => {
          try {
            await writeAll(handle, buffers, null)
          } catch (cause) {
            throw storeProblem(cause)
          }
        },
        commit: (digest) => commitAs(place, digest),
        commitAs,
        discard: async () => {
          await handle.close()
          await rm(partial, { force: true })
        },
      }
    } catch (cause) {
      throw await this.#problemOf(cause)
    }
  }

  findBeforePut(place: PartPlace): Promise<string | null> {
    return this.find(place)
  }

  async find(place: PartPlace): Promise<string | null> {
    return (await this.#listing(this.#folderOf(place))).get(place.partNumber) ?? null
  }

  async movePart(key: PartKey, generation: string): Promise<void> {
    const final = { ...key, generation }
    try {
      await this.#root.assertThere()
      if ((await this.find(final)) === key.digest) return
      await makeFolder(this.#folderOf(final))
      await this.#place(final, this.#pathOf(key))
      this.#listings.delete(this.#folderOf(key))
    } catch (cause) {
      throw await this.#problemOf(cause)
    }
  }

  async list(parts: PartsKey): Promise<ReadonlyMap<number, string>> {
    const folder = this.#folderOf(parts)
    // The caller will acknowledge these parts, so the folder itself is read instead of the cache.
    this.#listings.delete(folder)
    const listing = new Map(await this.#listing(folder))
    await this.#root.assertThere()
    return listing
  }

  async read(key: PartKey, range?: { startByte: number; endByte: number }) {
    const handle = await this.#openHeld(key)
    if (handle === null) {
      this.#listings.delete(this.#folderOf(key))
      return null
    }
    try {
      const { size } = await handle.stat()
      const { startByte, endByte } = range ?? { startByte: 0, endByte: Math.max(0, size - 1) }
      const stream = createReadStream('', { fd: handle, start: startByte, end: endByte, highWaterMark: READ_BYTES })
      return { lengthBytes: Math.min(size, endByte + 1) - startByte, partBytes: size, stream }
    } catch (cause) {
      await handle.close()
      throw storeProblem(cause)
    }
  }

  async removePart(key: PartKey): Promise<void> {
    await this.#root.assertThere()
    await rm(this.#pathOf(key), { force: true })
    const listing = await this.#listing(this.#folderOf(key))
    if (listing.get(key.partNumber) === key.digest) listing.delete(key.partNumber)
  }

  async seal(parts: PartsKey): Promise<void> {
    const folder = this.#folderOf(parts)
    const shard = this.#shardOf(parts.transferId)
    await this.#root.assertThere()
    try {
      await syncFolder(folder)
    } catch (cause) {
      // The transfer of an empty file has no part and no folder, so there is nothing to sync.
      const isEmpty = hasCode(cause, 'ENOENT') && (await this.#listing(folder)).size === 0
      if (isEmpty) return
      throw new Problem('store-failed', {}, { cause })
    }
    if (parts.generation !== '') await syncFolder(this.#transferFolderOf(parts.transferId))
    await syncFolder(shard)
    if (!this.#durableShards.has(shard)) {
      await syncFolder(this.#folder)
      this.#durableShards.add(shard)
    }
  }

  async removeParts(parts: PartsKey): Promise<void> {
    await this.#root.assertThere()
    const folder = this.#folderOf(parts)
    this.#listings.delete(folder)
    if (parts.generation === '') {
      // The folders of later generations lie beside these parts.
      for (const { name } of (await entriesOf(folder)).filter((entry) => !entry.isDirectory())) {
        await rm(join(folder, name), { force: true })
      }
      await removeEmpty(folder)
    } else await removeFolder(folder)
    this.#listings.delete(folder)
  }

  async remove(transferId: string): Promise<void> {
    await this.#root.assertThere()
    const folder = this.#transferFolderOf(transferId)
    const generations = ['', ...(await generationsIn(folder))]
    const forget = (): void => {
      for (const generation of generations) this.#listings.delete(this.#folderOf({ transferId, generation }))
    }
    forget()
    await removeFolder(folder)
    forget()
  }

  async *held(): AsyncGenerator<HeldGeneration> {
    for (const shard of await readdir(this.#folder)) {
      for (const transferId of await readdir(join(this.#folder, shard)).catch(emptyIfNoFolder)) {
        if (!TRANSFER_NAME.test(transferId)) continue
        const generations = await generationsIn(this.#transferFolderOf(transferId))
        for (const generation of ['', ...generations]) {
          const newestAtMs = await this.#changedAtMs({ transferId, generation })
          if (newestAtMs !== null) yield { transferId, generation, newestAtMs }
        }
      }
    }
  }

  async close(): Promise<void> {}

  async freeBytes(): Promise<number> {
    await this.#root.assertThere()
    return this.#freeSpace.freeBytes()
  }

  /** Opens a part; null when it is not held. */
  async #openHeld(key: PartKey): Promise<FileHandle | null> {
    const tryToOpen = (): Promise<FileHandle | null> =>
      open(this.#pathOf(key), 'r').catch((cause: unknown) => {
        if (hasCode(cause, 'ENOENT')) return null
        throw storeProblem(cause)
      })
    const handle = await tryToOpen()
    if (handle !== null) return handle
    // If the whole store was moved away, the part is not lost. Fails in that case; the store may also have just come back.
    await this.#root.assertThere()
    return tryToOpen()
  }

  /** Makes the folders of a part, but never the store's own folder, which may only have been moved away. */
  async #makeFolders(place: PartPlace): Promise<void> {
    const { transferId } = place
    const folders = [this.#shardOf(transferId), this.#transferFolderOf(transferId), this.#folderOf(place)]
    for (const folder of new Set(folders)) await makeFolder(folder)
  }

  /** The problem for an error of the file system, after checking that the store is in its place. */
  async #problemOf(cause: unknown): Promise<Problem> {
    try {
      await this.#root.assertThere()
    } catch (gone) {
      return storeProblem(gone)
    }
    return storeProblem(cause)
  }

  #ownerFile(): string {
    return join(this.#folder, 'owner')
  }

  #shardOf(transferId: string): string {
    // The last digits, because the end of a UUIDv7 is random and its beginning is the time.
    return join(this.#folder, transferId.slice(-2))
  }

  #transferFolderOf(transferId: string): string {
    return join(this.#shardOf(transferId), transferId)
  }

  #folderOf({ transferId, generation }: PartsKey): string {
    return join(this.#transferFolderOf(transferId), generation)
  }

  #pathOf(key: PartKey): string {
    return join(this.#folderOf(key), `${key.partNumber}.${key.digest}`)
  }

  /** When the folder of a generation last changed; null when it does not exist, or contains only later generations. */
  async #changedAtMs(parts: PartsKey): Promise<number | null> {
    const folder = this.#folderOf(parts)
    const entries = await entriesOf(folder)
    if (entries.length > 0 && entries.every((entry) => entry.isDirectory())) return null
    return stat(folder).then(({ mtimeMs }) => mtimeMs, nullIfNoFolder)
  }

  /** Gives a file with the content of a part the name of that part. */
  #place(key: PartKey, path: string): Promise<void> {
    const { partNumber, digest } = key
    const folder = this.#folderOf(key)
    return this.#placings.run(`${folder}/${partNumber}`, async () => {
      const held = (await this.#listing(folder)).get(partNumber) ?? digest
      if (held !== digest) throw new Problem('part-conflict', { partNumber })
      await rename(path, this.#pathOf(key))
      const listing = await this.#listing(folder)
      listing.set(partNumber, digest)
    })
  }

  /** The listing of a folder of parts. A folder that is missing because the whole store was moved away does not count as empty. */
  async #readListing(folder: string): Promise<Listing> {
    const names = await readdir(folder).catch(async (cause: unknown) => {
      emptyIfNoFolder(cause)
      await this.#root.assertThere()
      // Reads again, because the store may have just come back.
      return readdir(folder).catch(emptyIfNoFolder)
    })
    const listing: Listing = new Map()
    for (const name of names) {
      const match = PART_NAME.exec(name)
      if (match?.[1] !== undefined && match[2] !== undefined) listing.set(Number(match[1]), match[2])
    }
    return listing
  }

  #listing(folder: string): Promise<Listing> {
    let listing = this.#listings.get(folder)
    if (listing === undefined) {
      listing = this.#readListing(folder)
      listing.catch(() => this.#listings.delete(folder))
      if (this.#listings.size >= LISTINGS_MAX) {
        const [oldest] = this.#listings.keys()
        if (oldest !== undefined) this.#listings.delete(oldest)
      }
    } else {
      // Moved to the end, because the map's order is that of last use.
      this.#listings.delete(folder)
    }
    this.#listings.set(folder, listing)
    return listing
  }
}

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if (!hasCode(error, 'EEXIST')) throw error
  })
}

/** The entries of a folder; none when it does not exist. */
function entriesOf(folder: string): Promise<Dirent[]> {
  return readdir(folder, { withFileTypes: true }).catch(emptyIfNoFolder)
}

/** The generations of a transfer that have a folder of their own. */
async function generationsIn(folder: string): Promise<string[]> {
  return (await entriesOf(folder))
    .filter((entry) => entry.isDirectory() && GENERATION_NAME.test(entry.name))
    .map(({ name }) => name)
}

function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 2 })
}

async function removeEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTEMPTY', 'EEXIST')) throw error
  }
}

function nullIfNoFolder(cause: unknown): null {
  if (hasCode(cause, 'ENOENT')) return null
  throw storeProblem(cause)
}

function emptyIfNoFolder(cause: unknown): never[] {
  if (hasCode(cause, 'ENOENT', 'ENOTDIR')) return []
  throw storeProblem(cause)
}

/** Errors of an overloaded system. Nothing is wrong with the stored parts. */
const OVERLOAD = ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR']

function storeProblem(cause: unknown): Problem {
  if (cause instanceof Problem) return cause
  if (isNoRoom(cause)) return new Problem('storage-full', {}, { cause })
  if (hasCode(cause, ...OVERLOAD)) return new Problem('unavailable', {}, { cause })
  // The folder of the transfer was removed while the part arrived: the transfer was given up, and may have started again.
  if (hasCode(cause, 'ENOENT'))
    return new Problem('part-incomplete', { detail: 'the upload was given up meanwhile' }, { cause })
  return new Problem('store-failed', {}, { cause })
}
