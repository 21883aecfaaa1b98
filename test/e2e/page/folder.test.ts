/** A folder that a person has chosen: the origin's own files lend one that has the same interface. */
import { expect, test } from 'vitest'
import { sha256Of } from '../harness/world.ts'
import { notifiedOf, startSending } from '../second-hop/scene.ts'
import { scene } from './scene.ts'

const NAME = 'a.bin'

test('files go into the chosen folder, none over another, and nothing stays in the browser', async () => {
  const { world, page } = await scene()
  await page.open()
  await page.run('chooseFolder')
  await page.run('putIntoFolder', NAME, 'mine')
  const { path, sending } = await startSending(world, NAME, 3)
  expect((await sending.ended).code).toBe(0)
  const empty = world.send(await world.file('empty', 0), 'bob')
  expect((await empty.ended).code).toBe(0)
  expect(await page.run('folderFiles')).toMatchObject([
    { name: 'a (1).bin', digest: await sha256Of(path) },
    { name: NAME, sizeBytes: 4 },
    { name: 'empty', sizeBytes: 0 },
  ])
  expect(await page.kept()).toEqual([])
  expect(await page.run('stagedFiles')).toEqual([])
})

test('a folder that may not be written any more is waited for: the file is not said to be there, and goes nowhere else', async () => {
  const { world, page } = await scene()
  await page.open()
  await page.run('chooseFolder')
  await page.run('takePermissionBack')
  const { path, sending } = await startSending(world, NAME, 3)
  await sending.notification('stored')
  await expect.poll(() => page.run('folderLapses'), { timeout: 20_000 }).toEqual(['permission'])
  expect(notifiedOf(sending)).not.toContain('delivered')
  expect(await page.run('folderFiles')).toEqual([])
  expect(await page.kept()).toEqual([])
  expect(await page.run('askAgainForFolder')).toBe(true)
  expect((await sending.ended).code).toBe(0)
  expect(await page.run('folderFiles')).toMatchObject([{ name: NAME, digest: await sha256Of(path) }])
  expect(await page.run('folderLapses')).toEqual(['permission', null])
})
