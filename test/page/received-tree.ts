/** What a receiver on the command line got of a folder. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { World } from '../e2e/harness/world.ts'

export interface ReceivedEntry {
  /** Null for a folder. */
  readonly content: Buffer | null
  readonly modifiedMs: number
}

/** The entries of the folder that a receiver got, by their paths in it. */
export async function receivedTree(world: World, receiver: string, name: string): Promise<Map<string, ReceivedEntry>> {
  const folder = join(world.inbox(receiver), name)
  const entries = new Map<string, ReceivedEntry>()
  for (const path of (await readdir(folder, { recursive: true, encoding: 'utf8' })).sort()) {
    const stats = await stat(join(folder, path))
    const content = stats.isDirectory() ? null : await readFile(join(folder, path))
    entries.set(path, { content, modifiedMs: stats.mtimeMs })
  }
  return entries
}
