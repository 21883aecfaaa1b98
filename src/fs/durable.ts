/** Durable writes: files and names that survive the loss of power. */
import { randomBytes } from 'node:crypto'
import {
  type BigIntStats,
  closeSync,
  constants,
  fsync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  type Stats,
  statSync,
  writevSync,
} from 'node:fs'
import { type FileHandle, mkdir, open, unlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { Problem } from '../protocol/index.ts'
import { whenDescriptorsAllow } from './descriptors.ts'
import { hasCode } from './error-code.ts'
import { setModified } from './file-times.ts'

const syncDescriptor = promisify(fsync)

/** The running sync of a folder, and the one that follows it if a caller has asked meanwhile. */
interface FolderSync {
  readonly done: Promise<void>
  next: Promise<void> | null
}

const folderSyncs = new Map<string, FolderSync>()

/**
 * Makes the entries of a folder durable: everything created, renamed or removed in it before the call. Calls that come
 * while the folder is being synced share the next sync.
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

/** Only the sync runs in another thread: the switch would cost more than opening and closing. */
async function syncFolderNow(folder: string): Promise<void> {
  const descriptor = await whenDescriptorsAllow(() => openSync(folder, 'r'))
  try {
    await syncDescriptor(descriptor)
  } catch (error) {
    // Windows cannot sync a folder and does not need to: NTFS journals its entries.
    if (process.platform !== 'win32') throw error
  } finally {
    closeSync(descriptor)
  }
}

const OWN_FOLDER_MODE = 0o700

/** Folders whose entry in their parent is known to be durable. */
const durableFolders = new Set<string>()

/**
 * Creates a folder and its missing parents, and makes each new entry durable. It also syncs the entry of a folder that exists
 * already, because an earlier run may have been killed right after it made it. Later calls only check that the folder exists.
 */
export async function makeFolder(folder: string, mode = OWN_FOLDER_MODE): Promise<void> {
  const path = resolve(folder)
  if (durableFolders.has(folder) && isFolder(path)) return
  const first = await makeWithParents(path, mode)
  if (first !== undefined) await syncParents(path, first)
  else if (!durableFolders.has(folder)) {
    await syncFolder(dirname(folder)).catch((error: unknown) => {
      // The parent may be unreadable, like a /home of mode 0711. Then another user made the folder.
      if (!hasCode(error, 'EACCES', 'EPERM')) throw error
    })
  }
  durableFolders.add(folder)
}

/**
 * Creates a folder and its missing parents, and throws the true reason where one cannot be made. Node's recursive `mkdir` says ENOENT
 * on a disk that can only be read, and never ends where a folder that is there says ENOENT to a new one, as /proc does.
 *
 * @returns the uppermost folder that was made; undefined where the folder is there
 */
async function makeWithParents(folder: string, mode: number): Promise<string | undefined> {
  try {
    await mkdir(folder, { mode })
    return folder
  } catch (error) {
    if (isFolder(folder)) return undefined
    if (!hasCode(error, 'ENOENT') || dirname(folder) === folder) throw error
  }
  const first = await makeWithParents(dirname(folder), mode)
  await mkdir(folder, { mode }).catch((error: unknown) => {
    if (!isFolder(folder)) throw error
  })
  return first ?? folder
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

/**
 * Creates a folder that only this program uses. A symbolic link of that name is refused: another user may have made it, and every
 * change would go to its target.
 *
 * @param withParents false where the parent must exist: the call fails if it has vanished
 * @throws Problem `folder-unavailable` for anything but a folder, and for a folder of another user; errors of the file system
 */
export async function makeOwnFolder(folder: string, { withParents }: { withParents: boolean }): Promise<void> {
  if (withParents) await makeFolder(dirname(folder))
  const isKnown = durableFolders.has(folder) && isThere(folder)
  const isNew = !isKnown && (await makeOne(folder))
  const { uid } = requireOwnFolder(folder)
  if (!isNew) await requireOwner(folder, uid)
  if (!isNew && durableFolders.has(folder)) return
  await syncFolder(dirname(folder))
  durableFolders.add(folder)
}

/** @returns false where it is there */
async function makeOne(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { mode: OWN_FOLDER_MODE })
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  }
}

/**
 * Refuses a folder of another user, who could replace the files in it. Root may write there and would not notice otherwise. Some
 * file systems show another owner than the user who writes, so the folder is also accepted when a new file gets the same owner.
 */
async function requireOwner(folder: string, uid: number): Promise<void> {
  const ownUid = process.geteuid?.() ?? uid
  if (uid === ownUid) return
  const probe = unfinishedPath(folder)
  try {
    await createFile(probe, [], 0o600)
    if (lstatSync(probe).uid === uid) return
  } finally {
    await removeFile(probe)
  }
  throw new Problem('folder-unavailable', {
    detail: `${basename(folder)} belongs to another user (uid ${uid}), and this program runs as uid ${ownUid}`,
  })
}

