/** Checks whether the folders of this machine can be used. */
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { placeFile, removeFile } from '../../fs/index.ts'
import { configFolder, stateFolder } from '../../profile/index.ts'
import { printable } from '../../protocol/index.ts'
import { type Finding, ok } from './finding.ts'

/** @param into an existing folder of a receiver to check; null for none */
export async function tryFolders(into: string | null): Promise<Finding[]> {
  const own = [configFolder(), stateFolder()].map(async (folder) => {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    return folder
  })
  const folders = into === null ? own : [...own, Promise.resolve(into)]
  return Promise.all(folders.map(tryFolder))
}

async function tryFolder(made: Promise<string>): Promise<Finding> {
  try {
    const folder = await made
    const path = join(folder, `.golooader-doctor-${randomBytes(8).toString('hex')}`)
    await placeFile(path, 'written by golooader doctor\n')
    await removeFile(path)
    return ok('folder', `${printable(folder)} can be written`)
  } catch (error) {
    return { check: 'folder', verdict: 'bad', error }
  }
}
