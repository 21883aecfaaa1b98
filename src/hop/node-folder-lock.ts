/**
 * One process per folder. The lock is one that the operating system keeps on a small file in the folder, and lets go
 * of when its process ends, however it ends: there is no stale lock to clean up after a crash, and no process id to be
 * mistaken for another's. It belongs to the file, so it keeps apart whoever reaches the same folder, from another
 * container too; and only who may write the file can take it.
 *
 * Node cannot lock a file itself, but the SQLite that comes with it does so, on every platform: an exclusive
 * transaction on an empty database, which is never ended and never writes anything.
 */
import { accessSync, closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Problem } from '../protocol/index.ts'
import { hasCode } from './node-durable.ts'
import { localTurns } from './turns.ts'

/** https://sqlite.org/rescode.html#busy: another connection has the file. */
const SQLITE_BUSY = 5
/** Whoever may read the file could keep others out with a lock of their own. */
const LOCK_FILE_MODE = 0o600

/** Letting go is the only thing that one can do with a lock. */
export interface FolderLock {
  release(): Promise<void>
}

/** What holds the locks of this process. One that its owner forgot must not be let go of by the garbage collector. */
const held = new Set<object>()

/**
 * Takes possession of a folder.
 *
 * @param lockFile made if it does not exist. It stays when the lock is released: removing it could take it from under
 *   the next owner
 * @throws Problem `folder-unavailable` when another process has the folder, or when the file cannot be locked; errors
 *   of the file system
 */
export async function lockFolder(folder: string, lockFile: string = join(folder, 'lock')): Promise<FolderLock> {
  // Loaded only here: most of who loads this file never locks a folder.
  const { DatabaseSync } = await import('node:sqlite')
  ensureWritable(lockFile)
  const database = new DatabaseSync(lockFile, { open: false, timeout: 0 })
  try {
    database.open()
    // Nothing is ever written, so nothing beside the file is needed to undo it by.
    database.exec('pragma journal_mode = memory; begin exclusive')
  } catch (cause) {
    if (database.isOpen) database.close()
    const isTaken = cause instanceof Error && 'errcode' in cause && cause.errcode === SQLITE_BUSY
    const detail = isTaken ? `another process is using ${folder}` : 'the lock file in it cannot be locked'
    throw new Problem('folder-unavailable', { detail }, { cause })
  }
  held.add(database)
  return {
    release: async () => {
      if (held.delete(database)) database.close()
    },
  }
}

/** A folder that is locked only while a small file in it is read and written. */
const LOCK_TRIES_MAX = 1_000
/** At random between half and the whole of it, lest several keep step with each other. */
const LOCK_PAUSE_MS = 10
const turns = localTurns()

/**
 * Does something while no other process holds the same lock. Meant for moments: whoever waits looks again and again.
 *
 * @throws Problem `folder-unavailable` when another process does not let go of it
 */
export function withFolderLock<Result>(folder: string, lockFile: string, act: () => Promise<Result>): Promise<Result> {
  // Those of this process stand in line: looking again and again, one of them might never be the lucky one.
  return turns.take(lockFile, async () => {
    const lock = await lockPatiently(folder, lockFile)
    try {
      return await act()
    } finally {
      await lock.release()
    }
  })
}

async function lockPatiently(folder: string, lockFile: string): Promise<FolderLock> {
  for (let tries = 1; ; tries++) {
    try {
      return await lockFolder(folder, lockFile)
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== 'folder-unavailable' || tries === LOCK_TRIES_MAX) throw error
      await setTimeout(LOCK_PAUSE_MS * (0.5 + Math.random() / 2))
    }
  }
}

/**
 * Makes the lock file if there is none. SQLite is content with one that it can only read, and would then not lock it.
 *
 * Not asynchronous, and never opening a file that is there: POSIX takes all locks on a file from a process that closes
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
