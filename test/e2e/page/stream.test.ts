/** A stream on its way into the page: fetched while it is sent, published once the portal has stored it, and nothing half. */
import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { recordOf } from '../second-hop/scene.ts'
import { type PageReceiver, scene } from './scene.ts'
import { eventually, sceneWith } from './visit.ts'

const PART_BYTES = 64 * 1024
const SMALL_PARTS = ['--part-size', '64KiB'] as const

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Waits until the page has that many bytes of a stream that has not ended. */
const untilFetched = (page: PageReceiver, bytes: number) =>
  page.event('fetching', ({ heldBytes, isSizeKnown }) => isSizeKnown === false && heldBytes >= bytes)

test.each([
  ['sealed, with a short last part', [], 100],
  ['sealed, with a full last part', [], 0],
  ['that the portal can read', ['--plain'], 100],
])('a page fetches a stream during the upload: %s', async (_what, more, lastBytes) => {
  const { world, page } = await scene()
  await using _ = world
  await page.open()
  const content = randomBytes(8 * PART_BYTES + lastBytes)
  const sending = world.sendInput('bob', ...SMALL_PARTS, ...more)
  sending.input.write(content.subarray(0, 6 * PART_BYTES))
  await untilFetched(page, 4 * PART_BYTES)
  expect(await page.kept(), 'nothing is published before the end').toEqual([])
  sending.input.end(content.subarray(6 * PART_BYTES))
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(await page.event('offered')).toMatchObject({ sizeBytes: 0, isSizeKnown: false, isStored: false })
  expect(await page.kept()).toMatchObject([{ name: 'dump.sql', sizeBytes: content.length, digest: sha256(content) }])
})

test.each([
  ['is killed, and is back while the stream continues', true, false],
  ['is killed, and is back when the stream is stored', true, true],
  ['is reloaded while the stream continues', false, false],
  ['is reloaded when the stream is stored', false, true],
])('a page that %s keeps the parts that it had', async (_what, isKilled, isStoredMeanwhile) => {
  const { world, page, network } = await scene(['--lease', '2s'])
  await using _ = world
  await page.open()
  const content = randomBytes(10 * PART_BYTES + 9)
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(content.subarray(0, 7 * PART_BYTES))
  await untilFetched(page, 5 * PART_BYTES)
  if (isKilled) await page.kill()
  else await page.browser.reload()
  if (isStoredMeanwhile) {
    sending.input.end(content.subarray(7 * PART_BYTES))
    await sending.notification('stored')
  }
  if (isKilled) await page.open()
  else await page.start()
  expect(await page.event('offered')).toMatchObject({ isResumed: true })
  if (!isStoredMeanwhile) sending.input.end(content.subarray(7 * PART_BYTES))
  expect(await sending.ended).toMatchObject({ code: 0 })
  const first = network.seen.filter(({ path }) => /\/inbox\/.*\/parts\/1$/.test(path))
  expect(first, 'the first part was fetched once').toHaveLength(1)
  expect(await page.kept()).toMatchObject([{ name: 'dump.sql', sizeBytes: content.length, digest: sha256(content) }])
})

test('a stream whose sender gives up is withdrawn, and the browser keeps nothing of it', async () => {
  const { world, page } = await scene()
  await using _ = world
  await page.open()
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(randomBytes(6 * PART_BYTES))
  await untilFetched(page, 3 * PART_BYTES)
  await sending.stop('SIGTERM')
  await page.event('withdrawn')
  expect(await page.kept()).toEqual([])
  expect(await page.run('stagedFiles')).toEqual([])
})

test('a stream goes into the chosen folder, in its true length', async () => {
  const { world, page } = await scene()
  await using _ = world
  await page.open()
  await page.run('chooseFolder')
  const content = randomBytes(4 * PART_BYTES + 1)
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(content.subarray(0, 3 * PART_BYTES))
  await untilFetched(page, PART_BYTES)
  sending.input.end(content.subarray(3 * PART_BYTES))
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(await page.run('folderFiles')).toEqual([
    { name: 'dump.sql', sizeBytes: content.length, digest: sha256(content) },
  ])
  const started = sending.json.find((line) => line.phase === 'started')
  expect((await recordOf(world, String(started?.transferId))).deliveries).toMatchObject([{ state: 'delivered' }])
})

test('the card of a stream tells what has come, and claims no size before the end', async () => {
  await using scene = await sceneWith(['alice'])
  const visitor = await scene.visit('carol')
  await visitor.goTo('Receive')
  const content = randomBytes(7 * PART_BYTES + 5)
  const sending = scene.world.sendInput('carol', ...SMALL_PARTS)
  sending.input.write(content.subarray(0, 6 * PART_BYTES))
  const card = visitor.card('dump.sql')
  await card.phase('asking')
  await card.says('size not known yet')
  await card.press('Accept')
  await card.says(/^256 KiB so far here, verified/)
  expect(await card.picture()).toBe(
    'from alice to the portal: 256 KiB, size not known yet; from the portal to you: 256 KiB, size not known yet',
  )
  const download = await visitor.download(async () => sending.input.end(content.subarray(6 * PART_BYTES)))
  expect(download.name).toBe('dump.sql')
  await card.phase('received')
  await card.says(/^448 KiB from alice/)
  expect(await sending.ended).toMatchObject({ code: 0 })
})

test.each([
  ['gives up', 'SIGTERM', 'The sender cancelled it.'],
  ['dies', 'SIGKILL', /Ask the sender to send it again/],
] as const)('the card of a stream whose sender %s says so, and what to do', async (_what, signal, advice) => {
  await using scene = await sceneWith(['alice'], ['--upload-timeout', '2s'])
  const visitor = await scene.visit('carol')
  await visitor.goTo('Receive')
  const sending = scene.world.sendInput('carol', ...SMALL_PARTS)
  sending.input.write(randomBytes(6 * PART_BYTES))
  const card = visitor.card('dump.sql')
  await card.phase('asking')
  await card.press('Accept')
  await card.says(/^256 KiB so far here, verified/)
  await sending.stop(signal)
  await card.phase('withdrawn')
  await card.says(advice)
  await eventually(() => visitor.inside<Record<string, string>>('ownFiles')).toEqual({})
})
