/** The clock of a sender is wrong. The transfer ids that it creates contain its clock. */
import { expect, test } from 'vitest'
import { transferTimeMs } from '../../../src/protocol/index.ts'
import { DAY_MS, HOUR_MS, MachineClock } from '../harness/clock.ts'
import { World } from '../harness/world.ts'

test.each([
  ['a hundred days behind', -100 * DAY_MS, 'days behind'],
  ['a hundred days ahead', 100 * DAY_MS, 'days ahead of'],
  ['three hours behind', -3 * HOUR_MS, 'hours behind'],
])('a sender whose clock is %s reports it, and its file arrives', async (_, aheadMs, words) => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  await world.receiver('bob')
  const { env } = new MachineClock(world, 'alice', aheadMs)
  const path = await world.file('report.bin', 100)
  const sending = world.start(['send', path, '--to', 'bob', '--profile', 'alice', '--json'], { env })
  expect((await sending.ended).code).toBe(0)
  expect(await sending.object(({ phase }) => phase === 'clock-off')).toMatchObject({
    problem: { code: 'clock-off', detail: expect.stringContaining(words) },
  })
  const { transferId } = await sending.notification('delivered')
  // Receivers would assume that they have forgotten a transfer with an id from the past.
  expect(transferTimeMs(String(transferId))).toBeGreaterThan(Date.now() - DAY_MS)
})
