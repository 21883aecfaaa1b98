/**
 * The name of the journal of this machine. A drop folder that is moved to another machine, or whose journal was lost, tells by it that a file
 * without a transfer here may have one elsewhere.
 */
import { join } from 'node:path'
import { makeFolder, readTextOrNull, replaceFile, withFolderLock } from '../fs/index.ts'
import { isTransferId, newTransferId } from '../protocol/index.ts'

const FILE_NAME = 'journal.id'

/** The name of the journal in a state folder. The first call gives it one, durably. */
export function journalId(stateFolder: string): Promise<string> {
  return alone(stateFolder, async (path) => {
    const known = ((await readTextOrNull(path)) ?? '').trim()
    return isTransferId(known) ? known : write(path)
  })
}

/** Gives the journal another name: transfers of this one have been taken to another machine. */
export function renewJournalId(stateFolder: string): Promise<string> {
  return alone(stateFolder, write)
}

async function alone(stateFolder: string, act: (path: string) => Promise<string>): Promise<string> {
  await makeFolder(stateFolder)
  const path = join(stateFolder, FILE_NAME)
  return withFolderLock(stateFolder, `${path}.lock`, () => act(path))
}

async function write(path: string): Promise<string> {
  const id = newTransferId()
  await replaceFile(path, `${id}\n`)
  return id
}
