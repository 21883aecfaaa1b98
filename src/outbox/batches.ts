/**
 * Takes files over from the drop folder, and finds them again after a crash.
 *
 * The files of a batch are renamed into a new folder `.sending/<batchId>`. Only when that is durable are they sent: if the power went
 * earlier, they may lie in the drop folder again, and are new. From then on each is in exactly one transfer, because the folder and the name
 * in it are the key of that transfer in the sender's journal.
 */
import { readdirSync, renameSync } from 'node:fs'
import { mkdir, readdir, rmdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { hasCode, isNoRoom, isThere, lstatOrNull, removeFile, syncFolder } from '../fs/index.ts'
import { isTransferId, newTransferId } from '../protocol/index.ts'
import { type BatchHeader, BatchRecord, type KnownBatch, type RecordedEnd } from './batch-record.ts'
import type { WatchedFile } from './events.ts'
import type { OutboxFolder } from './outbox-folder.ts'
import { type SettledFile, stateOf } from './settling.ts'

const FOLDER_MODE = 0o700
const RECORD_END = '.jsonl'
/** Errors for what cannot be renamed: a mount point, what lies on another disk, what belongs to others. */
const STUCK_CODES = ['EXDEV', 'EBUSY', 'EACCES', 'EPERM', 'EROFS']

/** Files that were taken over together. */
export class Batch {
  readonly batchId: string
  readonly folder: string
  readonly record: BatchRecord
  readonly header: Omit<BatchHeader, 'version'>
  /** The files that something is left to do for. */
  readonly pending = new Set<string>()
  readonly #outbox: OutboxFolder
  #syncing: Promise<void> | null = null

  constructor(outbox: OutboxFolder, batchId: string, record: BatchRecord, header: Omit<BatchHeader, 'version'>) {
    this.batchId = batchId
    this.folder = join(outbox.sending, batchId)
    this.record = record
    this.header = header
    this.#outbox = outbox
  }

  /**
   * Makes it durable that the files lie in this folder, and no longer in the drop folder. Until then nothing may be sent. A killed run
   * may have been killed before it.
   */
  makeDurable(): Promise<void> {
    this.#syncing ??= this.#sync().catch((error) => {
      this.#syncing = null
      throw error
    })
    return this.#syncing
  }

  async #sync(): Promise<void> {
    await this.sync()
    await syncFolder(this.#outbox.path)
  }

  /** Makes durable what was moved into the folder and out of it. A killed run may have removed it already, and not the record. */
  async sync(): Promise<void> {
    if (isThere(this.folder)) await syncFolder(this.folder)
  }

  /** Nothing is left to do for a file. With the last one, the batch ends. */
  async done(name: string): Promise<void> {
    if (this.pending.size > 1) await this.record.noteDone(name).catch(ignoreNoRoom)
    this.pending.delete(name)
    if (this.pending.size > 0) return
    try {
      await rmdir(this.folder)
    } catch (error) {
      if (hasCode(error, 'ENOTEMPTY', 'EEXIST')) return
      if (!hasCode(error, 'ENOENT')) throw error
    }
    await removeFile(recordPath(this.#outbox, this.batchId))
  }
}

/** The note only spares the next run some work. It waits for room no more than for the disk: the next files may have to end first. */
function ignoreNoRoom(error: unknown): void {
  if (!isNoRoom(error)) throw error
}

/** A file or folder that was taken over. */
export interface Drop {
  readonly batch: Batch
  readonly name: string
  readonly isFolder: boolean
  /** Null until its transfer has ended. */
  end: RecordedEnd | null
  /** Whether its deletion has begun. */
  isDeleting: boolean
  /** Whether nothing has written to it for the settling time. */
  isSettled: boolean
  /** Whether an earlier run took it over. */
  readonly isRecovered: boolean
  /** Whether a step has failed in this run. It may have left the transfer in the journal. */
  isRetried: boolean
  /** Whether the caller knows, in this run, that the portal has it. */
  isStoredTold: boolean
  /** What the caller knows, in this run, of its place. */
  told: WatchedFile | null
}

/** Where a file lies. */
export function locationOf({ batch, name }: Drop): string {
  return join(batch.folder, name)
}

/** What the sender's journal knows a file by, in this run and later ones, wherever the drop folder is mounted. */
export function placeOf({ batch, name }: Drop): string {
  return `outbox:${batch.batchId}/${name}`
}

/** Whose files they are, and how they are sent. */
export type BatchOrigin = Omit<BatchHeader, 'version' | 'files'>

/** A file that the drop folder does not let go. */
export interface StuckFile {
  readonly name: string
  readonly reason: string
}

/**
 * Takes files over, except those that have changed since they were looked at. `makeDurable` of their batch makes them this program's for good.
 *
 * @throws FolderAwayError; errors of the file system, where no file was taken over
 */
export async function takeOver(
  outbox: OutboxFolder,
  files: readonly SettledFile[],
  about: BatchOrigin,
): Promise<{ drops: Drop[]; stuck: StuckFile[] }> {
  const taken = files.map(({ name, isFolder }) => ({ name, isFolder }))
  const batch = await newBatch(outbox, { ...about, files: taken })
  const { drops, stuck, error } = moveInto(batch, outbox, files)
  if (drops.length === 0) await removeEmpty(outbox, batch.batchId)
  if (drops.length === 0 && error !== null) throw error
  return { drops, stuck }
}

/** Renames files into the folder of their batch, up to the first `error`. */
function moveInto(
  batch: Batch,
  outbox: OutboxFolder,
  files: readonly SettledFile[],
): { drops: Drop[]; stuck: StuckFile[]; error: unknown } {
  const drops: Drop[] = []
  const stuck: StuckFile[] = []
  for (const { name, state, isFolder } of files) {
    const path = join(outbox.path, name)
    if (!isFolder && stateAt(path) !== state) continue
    try {
      renameSync(path, join(batch.folder, name))
    } catch (error) {
      if (hasCode(error, 'ENOENT')) continue
      if (!hasCode(error, ...STUCK_CODES)) return { drops, stuck, error }
      stuck.push({
        name,
        reason: `it cannot be moved (${codeOf(error)}): it is a mount point, lies on another disk, or belongs to another user`,
      })
      continue
    }
    const isSettled = isFolder || stateAt(join(batch.folder, name)) === state
    drops.push(dropIn(batch, name, isFolder, isSettled))
  }
  return { drops, stuck, error: null }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

function stateAt(path: string): string | null {
  const stats = lstatOrNull(path)
  return stats === null ? null : stateOf(stats)
}

/** Takes a file over once more, as a new one: it has changed since it was sent. @param journalId of this run */
export async function takeOverAgain(outbox: OutboxFolder, drop: Drop, journalId: string): Promise<Drop> {
  const { name, isFolder, batch: before } = drop
  const batch = await newBatch(outbox, { ...before.header, journalId, files: [{ name, isFolder }] })
  try {
    renameSync(locationOf(drop), join(batch.folder, name))
  } catch (error) {
    await removeEmpty(outbox, batch.batchId)
    throw error
  }
  await syncFolder(batch.folder)
  await syncFolder(before.folder)
  return dropIn(batch, name, isFolder, false)
}

/** What an earlier run has left. */
export interface Recovered {
  readonly drops: readonly Drop[]
  /** Files of batches that this run does not know how to send. */
  readonly strange: readonly StuckFile[]
}

/**
 * Finds the files that an earlier run has taken over.
 *
 * @param notOwn why this run may not send a file; null when it may
 */
export async function recoverBatches(
  outbox: OutboxFolder,
  notOwn: (drop: Drop, header: BatchHeader) => Promise<string | null>,
): Promise<Recovered> {
  const drops: Drop[] = []
  const strange: StuckFile[] = []
  const names = await readdir(outbox.sending)
  const batchIds = new Set(names.map((name) => basename(name, RECORD_END)).filter(isTransferId))
  for (const batchId of [...batchIds].sort()) {
    const found = await BatchRecord.read(recordPath(outbox, batchId))
    const inFolder = namesIn(join(outbox.sending, batchId))
    if (found === null || found === 'damaged') {
      const reason = found === null ? 'there is no record of how to send it' : 'the record of how to send it is damaged'
      strange.push(...inFolder.map(({ name }) => ({ name: `${batchId}/${name}`, reason })))
      if (inFolder.length === 0) await removeEmpty(outbox, batchId)
      continue
    }
    const batch = new Batch(outbox, batchId, found.record, found.known.header)
    const own = dropsOf(batch, found.known, inFolder)
    for (const drop of own) {
      const reason = await notOwn(drop, found.known.header)
      if (reason === null) drops.push(drop)
      else if (isThere(locationOf(drop))) strange.push({ name: `${batchId}/${drop.name}`, reason })
    }
    if (own.length === 0) await removeEmpty(outbox, batchId)
  }
  return { drops, strange }
}

function dropsOf(
  batch: Batch,
  { header, ends, deleting, done }: KnownBatch,
  inFolder: readonly { name: string; isFolder: boolean }[],
): Drop[] {
  const left = header.files.filter(({ name }) => !done.has(name))
  const all = new Map([...left, ...inFolder].map(({ name, isFolder }) => [name, isFolder]))
  return [...all].map(([name, isFolder]) => {
    const drop = dropIn(batch, name, isFolder, true)
    return { ...drop, end: ends.get(name) ?? null, isDeleting: deleting.has(name), isRecovered: true }
  })
}

async function newBatch(outbox: OutboxFolder, header: Omit<BatchHeader, 'version'>): Promise<Batch> {
  outbox.assertIsThere()
  const batchId = newTransferId()
  await mkdir(join(outbox.sending, batchId), { mode: FOLDER_MODE })
  try {
    const record = await BatchRecord.create(recordPath(outbox, batchId), header)
    await syncFolder(outbox.sending)
    return new Batch(outbox, batchId, record, header)
  } catch (error) {
    // Each try on a full disk would leave another folder.
    await removeEmpty(outbox, batchId)
    throw error
  }
}

function dropIn(batch: Batch, name: string, isFolder: boolean, isSettled: boolean): Drop {
  batch.pending.add(name)
  const known = { end: null, isDeleting: false, isRetried: false, isStoredTold: false, told: null }
  return { batch, name, isFolder, isSettled, isRecovered: false, ...known }
}

async function removeEmpty(outbox: OutboxFolder, batchId: string): Promise<void> {
  await rmdir(join(outbox.sending, batchId)).catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT')) throw error
  })
  await removeFile(recordPath(outbox, batchId))
}

function namesIn(folder: string): { name: string; isFolder: boolean }[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true })
    return entries.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  }
}

function recordPath({ sending }: OutboxFolder, batchId: string): string {
  return join(sending, `${batchId}${RECORD_END}`)
}
