/**
 * Publishing small files by way of their log (`node-delivery-log.ts`).
 *
 * The steps, for all files that come together: the contents are written under their unfinished names, and not synced; the log takes
 * records and contents, durably; each content gets its name by a link; the unfinished name goes. After a crash of the program the
 * system has all of these that happened, in this order, so what `Publisher.nameOf` finds out holds here, too. After a loss of
 * power it may have lost any of them, and the log has the content.
 *
 * Half a minute later the system has written the files by itself. They are synced, which costs little then, and the log lets the
 * contents go.
 */
import { lstatSync, readFileSync, type Stats, unlinkSync } from 'node:fs'
import { link, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode, removeFile, setModified, syncFolder, whenDescriptorsAllow, writeNewFile } from '../fs/index.ts'
import { nanosecondsOf } from '../protocol/index.ts'
import { type CommitRecord, type Published, publishedBy } from './inbox.ts'
import { inboxFolderName } from './names.ts'
import { DeliveryLog, type LoggedFile } from './node-delivery-log.ts'
import { modeOf, transferPaths } from './node-partial-file.ts'
import { LogUnusableError, type Publisher, type RecordClaims } from './node-publisher.ts'
import type { SmallFile } from './node-small-file.ts'
import { writeProblem } from './node-write-problem.ts'

/** Linux writes what is this old. */
const SYNC_AGE_MS = 35_000
const LOOK_MS = 5_000
/** With more in the log the oldest are synced at once. */
const CONTENT_BYTES_MAX = 64 * 1024 * 1024
const SYNCED_AT_ONCE_MAX = 64

interface Unsynced {
  readonly finalName: string
  readonly sizeBytes: number
  readonly atMs: number
}

export class LoggedFiles implements Disposable {
  readonly #folder: string
  readonly #own: string
  readonly #publisher: Publisher
  #log: DeliveryLog | null = null
  #opening: Promise<DeliveryLog> | null = null
  #isUsable: boolean
  /** The files whose content is still in the log, oldest first. */
  readonly #unsynced = new Map<string, Unsynced>()
  #unsyncedBytes = 0
  #timer: ReturnType<typeof setInterval> | null = null
  #syncing: Promise<void> | null = null

  private constructor(folder: string, publisher: Publisher, isUsable: boolean) {
    this.#folder = folder
    this.#own = join(folder, inboxFolderName)
    this.#publisher = publisher
    this.#isUsable = isUsable
  }

  /**
   * Opens the log that an earlier run has left, and restores what was lost with the power.
   *
   * @param hasHonestLinks whether files may be published by way of the log
   * @throws errors of SQLite and of the file system
   */
  static async open(folder: string, publisher: Publisher, hasHonestLinks: boolean): Promise<LoggedFiles> {
    const files = new LoggedFiles(folder, publisher, hasHonestLinks)
    const log = await files.#current()
    if (log !== null) await files.#recover(log)
    return files
  }

  /** Whether small files can be published by way of the log. */
  get isUsable(): boolean {
    return this.#isUsable
  }

