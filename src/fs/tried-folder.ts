/**
 * Trying a folder takes a tenth of the time of a short command. So a file in the folder tells that it has been tried since the machine
 * was started, and the next process only replaces that file. It names the folder by its device and inode: on another disk, or after a
 * restart, everything is tried again.
 */
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { randomText } from '../protocol/index.ts'
import { bootId } from './boot-id.ts'
import { type FolderUse, makeUsableFolder, probePrefix } from './usable-folder.ts'

const MARK_NAME = '.tried'
/** More than a block of most file systems, so that a full disk is noticed. */
const MARK_BYTES = 8 * 1024
const NAME_BYTES = 6

/**
 * {@link makeUsableFolder}, with less to do for a folder that has been tried since the machine was started.
 *
 * @throws Problem `folder-unavailable`
 */
export async function makeTriedFolder(folder: string, use: FolderUse): Promise<void> {
  if (isMarked(folder) && mark(folder)) return
  await makeUsableFolder(folder, use)
  mark(folder)
}

function isMarked(folder: string): boolean {
  try {
    return readFileSync(join(folder, MARK_NAME), 'utf8') === markOf(folder)
  } catch {
    return false
  }
}

/** @returns false when the folder cannot be written. Trying it in full tells why */
function mark(folder: string): boolean {
  const unfinished = join(folder, `${probePrefix}${randomText(NAME_BYTES)}`)
  try {
    writeFileSync(unfinished, markOf(folder), { flag: 'wx', mode: 0o600 })
    renameSync(unfinished, join(folder, MARK_NAME))
    return true
  } catch {
    rmSync(unfinished, { force: true })
    return false
  }
}

function markOf(folder: string): string {
  const { dev, ino } = statSync(folder, { bigint: true })
  return `${bootId()} ${dev} ${ino}\n`.padEnd(MARK_BYTES)
}
