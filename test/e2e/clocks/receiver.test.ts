/** The clock of a receiver is wrong. The receiver reports it, files wait, and it forgets no transfer. */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { DAY_MS, HOUR_MS, MachineClock } from '../harness/clock.ts'
import { type Running, until, World } from '../harness/world.ts'
import { deliver, type Scene, sceneWith } from '../trust/scene.ts'

function start(world: World, clock: MachineClock): Running {
  return world.start(['receive', '--into', world.inbox('bob'), '--create', '--profile', 'bob', '--json'], {
    env: clock.env,
  })
}

test.each([
  ['ahead of', 100 * DAY_MS],
  ['behind', -100 * DAY_MS],
])(
  'a receiver whose clock is a hundred days %s the portal’s reports it; files wait until the clock is right',
  async (side, aheadMs) => {
    await using world = await World.create()
    await world.portal()
    await world.join(['alice', 'bob'])
    const clock = new MachineClock(world, 'bob', aheadMs)
    const bob = start(world, clock)
    const told = await bob.object(({ type }) => type === 'clock-off')
    expect(told).toMatchObject({
      isWaiting: true,
      problem: { code: 'clock-off', detail: expect.stringContaining(`days ${side} the portal's`) },
    })
    expect(Math.abs(Number((told.problem as { aheadMs: number }).aheadMs) - aheadMs)).toBeLessThan(60_000)
    const sending = world.send(await world.file('report.bin', 100), 'bob')
    const { transferId } = await sending.notification('stored')
    expect((await (await world.client('alice')).transfer(String(transferId))).deliveries).toMatchObject([
      { state: 'waiting', offers: 0 },
    ])
    clock.set(0)
    expect((await sending.ended).code).toBe(0)
    expect(await world.received('bob')).toEqual(['report.bin'])
    expect(bob.json.filter(({ type }) => type === 'refused')).toEqual([])
  },
)

test('a clock that is changed while the receiver runs is noticed with the next file, which waits', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const clock = new MachineClock(world, 'bob')
  const bob = start(world, clock)
  await bob.object(({ type }) => type === 'connected')
  clock.set(100 * DAY_MS)
  const sending = world.send(await world.file('report.bin', 100), 'bob')
  await bob.object(({ type, isWaiting }) => type === 'clock-off' && isWaiting === true)
  expect(await world.received('bob')).toEqual([])
  clock.set(0)
  expect((await sending.ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['report.bin'])
})

test('a clock that is off by hours is reported, and files are received', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const bob = start(world, new MachineClock(world, 'bob', 3 * HOUR_MS))
  expect(await bob.object(({ type }) => type === 'clock-off')).toMatchObject({ isWaiting: false })
  const sending = world.send(await world.file('report.bin', 100), 'bob')
  expect((await sending.ended).code).toBe(0)
})

/**
 * A receiver has received a file and then ran once with the clock that `run` sets. The portal offers the file again.
 */
async function expectRemembered(run: (scene: Scene, clock: MachineClock) => Promise<void>): Promise<void> {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  const clock = new MachineClock(world, 'bob')
  let bob = start(world, clock)
  await bob.object(({ type }) => type === 'connected')
  const { transferId, offer, parts } = await deliver(scene, 'report.bin', 2)
  await bob.stop()
  await run(scene, clock)
  clock.set(0)
  evil.lies = {}
  bob = start(world, clock)
  await bob.object(({ type }) => type === 'connected')
  const again = await evil.offer(await world.token('bob'), { offer: { ...offer, leaseId: randomUUID() }, parts })
  expect(again).toMatchObject({ disposition: 'received', receipt: expect.any(String) })
  await until(() => bob.json.some((event) => event.type === 'received' && event.transferId === transferId), 'answered')
  expect(await world.received('bob')).toEqual(['report.bin'])
}

test('a receiver that ran once with a clock two hundred days ahead forgot nothing: there is no second copy', async () => {
  await expectRemembered(async ({ world }, clock) => {
    clock.set(200 * DAY_MS)
    const bob = start(world, clock)
    await bob.object(({ type }) => type === 'clock-off')
    await bob.stop()
  })
})

test('where the portal has the same wrong time, nothing is forgotten either', async () => {
  await expectRemembered(async ({ world, evil }, clock) => {
    clock.set(200 * DAY_MS)
    const later = (at: unknown): string => new Date(Date.parse(String(at)) + 200 * DAY_MS).toISOString()
    evil.lies = { says: (said, { path }) => (path === '/v1/limits' ? { ...said, at: later(said.at) } : said) }
    const bob = start(world, clock)
    await bob.object(({ type }) => type === 'connected')
    await bob.stop()
  })
})
