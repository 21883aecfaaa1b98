import { access, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

const MEMORY_FOLDER = '/dev/shm'

/** A new folder that is removed after the test. `inMemory` prefers one in memory, where syncs cost nothing. */
export async function testFolder({ inMemory = false } = {}): Promise<string> {
  const parent = inMemory ? await access(MEMORY_FOLDER).then(() => MEMORY_FOLDER, tmpdir) : tmpdir()
  const folder = await realpath(await mkdtemp(join(parent, 'golooader-test-')))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}
