/**
 * One process per folder. The operating system keeps the lock on a small file in the folder and releases it when the process ends,
 * also by a crash. So no stale locks exist, and no process ids are compared. The lock belongs to the file: it also excludes processes
 * of other containers that use the same folder. Only users who may write the file can lock it.
 *
 * Node cannot lock a file itself, but the SQLite that comes with it does so, on every platform: an exclusive
 * transaction on an empty database, which is never ended and never writes anything.
 */
import { accessSync, closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import { backoffMs, KeyedMutex, retry } from '../async/index.ts'
import { Problem } from '../protocol/index.ts'
import { whenDescriptorsAllow } from './descriptors.ts'
import { hasCode } from './error-code.ts'

/** https://sqlite.org/rescode.html#busy: another connection has the file. */
const SQLITE_BUSY = 5
/** Users who may read the file could lock it. */
const LOCK_FILE_MODE = 0o600

/** Another process uses the folder. */
export class FolderTakenError extends Problem {
  constructor(detail: string, options: ErrorOptions = {}) {
    super('folder-unavailable', { detail }, options)
  }
}

/** A held lock. */
export interface FolderLock {
  release(): Promise<void>
}

/** The locks of this process. The reference keeps the garbage collector from closing a lock that is still held. */
const held = new Set<object>()

/**
 * Locks a folder for this process.
 *
 * @param lockFile created if it does not exist. It stays when the lock is released, because the next owner may have locked
 *   it already
 * @throws FolderTakenError when another process has locked the folder; Problem `folder-unavailable` when the file cannot be
 *   locked; errors of the file system
 */
export async function lockFolder(folder: string, lockFile: string = join(folder, 'lock')): Promise<FolderLock> {
  // Loaded only here, because most processes that load this file never lock a folder.
  const { DatabaseSync } = await import('node:sqlite')
  await whenDescriptorsAllow(() => ensureWritable(lockFile))
  const database = new DatabaseSync(lockFile, { open: false, timeout: 0 })
  try {
    database.open()
    // Nothing is ever written, so SQLite needs no journal file for a rollback.
    database.exec('pragma journal_mode = memory; begin exclusive')
  } catch (cause) {
    if (database.isOpen) database.close()
    const isTaken = cause instanceof Error && 'errcode' in cause && cause.errcode === SQLITE_BUSY
    if (isTaken) throw new FolderTakenError(`another process is using ${folder}`, { cause })
    throw new Problem('folder-unavailable', { detail: 'the lock file in it cannot be locked' }, { cause })
  }
  held.add(database)
  return {
    release: async () => {
      if (held.delete(database)) database.close()
    },
  }
}

/** For locks that are held only while a small file is read and written. */
const LOCK_TRIES_MAX = 1_000
/** A constant pause, because such a lock is held for moments. */
const LOCK_BACKOFF = { minMs: 10, maxMs: 10 }
const mutex = new KeyedMutex()

/**
 * Runs `act` while this process holds the lock. Meant for short acts: waiting processes poll.
 *
 * @throws FolderTakenError when another process does not release it
 */
export function withFolderLock<Result>(folder: string, lockFile: string, act: () => Promise<Result>): Promise<Result> {
  // Callers in this process queue. If all of them polled, one might never get the lock.
  return mutex.run(lockFile, async () => {
    const lock = await lockWhenFree(folder, lockFile)
    try {
      return await act()
    } finally {
      await lock.release()
    }
  })
}

async function lockWhenFree(folder: string, lockFile: string): Promise<FolderLock> {
  return retry(() => lockFolder(folder, lockFile), {
    delayMs: (error, tries) => {
      if (!(error instanceof Problem) || error.code !== 'folder-unavailable' || tries === LOCK_TRIES_MAX) throw error
      return backoffMs(1, LOCK_BACKOFF)
    },
  })
}

/**
 * Creates the lock file if it is missing, and checks that it can be written: SQLite also opens a file that it can only read, but
 * does not lock it then.
 *
 * It is synchronous and never opens an existing file: POSIX releases all locks of a process on a file when the process closes
 * any descriptor of it.
 */
function ensureWritable(lockFile: string): void {
  try {
    closeSync(openSync(lockFile, 'wx', LOCK_FILE_MODE))
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    accessSync(lockFile, constants.W_OK)
  }
}
