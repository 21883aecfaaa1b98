/**
 * Makes a tree durable: each file, each folder and their names.
 *
 * One sync of the whole file system (syncfs) takes 5 ms of processor time for a thousand files on ext4, and one for each file 100 ms. It is
 * used where the file system is known to keep it. Node has no call for it, so the command `sync -f` makes it, which GNU and BusyBox have.
 * Elsewhere, and where the command fails, each file and folder is synced by itself.
 */
import { execFile } from 'node:child_process'
import { closeSync, fsync, openSync, statfsSync } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { syncedAsWholeTypes, syncFolder, whenDescriptorsAllow } from '../fs/index.ts'

const SYNCED_AT_ONCE_MAX = 16

const run = promisify(execFile)
const syncDescriptor = promisify(fsync)

export async function syncTree(folder: string): Promise<void> {
  if (await syncWhole(folder)) return
  await syncEach(folder)
}

/** @returns false where that is not possible */
async function syncWhole(folder: string): Promise<boolean> {
  if (process.platform !== 'linux' || !syncedAsWholeTypes.has(statfsSync(folder).type)) return false
  try {
    await run('sync', ['-f', folder])
    return true
  } catch {
    // There is no such command, or it does not know the option, or the disk has failed: then the sync of a file fails, too.
    return false
  }
}

/** Syncs every file and folder, a folder after what is in it. */
export async function syncEach(folder: string): Promise<void> {
  const syncing = new Set<Promise<void>>()
  for await (const entry of await opendir(folder)) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await syncEach(path)
    else if (entry.isFile()) {
      while (syncing.size >= SYNCED_AT_ONCE_MAX) await Promise.race(syncing)
      const one = syncFile(path).finally(() => syncing.delete(one))
      // The wait for one of them throws its error; until then it is not "unhandled".
      one.catch(() => {})
      syncing.add(one)
    }
  }
  await Promise.all(syncing)
  await syncFolder(folder)
}

async function syncFile(path: string): Promise<void> {
  const descriptor = await whenDescriptorsAllow(() => openSync(path, 'r'))
  try {
    await syncDescriptor(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
