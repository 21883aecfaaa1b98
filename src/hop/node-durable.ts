/** What it takes on this machine that a file or a name survives the loss of power. */
import { randomBytes } from 'node:crypto'
import { closeSync, fsync, lstatSync, openSync, readFileSync, statSync, writevSync } from 'node:fs'
import { type FileHandle, mkdir, open, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const syncDescriptor = promisify(fsync)

/** The newest sync of a folder that is under way, and the one that will follow it if somebody has asked for that. */
interface FolderSync {
  readonly done: Promise<void>
  next: Promise<void> | null
}

const folderSyncs = new Map<string, FolderSync>()

/**
 * Makes the entries of a folder durable: what was created, renamed or removed in it before the call stays so. Whoever asks
 * while the folder is being synced shares the next sync with all others who do.
 */
export function syncFolder(folder: string): Promise<void> {
  const underWay = folderSyncs.get(folder)
  if (underWay === undefined) return startSync(folder)
  underWay.next ??= underWay.done.catch(() => {}).then(() => startSync(folder))
  return underWay.next
}

async function startSync(folder: string): Promise<void> {
  const sync: FolderSync = { done: syncFolderNow(folder), next: null }
  folderSyncs.set(folder, sync)
  try {
    await sync.done
  } finally {
    if (sync.next === null) folderSyncs.delete(folder)
  }
}

async function syncFolderNow(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } catch (error) {
    // Windows cannot sync a folder and does not need to: NTFS journals its entries.
    if (process.platform !== 'win32') throw error
  } finally {
    await handle.close()
  }
}

/** Folders whose entry this process has made durable, or found to be so. */
const durableFolders = new Set<string>()

/**
 * Creates a folder and its missing parents, and makes each new entry durable. So is that of a folder which is there
 * already: an earlier run may have been killed right after it made it. Asked again, it looks only whether it is there.
 */
export async function makeFolder(folder: string, mode = 0o700): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode })
  if (first !== undefined) await syncParents(folder, first)
  else if (!durableFolders.has(folder)) {
    await syncFolder(dirname(folder)).catch((error: unknown) => {
      // A folder may stand where its owner can read nothing, as in a /home of mode 0711; then others have made it.
      if (!hasCode(error, 'EACCES', 'EPERM')) throw error
    })
  }
  durableFolders.add(folder)
}

async function syncParents(folder: string, first: string): Promise<void> {
  let path = folder
  while (path !== dirname(first)) {
    path = dirname(path)
    await syncFolder(path)
  }
}

export interface ReplaceOptions {
  readonly mode?: number
  /** What has to be done before the new text may be found there. It is written meanwhile: both wait for the disk together. */
  readonly after?: Promise<unknown>
}

/** Replaces a small file as a whole, durably: after a crash it holds either the old text or the new one. */
export async function replaceFile(path: string, text: string, options: ReplaceOptions = {}): Promise<void> {
  await placeFile(path, text, options)
  await syncFolder(dirname(path))
}

/** Replaces a small file as a whole. It is the new one for good once its folder has been synced. */
export async function placeFile(path: string, text: string, options: ReplaceOptions = {}): Promise<void> {
  const { mode = 0o600, after } = options
  const partial = join(dirname(path), `.${randomBytes(6).toString('hex')}.partial`)
  try {
    await Promise.all([createFile(partial, [Buffer.from(text)], mode), after])
    await rename(partial, path)
  } catch (error) {
    await removeFile(partial)
    throw error
  }
}

/**
 * Makes a small file with all of its content, durably; that of its folder is another matter. Only the wait for the disk goes
 * to another thread: for so little, handing over costs more than what is done.
 *
 * @throws errors of the file system; EEXIST where there is one already
 */
export async function createFile(path: string, buffers: readonly Uint8Array[], mode: number): Promise<void> {
  const descriptor = openSync(path, 'wx', mode)
  try {
    let rest = buffers
    while (rest.length > 0) rest = restOf(rest, writevSync(descriptor, rest))
    await syncDescriptor(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** What is left of buffers of which so many bytes have been written. */
function restOf(buffers: readonly Uint8Array[], bytesWritten: number): readonly Uint8Array[] {
  let left = bytesWritten
  let whole = 0
  for (const { length } of buffers) {
    if (length > left) break
    left -= length
    whole++
  }
  const [first, ...others] = buffers.slice(whole)
  return first === undefined ? [] : [first.subarray(left), ...others]
}

/**
 * Writes buffers one after another. `writev` may write less than it was given, so what remains is written again.
 *
 * @param startByte where to; null to append
 * @returns where the next byte goes; null when appending
 */
export async function writeAll(
  handle: FileHandle,
  buffers: readonly Uint8Array[],
  startByte: number | null,
): Promise<number | null> {
  let atByte = startByte
  let rest = buffers
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest, atByte ?? undefined)
    if (atByte !== null) atByte += bytesWritten
    rest = restOf(rest, bytesWritten)
  }
  return atByte
}

/** Whether there is anything of that name. Cheaper than to be told by an error, where there mostly is nothing. */
export function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

/** Removes a file, if there is one. */
export async function removeFile(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return
  try {
    await unlink(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}

/** The text of a small file; null where there is none. */
export async function readTextOrNull(path: string): Promise<string | null> {
  if (!isThere(path)) return null
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

/** Whether an error of the file system has that code. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

/** Whether an error says that there is no room: the disk is full, or the owner's quota on it. */
export function isNoRoom(error: unknown): boolean {
  return hasCode(error, 'ENOSPC', 'EDQUOT', 'EFBIG')
}
