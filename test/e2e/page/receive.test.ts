/**
 * The command line sends files to a page in a real browser. Each arrives whole and once, and the page confirms it only
 * when it is stored.
 */
import { expect, test } from 'vitest'
import { downloaded, engine, limitStorage } from '../../page/harness/engine.ts'
import { chromiumTest, rowsOf } from '../../page/harness/once.ts'
import { sha256Of, until } from '../harness/world.ts'
import {
  DISPOSITION,
  fetches,
  holdBackAfter,
  isDisposition,
  MIB,
  notifiedOf,
  recordOf,
  startSending,
} from '../second-hop/scene.ts'
import { type PageReceiver, scene } from './scene.ts'

const NAME = 'a.bin'

async function expectKept(page: PageReceiver, path: string): Promise<void> {
  const [file, ...others] = await page.kept()
  expect(others).toEqual([])
  expect(file).toMatchObject({ name: NAME, digest: await sha256Of(path) })
}

const kinds = [
  { what: 'a small file', sizeBytes: 10_000, args: [] },
  { what: 'a file of several parts', sizeBytes: 3 * MIB + 1, args: ['--part-size', '1MiB'] },
  { what: 'an empty file', sizeBytes: 0, args: [] },
  { what: 'a small file that is not sealed', sizeBytes: 10_000, args: ['--plain'] },
  { what: 'a file that is not sealed', sizeBytes: 2 * MIB, args: ['--part-size', '1MiB', '--plain'] },
]

test.each(rowsOf(kinds, 2))(
  '$what arrives in a page complete, with a receipt that the sender has verified',
  async ({ sizeBytes, args }) => {
    const { world, page } = await scene()
    await page.open()
    const path = await world.file(NAME, sizeBytes)
    const { code, stdout, stderr } = await world.send(path, 'bob', ...args).ended
    expect(code, stdout + stderr).toBe(0)
    expect(stdout).toContain('"delivered"')
    await expectKept(page, path)
    expect(await page.kept()).toMatchObject([{ sizeBytes, from: 'alice' }])
    expect(page.browser.complaints).toEqual([])
  },
)

chromiumTest('a file that the sender hashed with sha-256 arrives like one hashed with blake3', async () => {
  const { world, page } = await scene(['--digests', 'sha-256'])
  await page.open()
  const { path, sending } = await startSending(world, NAME, 3)
  expect((await sending.ended).code).toBe(0)
  await expectKept(page, path)
})

test('a page that is reloaded during a file continues with the parts that it has', async () => {
  const { world, network, page } = await scene()
  await page.open()
  const serveTheRest = holdBackAfter(network, 3)
  const { path, sending } = await startSending(world, NAME, 6)
  await page.event('fetching', ({ heldBytes }) => heldBytes === 3 * MIB)
  const before = network.seen.length
  await page.reload()
  serveTheRest()
  expect((await sending.ended).code).toBe(0)
  expect(await page.event('offered')).toMatchObject({ isResumed: true })
  await expectKept(page, path)
  const again = network.seen.slice(before).filter(({ path }) => /\/parts\/[123]$/.test(path))
  expect(again).toEqual([])
})

test('a browser that is killed during a file continues with the parts that it has', async () => {
  const { world, network, page } = await scene()
  await page.open()
  const serveTheRest = holdBackAfter(network, 3)
  const { path, transferId, sending } = await startSending(world, NAME, 6)
  await page.event('fetching', ({ heldBytes }) => heldBytes === 3 * MIB)
  const before = network.seen.length
  await page.kill()
  serveTheRest()
  await page.open()
  expect((await sending.ended).code).toBe(0)
  await expectKept(page, path)
  expect(network.seen.slice(before).filter(({ path }) => /\/parts\/[123]$/.test(path))).toEqual([])
  expect(await page.run('stagedFiles')).toEqual([transferId])
})

