// @tier fast
import { stat } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { sha256Of, until, World } from './harness/world.ts'

const MIB = 1024 * 1024

test('a file is sent to an online receiver during the upload, and the sender gets both notifications', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const bob = await world.receiver('bob')
  const path = await world.file('report.bin', 40 * MIB + 17)

  const sending = world.send(path, 'bob')
  const { code } = await sending.ended
  const notifications = sending.json.filter((line) => line.type === 'notification')
  expect(notifications.map((one) => one.notification)).toEqual(['stored', 'delivered'])
  expect(notifications[1]).toMatchObject({ receiver: 'bob', eventId: expect.any(String), at: expect.any(String) })
  expect(code).toBe(0)
  expect(sending.json.at(-1)).toMatchObject({ type: 'summary', exitCode: 0 })
  expect(await world.received('bob')).toEqual(['report.bin'])
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))

  // Cut-through: the receiver had fetched some parts before the portal had all of them.
  const lines = sending.json
  const firstFetch = lines.findIndex((line) => line.phase === 'fetching')
  const stored = lines.findIndex((line) => line.notification === 'stored')
  expect(firstFetch).toBeGreaterThan(-1)
  expect(firstFetch).toBeLessThan(stored)
  await until(async () => (await world.stored()).length === 0, 'the parts have left temporary storage')
  expect((await bob.stop()).code).toBe(0)
})

test.each([
  ['an empty file', 0],
  ['a file of one byte', 1],
  ['a file of exactly one part', 1 * MIB],
  ['a file of exactly three parts', 3 * MIB],
  ['a file of three parts and a byte', 3 * MIB + 1],
])('%s arrives unchanged', async (_what, sizeBytes) => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  await world.receiver('bob')
  const path = await world.file('some.bin', sizeBytes)
  const { code } = await world.send(path, 'bob', '--part-size', '1MiB').ended
  expect(code).toBe(0)
  const delivered = `${world.inbox('bob')}/some.bin`
  expect((await stat(delivered)).size).toBe(sizeBytes)
  expect(await sha256Of(delivered)).toBe(await sha256Of(path))
})
