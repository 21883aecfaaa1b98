/** What a receiver on the command line got of a folder. */
import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { World } from '../e2e/harness/world.ts'

export interface ReceivedEntry {
  /** Null for a folder. */
  readonly content: Buffer | null
  readonly modifiedMs: number
}

/** The entries of the folder that a receiver got, by their paths in it. A receiver that knows no trees has a tar. */
export async function receivedTree(world: World, receiver: string, name: string): Promise<Map<string, ReceivedEntry>> {
  let folder = join(world.inbox(receiver), name)
  if ((await world.received(receiver)).includes(`${name}.tar`)) {
    const above = world.path('unpacked')
    await mkdir(above, { recursive: true })
    await promisify(execFile)('tar', ['-xf', `${folder}.tar`, '-C', above])
    folder = join(above, name)
  }
  const entries = new Map<string, ReceivedEntry>()
  for (const path of (await readdir(folder, { recursive: true, encoding: 'utf8' })).sort()) {
    const stats = await stat(join(folder, path))
    const content = stats.isDirectory() ? null : await readFile(join(folder, path))
    entries.set(path, { content, modifiedMs: stats.mtimeMs })
  }
  return entries
}