/** @throws Problem `folder-unavailable` for a link, or anything else that is no folder; errors of the file system */
export function requireOwnFolder(folder: string): Stats {
  const stats = lstatSync(folder)
  if (stats.isDirectory()) return stats
  const what = stats.isSymbolicLink() ? 'a symbolic link' : 'no folder'
  throw new Problem('folder-unavailable', {
    detail: `${basename(folder)} is ${what}, and has to be a folder of its own`,
  })
}

/** Sets the mode of a folder of this program's own. It never follows a link. */
export async function setFolderMode(folder: string, mode: number): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_DIRECTORY ?? 0))
  try {
    await handle.chmod(mode)
  } finally {
    await handle.close()
  }
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
  /** Has to be done before the new text may appear under the name. The text is written meanwhile, so that both wait for the disk together. */
  readonly after?: Promise<unknown>
}

/** Replaces a small file as a whole, durably: after a crash it holds either the old text or the new one. */
export async function replaceFile(path: string, text: string, options: ReplaceOptions = {}): Promise<void> {
  await placeFile(path, text, options)
  await syncFolder(dirname(path))
}

const UNFINISHED = /^\.[0-9a-f]{12}\.partial$/

/** A name in this folder for a file that is being written. */
export function unfinishedPath(folder: string): string {
  return join(folder, `.${randomBytes(6).toString('hex')}.partial`)
}

/**
 * Removes what replacements of files have left that were cut by a crash.
 *
 * @param ageMs only what nobody has written to for this time; 0 where the caller has the folder for itself
 */
export async function removeUnfinished(folder: string, ageMs = 0): Promise<void> {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (UNFINISHED.test(name) && (ageMs === 0 || isOlder(path, ageMs))) await removeFile(path)
  }
}

/** Whether a file is there that nobody has written to for this time, by the wall clock. */
export function isOlder(path: string, ageMs: number): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  return stats !== undefined && Date.now() - stats.mtimeMs >= ageMs
}

/** Replaces a small file as a whole. The change is durable only once its folder has been synced. */
export async function placeFile(path: string, text: string, options: ReplaceOptions = {}): Promise<void> {
  const { mode = 0o600, after } = options
  const partial = unfinishedPath(dirname(path))
  try {
    await Promise.all([createFile(partial, [Buffer.from(text)], mode), after])
    renameSync(partial, path)
  } catch (error) {
    await removeFile(partial)
    throw error
  }
}

/**
 * Creates a small file with all of its content, durably, or none; the caller syncs the folder. Only the sync runs in another thread: for
 * small writes the switch would cost more than the write.
 *
 * @throws errors of the file system; EEXIST when the file exists
 */
export async function createFile(path: string, buffers: readonly Uint8Array[], mode: number): Promise<void> {
  await writeNewFile(path, buffers, mode, { isSynced: true })
}

export interface WriteOptions {
  /** Whether the content survives the loss of power. */
  readonly isSynced: boolean
  /** The time of the last modification; null for now. */
  readonly mtimeNs?: bigint | null
}

/** {@link createFile}, with options. */
export async function writeNewFile(
  path: string,
  buffers: readonly Uint8Array[],
  mode: number,
  { isSynced, mtimeNs = null }: WriteOptions,
): Promise<void> {
  const descriptor = await whenDescriptorsAllow(() => openSync(path, 'wx', mode))
  try {
    let rest = buffers
    while (rest.length > 0) rest = restOf(rest, writevSync(descriptor, rest))
    if (mtimeNs !== null) setModified(descriptor, mtimeNs)
    if (isSynced) await syncDescriptor(descriptor)
  } catch (error) {
    // On a full disk it would be in the way, and hold the place of what is tried next.
    await removeFile(path)
    throw error
  } finally {
    closeSync(descriptor)
  }
}

/** The rest of the buffers after the first `bytesWritten` bytes. */
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

/** Whether a file or folder of that name exists. Where it mostly does not, this is cheaper than catching an error. */
export function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

/** What the system says of a file, a folder or a symbolic link itself; null where there is none. */
export function lstatOrNull(path: string): BigIntStats | null {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? null
}

export function isSameFile(one: BigIntStats | null, other: BigIntStats | null): boolean {
  return one !== null && other !== null && one.ino === other.ino && one.dev === other.dev
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
    return await whenDescriptorsAllow(() => readFileSync(path, 'utf8'))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

/** Whether an error says that there is no room: the disk is full, or the owner's quota on it. */
export function isNoRoom(error: unknown): boolean {
  return hasCode(error, 'ENOSPC', 'EDQUOT', 'EFBIG')
}
