/** A stream is fetched while it is written, and published once the portal has stored it. */
import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Running, sha256Of, until, World } from '../harness/world.ts'

const PART_BYTES = 64 * 1024
const SMALL_PARTS = ['--part-size', '64KiB'] as const

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Waits until a receiver has that many bytes of a stream that has not ended. */
async function untilFetched(receiver: Running, heldBytes: number): Promise<void> {
  await receiver.object(
    (one) => one.type === 'fetching' && one.isSizeKnown === false && Number(one.heldBytes) >= heldBytes,
  )
}

test.each([
  ['sealed, with a short last part', [], 100],
  ['sealed, with a full last part', [], 0],
  ['that the portal can read', ['--plain'], 100],
])('a receiver that is online fetches a stream during the upload: %s', async (_what, more, lastBytes) => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const bob = await world.receiver('bob')
  const content = randomBytes(8 * PART_BYTES + lastBytes)
  const sending = world.sendInput('bob', ...SMALL_PARTS, ...more)
  sending.input.write(content.subarray(0, 6 * PART_BYTES))
  await untilFetched(bob, 4 * PART_BYTES)
  expect(await world.received('bob'), 'nothing is published before the end').toEqual([])
  sending.input.end(content.subarray(6 * PART_BYTES))
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(bob.json.find((one) => one.type === 'offered')).toMatchObject({ sizeBytes: 0, isSizeKnown: false })
  const received = await bob.object((one) => one.type === 'received')
  expect(received).toMatchObject({ sizeBytes: content.length })
  expect(received).not.toHaveProperty('isSizeKnown')
  expect(await sha256Of(world.path('inbox', 'bob', 'dump.sql'))).toBe(sha256(content))
})

test.each([
  ['while the stream continues', false],
  ['until the stream is stored', true],
])('a receiver that is killed keeps the parts that it had: away %s', async (_what, isStoredMeanwhile) => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal(['--lease', '2s'])
  await world.join(['alice', 'bob'], { bob: network })
  const bob = await world.receiver('bob')
  const content = randomBytes(10 * PART_BYTES + 9)
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(content.subarray(0, 7 * PART_BYTES))
  await untilFetched(bob, 5 * PART_BYTES)
  await bob.stop('SIGKILL')
  if (isStoredMeanwhile) {
    sending.input.end(content.subarray(7 * PART_BYTES))
    await sending.notification('stored')
  }
  const again = await world.receiver('bob')
  expect(await again.object((one) => one.type === 'offered')).toMatchObject({ isResumed: true })
  if (!isStoredMeanwhile) sending.input.end(content.subarray(7 * PART_BYTES))
  expect(await sending.ended).toMatchObject({ code: 0 })
  const first = network.seen.filter(({ path }) => path.endsWith('/parts/1'))
  expect(first, 'the first part was fetched once').toHaveLength(1)
  expect(await world.received('bob')).toEqual(['dump.sql'])
  expect(await sha256Of(world.path('inbox', 'bob', 'dump.sql'))).toBe(sha256(content))
})

test('a stream that breaks off is withdrawn, and its receiver keeps nothing of it', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const bob = await world.receiver('bob')
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(randomBytes(6 * PART_BYTES))
  await untilFetched(bob, 3 * PART_BYTES)
  await sending.stop('SIGTERM')
  await bob.object((one) => one.type === 'withdrawn')
  expect(await world.received('bob')).toEqual([])
  await bob.stop()
})

test('a part of a stream that is damaged on the second hop is fetched again', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { bob: network })
  network.rule = ({ path, count }) => (path.endsWith('/parts/2') && count === 1 ? { corruptAnswer: true } : null)
  const bob = await world.receiver('bob')
  const content = randomBytes(5 * PART_BYTES)
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(content.subarray(0, 4 * PART_BYTES))
  await bob.object((one) => one.type === 'repeating')
  sending.input.end(content.subarray(4 * PART_BYTES))
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(await sha256Of(world.path('inbox', 'bob', 'dump.sql'))).toBe(sha256(content))
})

test('a receiver of an older version is offered a stream once it is stored', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { bob: network })
  const { streams: _, ...limits } = (await (await fetch(`${world.portalUrl}/v1/limits`)).json()) as Record<
    string,
    unknown
  >
  // It does not ask for streams.
  network.rule = ({ path }) =>
    path === '/v1/limits'
      ? { answer: { status: 200, body: JSON.stringify({ ...limits, at: new Date().toISOString() }) } }
      : null
  const bob = await world.receiver('bob')
  const content = randomBytes(3 * PART_BYTES + 1)
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(content.subarray(0, 2 * PART_BYTES + 1))
  const { transferId } = await sending.object((one) => one.phase === 'started')
  const client = await world.client('alice')
  const held = async () => (await client.transfer(String(transferId)).catch(() => null))?.parts.length ?? 0
  await until(async () => (await held()) === 2, 'the portal holds parts')
  sending.input.end(content.subarray(2 * PART_BYTES + 1))
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(await bob.object((one) => one.type === 'offered')).toMatchObject({ sizeBytes: content.length, isStored: true })
})
