/** A receiver is killed at any moment, or an answer is lost: there is one copy in the folder and one `delivered`. */
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of, until, World } from '../harness/world.ts'
import {
  DISPOSITION,
  fetchedPart,
  fetches,
  holds,
  isDisposition,
  MIB,
  notifiedOf,
  recordOf,
  type Sent,
  startSending,
  store,
  unfinished,
} from './scene.ts'

const NAME = 'single.bin'
const PARTS_IN_FLIGHT = 4

async function expectOneCopy(world: World, { path, transferId }: Sent): Promise<void> {
  expect(await world.received('bob')).toEqual([NAME])
  expect(await sha256Of(`${world.inbox('bob')}/${NAME}`)).toBe(await sha256Of(path))
  await until(async () => (await unfinished(world, 'bob')).length === 0, 'nothing is left of the work')
  const { notifications, deliveries } = await recordOf(world, transferId)
  expect(notifications.map(({ notification }) => notification)).toEqual(['stored', 'delivered'])
  expect(deliveries).toMatchObject([{ receiver: 'bob', state: 'delivered' }])
}

test.each([
  ['hangs', { hang: true }],
  ['is refused', { refuse: true }],
])(
  'a receiver that is killed after its file was published and %s answers again, for the same file',
  async (_how, fault) => {
    await using world = await World.create()
    await world.portal()
    await using network = await FaultyNetwork.open(() => world.portalUrl)
    await world.join(['alice', 'bob'], { bob: network })
    network.rule = (seen) => (isDisposition(seen) ? fault : null)
    const bob = await world.receiver('bob')
    const sent = await startSending(world, NAME, 4)
    await until(() => network.count('POST', DISPOSITION) > 0, 'the receiver has answered')
    expect(await world.received('bob')).toEqual([NAME])
    await bob.stop('SIGKILL')
    expect(notifiedOf(sent.sending)).not.toContain('delivered')

    network.rule = () => null
    const fetchCount = network.count('GET', /\/parts\//)
    const restarted = await world.receiver('bob')
    await restarted.object((value) => value.type === 'received')
    expect((await sent.sending.ended).code).toBe(0)
    expect(notifiedOf(sent.sending)).toEqual(['stored', 'delivered'])
    expect(network.count('GET', /\/parts\//)).toBe(fetchCount)
    await expectOneCopy(world, sent)
  },
)

test.each([
  ['', false],
  [', and the portal is killed before it can be repeated', true],
])('an answer whose response from the portal is lost is repeated%s', async (_what, isKilled) => {
  await using world = await World.create()
  const portal = await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const gate = Promise.withResolvers<void>()
  network.rule = (seen) => {
    if (!isDisposition(seen)) return null
    return seen.count === 1 ? { loseAnswer: true } : { heldUntil: gate.promise }
  }
  const bob = await world.receiver('bob')
  const sent = await startSending(world, NAME, 4)
  await sent.sending.notification('delivered')
  await until(() => network.count('POST', DISPOSITION) === 2, 'the receiver repeats its answer')
  if (isKilled) {
    await portal.stop('SIGKILL')
    await world.portal()
  }
  gate.resolve()

  await bob.object((value) => value.type === 'received')
  expect((await sent.sending.ended).code).toBe(0)
  expect(notifiedOf(sent.sending)).toEqual(['stored', 'delivered'])
  await expectOneCopy(world, sent)
})

test('a receiver that is killed repeatedly continues where it was, and fetches only what it lacks', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const partCount = 12
  let isLastHeld = true
  // The network is slow, so that a kill also comes in the middle of a part. The last part comes after all kills.
  network.rule = (seen) => {
    const partNumber = fetchedPart(seen)
    if (partNumber === null) return null
    return partNumber === partCount && isLastHeld ? { hang: true } : { bytesPerSecond: 4 * MIB }
  }
  const sent = await store(world, NAME, partCount)
  const kills = [1, 4, 9]
  for (const heldParts of kills) {
    const bob = await world.receiver('bob')
    await holds(bob, heldParts)
    await bob.stop('SIGKILL')
    expect(await world.received('bob')).toEqual([])
  }
  isLastHeld = false

  const bob = await world.receiver('bob')
  await bob.object((value) => value.type === 'received')
  expect(bob.json.find((value) => value.type === 'offered')).toMatchObject({ isResumed: true })
  const counts = fetches(network)
  expect(counts.map(([partNumber]) => partNumber)).toEqual(Array.from({ length: partCount }, (_, index) => index + 1))
  const fetchCount = counts.reduce((sum, [, count]) => sum + count, 0)
  // Each kill costs at most the parts in flight.
  expect(fetchCount).toBeLessThanOrEqual(partCount + kills.length * PARTS_IN_FLIGHT)
  await expectOneCopy(world, sent)
})
