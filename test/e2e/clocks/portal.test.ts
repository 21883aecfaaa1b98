/** The clock of the portal's machine is changed. Leases and expiry times keep their length. */
import { expect, test } from 'vitest'
import { DAY_MS, HOUR_MS, MachineClock } from '../harness/clock.ts'
import { until, World } from '../harness/world.ts'

test('the portal’s clock is set back by two hours: a file of a stopped receiver goes to another one when its lease ends', async () => {
  await using world = await World.create()
  const clock = new MachineClock(world, 'portal')
  await world.portal(['--lease', '3s'], { env: clock.env })
  await world.join(['alice', 'bob'])
  const frozen = await world.receiver('bob')
  frozen.signal('SIGSTOP')
  const sending = world.send(await world.file('report.bin', 100_000), 'bob')
  const { transferId } = await sending.notification('stored')
  const alice = await world.client('alice')
  const delivery = async () => (await alice.transfer(String(transferId))).deliveries[0]
  await until(async () => (await delivery())?.state === 'offered', 'the frozen receiver is offered it')
  clock.set(-2 * HOUR_MS)
  const folder = world.inbox('other')
  const other = world.start(['receive', '--into', folder, '--create', '--profile', 'bob', '--json', '--once'])
  expect((await other.ended).code).toBe(0)
  expect((await sending.ended).code).toBe(0)
  expect(await world.received('other')).toEqual(['report.bin'])
})

test.each([
  ['two hundred days ahead', 200 * DAY_MS],
  ['two hours behind', -2 * HOUR_MS],
])(
  'the portal is restarted with a clock that is %s: waiting files neither expire early nor are delayed',
  async (_, aheadMs) => {
    await using world = await World.create()
    const clock = new MachineClock(world, 'portal')
    const flags = ['--expiry', '1h', '--lease', '3s']
    const portal = await world.portal(flags, { env: clock.env })
    await world.join(['alice', 'bob'])
    const lost = await world.receiver('bob')
    lost.signal('SIGSTOP')
    const sending = world.send(await world.file('report.bin', 100_000), 'bob')
    await sending.notification('stored')
    await portal.stop('SIGKILL')
    await lost.stop('SIGKILL')
    clock.set(aheadMs)
    const restarted = await world.portal([...flags, '--log-level', 'info'], { env: clock.env })
    const steps = () => restarted.stderr.split('the clock was set').length - 1
    await until(() => steps() === 1, 'the portal has noticed')
    // An operator corrects the clock while the portal runs.
    clock.set(0)
    await until(() => steps() === 2, 'the portal has noticed')
    const other = world.start([
      'receive',
      '--into',
      world.inbox('other'),
      '--create',
      '--profile',
      'bob',
      '--json',
      '--once',
    ])
    expect((await other.ended).code).toBe(0)
    expect((await sending.ended).code).toBe(0)
    expect(restarted.stderr).not.toContain('transfers expired')
  },
)
