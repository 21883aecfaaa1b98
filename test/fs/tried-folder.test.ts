import { cp, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeTriedFolder } from '../../src/fs/index.ts'

let base: string
let tries: number
const use = {
  advice: 'name another folder',
  alsoTries: [['be counted', async () => void tries++]] as const,
}

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'golooader-tried-'))
  tries = 0
})
afterEach(() => rm(base, { recursive: true }))

test('a folder is tried once, and nothing but the mark stays in it', async () => {
  const folder = join(base, 'deep', 'state')
  for (let time = 1; time <= 3; time++) await makeTriedFolder(folder, use)
  expect(tries).toBe(1)
  expect(await readdir(folder)).toEqual(['.tried'])
})

test('a copy of it, and another folder in its place, are tried again', async () => {
  const folder = join(base, 'state')
  await makeTriedFolder(folder, use)
  await cp(folder, join(base, 'copy'), { recursive: true })
  await makeTriedFolder(join(base, 'copy'), use)
  expect(tries).toBe(2)
  await rename(folder, join(base, 'moved'))
  await makeTriedFolder(folder, use)
  expect(tries).toBe(3)
  await makeTriedFolder(join(base, 'moved'), use)
  expect(tries, 'it is the same folder under another name').toBe(3)
})

test('a folder that was refused has no mark', async () => {
  const folder = join(base, 'state')
  await makeTriedFolder(folder, use)
  await rm(folder, { recursive: true })
  const refused = { ...use, alsoTries: [['lock a file', () => Promise.reject(new Error('EIO'))]] as const }
  await expect(makeTriedFolder(folder, refused)).rejects.toMatchObject({ code: 'folder-unavailable' })
  expect(await readdir(folder)).toEqual([])
})