test.each([false, true])(
  'a browser that is killed before it could answer for a complete file answers again for the same file (folder: %s)',
  async (hasFolder) => {
    const { world, network, page } = await scene()
    await page.open()
    if (hasFolder) await page.run('chooseFolder')
    network.rule = (seen) => (isDisposition(seen) ? { hang: true } : null)
    const sent = await startSending(world, NAME, 3)
    await until(() => network.count('POST', DISPOSITION) > 0, 'the page has answered')
    await page.kill()
    expect(notifiedOf(sent.sending)).not.toContain('delivered')
    network.rule = () => null
    network.cutHanging()
    const fetched = fetches(network)
    await page.open()
    expect((await sent.sending.ended).code).toBe(0)
    expect(notifiedOf(sent.sending)).toEqual(['stored', 'delivered'])
    expect(fetches(network)).toEqual(fetched)
    if (hasFolder) {
      expect(await page.run('folderFiles')).toMatchObject([{ name: NAME, digest: await sha256Of(sent.path) }])
      expect(await page.kept()).toEqual([])
    } else await expectKept(page, sent.path)
    const { deliveries } = await recordOf(world, sent.transferId)
    expect(deliveries).toMatchObject([{ receiver: 'bob', state: 'delivered' }])
  },
)

chromiumTest('a corrupted part is requested again, the good ones are not', async () => {
  const { world, network, page } = await scene()
  network.rule = ({ method, path, count }) =>
    method === 'GET' && path.endsWith('/parts/2') && count === 1 ? { corruptAnswer: true } : null
  await page.open()
  const { path, sending } = await startSending(world, NAME, 3)
  expect((await sending.ended).code).toBe(0)
  await expectKept(page, path)
  expect(await page.event('repeating')).toMatchObject({ problem: { code: 'digest-mismatching-value' } })
  expect(fetches(network)).toEqual([
    [1, 1],
    [2, 2],
    [3, 1],
  ])
})

chromiumTest('a connection that breaks off within a part is opened again', async () => {
  const { world, network, page } = await scene()
  network.rule = ({ method, path, count }) =>
    method === 'GET' && path.endsWith('/parts/2') && count === 1 ? { cutAnswerAfterBytes: 100_000 } : null
  await page.open()
  const { path, sending } = await startSending(world, NAME, 3)
  expect((await sending.ended).code).toBe(0)
  await expectKept(page, path)
})

/**
 * Leaves the page only that many bytes. The limit of Firefox cannot be changed while it runs, so there a file uses up
 * the rest.
 */
async function leaveStorage(page: PageReceiver, leftBytes: number): Promise<void> {
  if (engine === 'firefox') return page.run('fillStorage', leftBytes)
  const { usage = 0 } = await page.browser.page.evaluate<{ usage?: number }>('navigator.storage.estimate()')
  await limitStorage(page.browser.page, usage + leftBytes)
}

test('a browser without free space tells the sender, and nothing stays', async () => {
  const { world, page } = await scene()
  await page.open({ isStarted: false, quotaBytes: 10 * MIB })
  await leaveStorage(page, 2 * MIB)
  await page.start()
  const { sending } = await startSending(world, NAME, 6)
  const { code, stdout } = await sending.ended
  expect(code).not.toBe(0)
  expect(stdout).toContain('"disk-full"')
  await page.event('refused')
  expect(await page.run('stagedFiles')).toEqual([])
})

test('a disk that fills up during a file is reported in the same way', async () => {
  const { world, network, page } = await scene()
  await page.open({ quotaBytes: 10 * MIB })
  const serveTheRest = holdBackAfter(network, 2)
  const { sending } = await startSending(world, NAME, 6)
  await page.event('fetching', ({ heldBytes }) => heldBytes === 2 * MIB)
  await leaveStorage(page, MIB / 2)
  serveTheRest()
  const { code, stdout } = await sending.ended
  expect(code).not.toBe(0)
  expect(stdout).toContain('"disk-full"')
  await until(async () => (await page.run<string[]>('stagedFiles')).length === 0, 'nothing stays')
})

test('a file is saved as a download, and is removed when its owner says so', async () => {
  const { world, page } = await scene()
  await page.open()
  const { path, transferId, sending } = await startSending(world, NAME, 3)
  expect((await sending.ended).code).toBe(0)
  const download = await downloaded(page.browser.page, () => page.run('download', transferId, NAME))
  expect(download.name).toBe(NAME)
  expect(await sha256Of(download.path)).toBe(await sha256Of(path))
  expect(await page.kept()).toHaveLength(1)
  await page.run('removeKept', transferId)
  expect(await page.kept()).toEqual([])
  expect(await page.run('stagedFiles')).toEqual([])
})

chromiumTest('two files with the same name are both kept', async () => {
  const { world, page } = await scene()
  await page.open()
  for (const _ of [1, 2]) expect((await (await startSending(world, NAME, 2)).sending.ended).code).toBe(0)
  expect((await page.kept()).map(({ name }) => name).sort()).toEqual(['a (1).bin', NAME])
})
