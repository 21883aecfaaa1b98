/**
 * The inbox that is a folder, and how it keeps its promise.
 *
 * Before anything appears, a commit record says durably which transfer is about to appear under which
 * name. Then the finished content gets that name by `link`, which never replaces a file; then the folder is synced;
 * only then is the old name, `<transferId>.partial`, taken away. The record stays until the portal has answered. So a
 * later run that finds a record knows what happened:
 *
 * - the content has no old name any more: it was published;
 * - the content has its old name and one in the folder: it was published, and the rest remains to be done;
 * - the content has only its old name: it was not published, and all of it is done again. The record goes first,
 *   durably: the content may be taken away to be fetched anew, and a record alone would say that it was published.
 *
 * Where a file system has no hard links, the name is taken by a small placeholder that is created exclusively, and the
 * content is renamed over it. Only a crash between the creation of the placeholder and its first byte leaves a trace:
 * an empty file beside the delivered one.
 */
import { constants, lstatSync } from 'node:fs'
import { chmod, link, open, readdir, readFile, realpath, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import {
  type FolderLock,
  hasCode,
  isThere,
  lockFolder,
  makeFolder,
  Room,
  readTextOrNull,
  removeFile,
  replaceFile,
  syncFolder,
} from '../hop/node.ts'
import { Problem, randomText } from '../protocol/index.ts'
import type { CommitRecord } from './commit-record.ts'
import { type Inbox, NotDurableYet, type Published } from './inbox.ts'
import type { IncomingFile, PartialLayout } from './incoming-file.ts'
import { inboxFolderName, numberedName, sameNamesMax } from './names.ts'
import { ReceivedRecords, readRecord, recordText } from './node-commit-record.ts'
import { openPartialFile } from './node-partial-file.ts'
import { type TransferPaths, transferPaths } from './node-paths.ts'
import { isSmall, SmallFile } from './node-small-file.ts'
import { isShortage, writeProblem } from './node-write-problem.ts'

const lockFileName = 'lock'
const INSTANCE_BYTES = 18
const INSTANCE_ID = /^[A-Za-z0-9_-]{8,64}$/
const FOLDER_MODE = 0o755
const PRIVATE_MODE = 0o700
const DAY_MS = 86_400_000
/** A transfer lives for 7 days unless a portal says otherwise; its leftovers are of no use for much longer. */
const LEFTOVER_MS_MAX = 8 * DAY_MS
/** A commit record keeps a file from being delivered twice, and is small: it may stay much longer. */
const RECORD_MS_MAX = 90 * DAY_MS
/** What file systems and kernels say where there are no hard links, or no more of them. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']

/**
 * Takes possession of a folder; creates it if it does not exist.
 *
 * @throws Problem `folder-unavailable` when another receiver has it or it cannot be written, `disk-full`,
 *   `write-failed`
 */
export async function openInbox(folder: string): Promise<FolderInbox> {
  let lock: FolderLock | null = null
  try {
    await makeFolder(folder, FOLDER_MODE)
    const realFolder = await realpath(folder)
    const own = join(realFolder, inboxFolderName)
    await makeFolder(own, PRIVATE_MODE)
    await chmod(own, PRIVATE_MODE)
    lock = await lockFolder(realFolder, join(own, lockFileName))
    const inbox = new FolderInbox(realFolder, await instanceOf(own), lock)
    await removeLeftovers(own)
    await inbox.received.forgetOld()
    return inbox
  } catch (error) {
    await lock?.release()
    // EEXIST is what `mkdir` says of a folder that is a file.
    if (hasCode(error, 'EEXIST'))
      throw new Problem('folder-unavailable', { detail: 'it is not a folder' }, { cause: error })
    throw writeProblem(error) ?? error
  }
}

export class FolderInbox implements Inbox<Readable>, AsyncDisposable {
  readonly folder: string
  readonly instanceId: string
  /** What was answered for. */
  readonly received: ReceivedRecords
  readonly #lock: FolderLock
  readonly #room: Room

  constructor(folder: string, instanceId: string, lock: FolderLock) {
    this.folder = folder
    this.instanceId = instanceId
    this.received = new ReceivedRecords(folder)
    this.#room = new Room(join(folder, inboxFolderName))
    this.#lock = lock
  }

  pathsOf(transferId: string): TransferPaths {
    return transferPaths(this.folder, transferId)
  }

  freeBytes(): Promise<number> {
    return this.#room.freeBytes()
  }

  async hasBegun(transferId: string): Promise<boolean> {
    return isThere(this.pathsOf(transferId).parts)
  }

  async open(transferId: string, layout: PartialLayout, signal: AbortSignal): Promise<IncomingFile<Readable>> {
    const paths = this.pathsOf(transferId)
    return isSmall(layout) ? new SmallFile(paths, layout) : openPartialFile(paths, layout, signal)
  }

  async published(transferId: string): Promise<Published | null> {
    const answered = await this.received.read(transferId)
    if (answered !== null) return publishedBy(answered, answered.finalName)
    const record = await readRecord(this.pathsOf(transferId).commit)
    if (record === null) return null
    const name = await this.#nameOf(record)
    if (name === null) {
      await this.#removeRecord(transferId)
      return null
    }
    await this.#finish(transferId)
    return publishedBy(record, name)
  }

  /** Its unfinished name has to be there already when `finished` has not resolved yet. */
  async commit(
    transferId: string,
    name: string,
    { manifestDigest, receipt }: Pick<CommitRecord, 'manifestDigest' | 'receipt'>,
    finished: Promise<void> = Promise.resolve(),
  ): Promise<Published> {
    // Waited for below; until then its failure is nobody's.
    finished.catch(() => {})
    for (let number = 0; number <= sameNamesMax; number++) {
      const finalName = numberedName(name, number)
      // Looked at first only to save the record for a name that is clearly taken; what decides is `#publish`.
      if ((await this.#isTaken(finalName)) && !(await this.#isPlaceholder(finalName, transferId))) continue
      const record: CommitRecord = { transferId, finalName, manifestDigest, receipt }
      await replaceFile(this.pathsOf(transferId).commit, recordText(record), { after: finished })
      if (await this.#publish(transferId, finalName)) {
        await this.#finish(transferId)
        return { name: finalName, manifestDigest, receipt }
      }
    }
    throw new Problem('name-refused', { detail: `the receiver has ${sameNamesMax} files of that name already` })
  }

  async unfinished(): Promise<string[]> {
    const names = await readdir(join(this.folder, inboxFolderName)).catch((error: unknown) => {
      // A folder that cannot be read holds nothing of use; the next delivery will say so to its sender.
      if (writeProblem(error) !== null) return []
      throw error
    })
    const ids = names.flatMap((name) => /^([0-9a-f-]{36})\.(?:partial|parts|commit)$/.exec(name)?.[1] ?? [])
    return [...new Set(ids)]
  }

  async answered(transferId: string): Promise<void> {
    await this.received.take(transferId, this.pathsOf(transferId).commit)
  }

  whereIs(name: string): string {
    return join(this.folder, name)
  }

  meaningOf(error: unknown): Problem | 'later' | null {
    return isShortage(error) ? 'later' : writeProblem(error)
  }

  /** A folder that cannot be written cannot be cleaned either: what stays is removed by a later start. */
  async discard(transferId: string): Promise<void> {
    const { partial, parts, commit } = this.pathsOf(transferId)
    try {
      // A record without a partial file would say "published", so the record goes first: away, or, where that is what it
      // rightly says, among those that are remembered.
      const record = await readRecord(commit)
      if (record !== null) {
        if ((await this.#nameOf(record)) === null) await this.#removeRecord(transferId)
        else await this.received.take(transferId, commit)
      }
      await removeFile(parts)
      await removeFile(partial)
    } catch (error) {
      if (writeProblem(error) === null) throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lock.release()
  }

  /** The name in the folder of the content that a record is about; null when it has none. */
  async #nameOf({ transferId, finalName }: CommitRecord): Promise<string | null> {
    const old = await statOrNull(this.pathsOf(transferId).partial)
    if (old === null) return finalName
    if (old.nlink === 1n) return null
    // A link count alone proves nothing, backups make links too: the content must be seen in the folder. The user
    // may have given it another name since.
    for (const name of [finalName, ...(await readdir(this.folder))]) {
      const found = await statOrNull(join(this.folder, name))
      if (found !== null && found.ino === old.ino && found.dev === old.dev) return name
    }
    return null
  }

  /** @returns false when the name is taken */
  async #publish(transferId: string, finalName: string): Promise<boolean> {
    const { partial } = this.pathsOf(transferId)
    const path = join(this.folder, finalName)
    try {
      await link(partial, path)
      return true
    } catch (error) {
      if (hasCode(error, 'EEXIST')) {
        if (!(await this.#isPlaceholder(finalName, transferId))) return false
      } else if (hasCode(error, ...NO_LINKS)) {
        if (!(await this.#placehold(finalName, transferId))) return false
      } else throw error
    }
    await rename(partial, path)
    return true
  }

  /**
   * Durable first, then without the old name. That this is gone for good nothing depends on: beside a record it says the same
   * as none, and alone it is removed by a later start.
   *
   * @throws NotDurableYet
   */
  async #finish(transferId: string): Promise<void> {
    const { partial, parts } = this.pathsOf(transferId)
    try {
      await syncFolder(this.folder)
      await removeFile(parts)
      await removeFile(partial)
    } catch (cause) {
      if (writeProblem(cause) === null) throw cause
      throw new NotDurableYet('the file is in the folder, but could not be made durable', { cause })
    }
  }

  /** Durably. */
  #removeRecord(transferId: string): Promise<void> {
    return removeRecord(join(this.folder, inboxFolderName), this.pathsOf(transferId).commit)
  }

  async #isTaken(name: string): Promise<boolean> {
    return (await statOrNull(join(this.folder, name))) !== null
  }

  async #placehold(name: string, transferId: string): Promise<boolean> {
    try {
      const handle = await open(join(this.folder, name), 'wx', FOLDER_MODE & 0o666)
      try {
        await handle.writeFile(placeholderOf(transferId))
        await handle.sync()
      } finally {
        await handle.close()
      }
      return true
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return this.#isPlaceholder(name, transferId)
      throw error
    }
  }

  async #isPlaceholder(name: string, transferId: string): Promise<boolean> {
    const path = join(this.folder, name)
    const text = placeholderOf(transferId)
    const stat = await statOrNull(path)
    if (stat === null || !stat.isFile() || stat.size !== BigInt(text.length)) return false
    return (await readFile(path, { encoding: 'utf8', flag: constants.O_RDONLY })) === text
  }
}

function publishedBy({ manifestDigest, receipt }: CommitRecord, name: string): Published {
  return { name, manifestDigest, receipt }
}

function placeholderOf(transferId: string): string {
  return `golooader: the file of transfer ${transferId} is about to take this place\n`
}

async function instanceOf(own: string): Promise<string> {
  const path = join(own, 'instance')
  const known = (await readTextOrNull(path))?.trim() ?? ''
  if (INSTANCE_ID.test(known)) return known
  const instanceId = randomText(INSTANCE_BYTES)
  await replaceFile(path, `${instanceId}\n`)
  return instanceId
}

async function removeRecord(own: string, path: string): Promise<void> {
  await removeFile(path)
  await syncFolder(own)
}

async function removeLeftovers(own: string): Promise<void> {
  const names = (await readdir(own)).filter((name) => /\.(?:partial|parts|commit)$/.test(name))
  // While there is a record, its partial file stays, however old: a record alone would say "published".
  const recorded = new Set<string>()
  for (const name of names.filter((one) => one.endsWith('.commit'))) {
    const path = join(own, name)
    if (await isOlder(path, RECORD_MS_MAX)) await removeRecord(own, path)
    else recorded.add(stemOf(name))
  }
  for (const name of names) {
    if (recorded.has(stemOf(name))) continue
    // A name with a dot in front is what `replaceFile` was killed over; the folder is ours, so nobody is writing it.
    const path = join(own, name)
    if (name.startsWith('.') || (await isOlder(path, LEFTOVER_MS_MAX))) await removeFile(path)
  }
}

function stemOf(name: string): string {
  return name.slice(0, name.lastIndexOf('.'))
}

/** Whether what stands there has not been written to for so long. */
async function isOlder(path: string, ageMs: number): Promise<boolean> {
  const stat = await statOrNull(path)
  return stat !== null && Date.now() - Number(stat.mtimeMs) > ageMs
}

async function statOrNull(path: string) {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? null
}