  /** @returns null where the log cannot be used: then the file is unfinished, and needs a record of its own */
  async commit(transferId: string, name: string, claims: RecordClaims, file: SmallFile): Promise<Published | null> {
    try {
      const log = await this.#current({ mayCreate: true }).catch((cause: unknown) => {
        throw new LogUnusableError('the log of small files cannot be opened', { cause })
      })
      if (log === null) return null
      await file.write({ isSynced: false })
      const content = Buffer.concat(file.buffers)
      const put = async (record: CommitRecord): Promise<void> => {
        try {
          await log.put(record, content)
        } catch (cause) {
          throw new LogUnusableError('the log of small files cannot be written', { cause })
        }
      }
      const record = await this.#publisher.publish(
        transferId,
        name,
        { ...claims, ...file.recordTraits },
        Promise.resolve(),
        { log: put },
      )
      removeSmall(transferPaths(this.#folder, transferId).partial)
      this.#note(record, content.length)
      return publishedBy(record)
    } catch (error) {
      if (!(error instanceof LogUnusableError)) throw error
      this.#isUsable = false
      this.#log?.remove(transferId)
      return null
    }
  }

  /** @see Inbox.published */
  async published(transferId: string): Promise<Published | null> {
    const log = await this.#current()
    const found = log?.read(transferId) ?? null
    if (log === null || found === null) return null
    const { record, isAnswered } = found
    if (isAnswered) return { ...publishedBy(record), isAnswered }
    const name = await this.#publisher.nameOf(record)
    if (name === null) {
      await this.#publisher.forget(record)
      this.#remove(log, transferId)
      return null
    }
    await removeFile(transferPaths(this.#folder, transferId).partial)
    return publishedBy(record, name)
  }

  /** The portal has confirmed an answer. @returns false where the file did not come by way of the log */
  async answered(transferId: string): Promise<boolean> {
    const log = await this.#current()
    if (log === null || !(this.#unsynced.has(transferId) || log.read(transferId) !== null)) return false
    log.answered(transferId)
    return true
  }

  async unanswered(): Promise<string[]> {
    return (await this.#current())?.unanswered() ?? []
  }

  /** The file was taken out of the folder again. */
  async unpublished(transferId: string): Promise<void> {
    const log = await this.#current()
    if (log !== null && log.read(transferId) !== null) this.#remove(log, transferId)
  }

  /** The record goes, or, of a file that was published, it is only remembered from now on. */
  async discard(transferId: string): Promise<void> {
    if ((await this.published(transferId)) !== null) await this.answered(transferId)
  }

  /** The newest transfer that is remembered; null where there is none. */
  async newest(): Promise<string | null> {
    return (await this.#current())?.newest() ?? null
  }

  /** Forgets transfers whose id is lower than this text. */
  async forgetBefore(idText: string): Promise<void> {
    const log = await this.#current()
    log?.forgetBefore(idText)
  }

  /** Makes the files themselves durable, and lets their contents go. @param atMs those that were published before this time */
  async sync(atMs = Number.POSITIVE_INFINITY): Promise<void> {
    const due = [...this.#unsynced].filter(([, one]) => one.atMs <= atMs)
    for (let at = 0; at < due.length; at += SYNCED_AT_ONCE_MAX) {
      const batch = due.slice(at, at + SYNCED_AT_ONCE_MAX)
      await Promise.all(batch.map(([, { finalName }]) => syncFile(join(this.#folder, finalName))))
      await syncFolder(this.#folder)
      await syncFolder(this.#own)
      const log = await this.#current()
      log?.settle(batch.map(([transferId]) => transferId))
      for (const [transferId] of batch) this.#forget(transferId)
    }
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#log?.[Symbol.dispose]()
    this.#log = null
    this.#isUsable = false
  }

  /** @returns null where there is none, and none is to be made */
  async #current({ mayCreate = false } = {}): Promise<DeliveryLog | null> {
    if (this.#log?.isInPlace === false) {
      this.#log[Symbol.dispose]()
      this.#log = null
    }
    if (this.#log !== null || !(mayCreate || DeliveryLog.isIn(this.#own))) return this.#log
    // Several may ask at the same time.
    this.#opening ??= DeliveryLog.open(this.#own).finally(() => {
      this.#opening = null
    })
    this.#log = await this.#opening
    return this.#log
  }

  #note({ transferId, finalName }: CommitRecord, sizeBytes: number): void {
    this.#unsynced.set(transferId, { finalName, sizeBytes, atMs: performance.now() })
    this.#unsyncedBytes += sizeBytes
    if (this.#timer === null) {
      this.#timer = setInterval(() => this.#syncOld(), LOOK_MS)
      this.#timer.unref()
    }
    if (this.#unsyncedBytes > CONTENT_BYTES_MAX) this.#syncOld(performance.now())
  }

  /** Syncs all that is left. What cannot be synced stays in the log for the next start. */
  async settle(): Promise<void> {
    await this.#syncing
    this.#syncOld(Number.POSITIVE_INFINITY)
    await this.#syncing
  }

  /** A file that cannot be synced now is tried again. */
  #syncOld(atMs = performance.now() - SYNC_AGE_MS): void {
    this.#syncing ??= this.sync(atMs)
      .catch((error: unknown) => {
        if (writeProblem(error) === null && !(error instanceof Error && 'errcode' in error)) throw error
      })
      .finally(() => {
        this.#syncing = null
      })
  }

  #remove(log: DeliveryLog, transferId: string): void {
    log.remove(transferId)
    this.#forget(transferId)
  }

  #forget(transferId: string): void {
    this.#unsyncedBytes -= this.#unsynced.get(transferId)?.sizeBytes ?? 0
    this.#unsynced.delete(transferId)
  }

  async #recover(log: DeliveryLog): Promise<void> {
    const restored: string[] = []
    for (const file of log.files('before')) {
      const { transferId } = file.record
      if (await this.#restore(file)) restored.push(transferId)
      else log.remove(transferId)
      await removeFile(transferPaths(this.#folder, transferId).partial)
    }
    if (restored.length > 0) {
      await syncFolder(this.#folder)
      await syncFolder(this.#own)
      log.settle(restored)
    }
    for (const { record, content } of log.files('now')) this.#note(record, content.length)
  }

  /**
   * Looks what a loss of power has left of a file, and brings back what is missing.
   *
   * @returns false where the name has other content and the answer is open: the file may never have got its name. It is offered again
   */
  async #restore({ record, content, isAnswered }: LoggedFile): Promise<boolean> {
    const path = join(this.#folder, record.finalName)
    const found = statOrNull(path)
    if (found !== null && !found.isFile()) return isAnswered
    const { isExecutable = false } = record
    const mtimeNs = nanosecondsOf(record.mtime ?? '')
    const bytes = found === null ? null : found.size > content.length ? found : readFileSync(path)
    if (bytes instanceof Uint8Array && bytes.equals(content)) {
      // The time may be lost although the content is not.
      await syncFile(path, mtimeNs)
      return true
    }
    // A file that lost content is shorter, or has zeros. Any other difference was written by the user.
    const isLost = bytes instanceof Uint8Array && bytes.every((byte, index) => byte === 0 || byte === content[index])
    if (found !== null && !isLost) return isAnswered
    const { partial } = transferPaths(this.#folder, record.transferId)
    await removeFile(partial)
    await writeNewFile(partial, [content], modeOf({ isExecutable }), { isSynced: true, mtimeNs })
    if (isLost) await rename(partial, path)
    else await link(partial, path)
    return true
  }
}

/** Removes a name of a small file, in this thread: the way to another one costs more. */
function removeSmall(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}

/**
 * One that is not there any more was moved by its owner.
 *
 * @param mtimeNs the time of the last modification to set; null to leave it
 */
async function syncFile(path: string, mtimeNs: bigint | null = null): Promise<void> {
  try {
    await using handle = await whenDescriptorsAllow(() => open(path, 'r'))
    if (mtimeNs !== null) setModified(handle.fd, mtimeNs)
    await handle.sync()
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'EISDIR', 'EACCES', 'ELOOP')) throw error
  }
}

function statOrNull(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null
}
