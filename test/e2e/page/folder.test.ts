/** Files go into a folder that the user has chosen. The tests use an OPFS folder, which has the same interface. */
import { expect, test } from 'vitest'
import { sha256Of, until } from '../harness/world.ts'
import { MIB, notifiedOf, recordOf, startSending } from '../second-hop/scene.ts'
import { type PageReceiver, scene } from './scene.ts'

const NAME = 'a.bin'

test('files are written to the chosen folder, none over another, and nothing stays in the browser', async () => {
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

test('while the folder is not writable a file waits: it is not reported as delivered and is saved nowhere else', async () => {
  const { world, page } = await scene()
  await page.open()
  await page.run('chooseFolder')
  await page.run('takePermissionBack')
  const { path, sending } = await startSending(world, NAME, 3)
  await sending.notification('stored')
  await expect.poll(() => page.run('folderLapses'), { timeout: 90_000 }).toEqual(['permission'])
  expect(notifiedOf(sending)).not.toContain('delivered')
  expect(await page.run('folderFiles')).toEqual([])
  expect(await page.kept()).toEqual([])
  expect(await page.run('askAgainForFolder')).toBe(true)
  expect((await sending.ended).code).toBe(0)
  expect(await page.run('folderFiles')).toMatchObject([{ name: NAME, digest: await sha256Of(path) }])
  expect(await page.run('folderLapses')).toEqual(['permission', null])
})

const inFolder = (page: PageReceiver) => page.run<{ name: string; sizeBytes: number }[]>('folderFiles')

test.each(['begun', 'complete'] as const)(
  'a browser that is killed when a copy into the folder is %s: one file, one answer',
  async (when) => {
    const { world, page } = await scene()
    await page.open()
    await page.run('chooseFolder')
    await page.run('stallCopies', when)
    const { path, transferId, sending } = await startSending(world, NAME, 3)
    const sizeBytes = when === 'begun' ? 0 : 3 * MIB
    await until(async () => page.run<boolean>('isInFolder', NAME, sizeBytes), 'the copy is as far as that')
    await page.kill()
    expect(notifiedOf(sending)).toEqual(['stored'])
    await page.open()
    expect((await sending.ended).code).toBe(0)
    expect(notifiedOf(sending)).toEqual(['stored', 'delivered'])
    expect(await inFolder(page)).toMatchObject([{ name: NAME, digest: await sha256Of(path) }])
    expect(await page.run('stagedFiles')).toEqual([])
    expect(await page.kept()).toEqual([])
    expect((await recordOf(world, transferId)).deliveries).toMatchObject([{ state: 'delivered' }])
  },
)

test('a browser that is killed before the end of a copy leaves no second file in the folder', async () => {
  const { world, page } = await scene()
  await page.open()
  await page.run('chooseFolder')
  await page.run('holdCopies')
  const { path, sending } = await startSending(world, NAME, 3)
  await until(async () => page.run<boolean>('isInFolder', NAME, 0), 'the copy has begun')
  await page.kill()
  await page.open()
  expect((await sending.ended).code).toBe(0)
  expect(await inFolder(page)).toMatchObject([{ name: NAME, digest: await sha256Of(path) }])
  expect(await inFolder(page)).toHaveLength(1)
})

test('another tab takes over during a copy into the folder: there is one file', async () => {
  const { world, page } = await scene()
  await page.open()
  await page.run('chooseFolder')
  await page.run('holdCopies')
  const { path, sending } = await startSending(world, NAME, 3)
  await until(async () => page.run<boolean>('isInFolder', NAME, 0), 'the copy has begun')
  const runInOld = await page.takeOver()
  expect((await sending.ended).code).toBe(0)
  await runInOld('releaseCopies')
  expect(await inFolder(page)).toMatchObject([{ name: NAME, digest: await sha256Of(path) }])
  expect(await page.run('stagedFiles')).toEqual([])
})

test('the page neither overwrites a file that another program saved under the name, nor mistakes it for the received one', async () => {
  const { world, page } = await scene()
  await page.open()
  await page.run('chooseFolder')
  await page.run('stallCopies', 'begun')
  const { path, sending } = await startSending(world, NAME, 1)
  await until(async () => page.run<boolean>('isInFolder', NAME, 0), 'the copy has begun')
  await page.kill()
  await page.open({ isStarted: false })
  await page.run('putIntoFolder', NAME, 'x'.repeat(MIB))
  await page.start()
  expect((await sending.ended).code).toBe(0)
  expect(await inFolder(page)).toMatchObject([
    { name: 'a (1).bin', digest: await sha256Of(path) },
    { name: NAME, sizeBytes: MIB },
  ])
})

test('when the folder is forgotten while a file waits for it, the file stays in the browser', async () => {
  const { world, page } = await scene()
  await page.open()
  await page.run('chooseFolder')
  await page.run('takePermissionBack')
  const { path, sending } = await startSending(world, NAME, 2)
  await expect.poll(() => page.run('folderLapses'), { timeout: 90_000 }).toEqual(['permission'])
  await page.run('forgetFolder')
  expect((await sending.ended).code).toBe(0)
  expect(await page.kept()).toMatchObject([{ name: NAME, digest: await sha256Of(path) }])
  expect(await inFolder(page)).toEqual([])
})
