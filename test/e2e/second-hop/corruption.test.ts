/** Corrupted and missing parts are sent again, and no others. */
import { expect, test } from 'vitest'
import { type Fault, FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of, World } from '../harness/world.ts'
import { DISPOSITION, fetchedPart, fetches, recordOf, store, toldProblem, unfinished } from './scene.ts'

const BAD_PART = 3

test.each<[string, Fault, { problem: string; answers: number }]>([
  [
    'a corrupted part is deleted and requested again',
    { corruptAnswer: true },
    // One answer says `resend`, the other `received`.
    { problem: 'digest-mismatching-value', answers: 2 },
  ],
  [
    'a part that was cut off in the middle is fetched again',
    { cutAnswerAfterBytes: 300_000 },
    { problem: 'part-incomplete', answers: 1 },
  ],
])('%s, and the others are not', async (_what, fault, expected) => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const { path, transferId } = await store(world, 'precious.bin', 6)
  network.rule = (seen) => (fetchedPart(seen) === BAD_PART && seen.count === 1 ? fault : null)

  const bob = await world.receiver('bob')
  await bob.object((value) => value.type === 'received')
  const repeats = bob.json.filter((line) => line.type === 'repeating')
  expect(repeats).toMatchObject([{ problem: { code: expected.problem, partNumber: BAD_PART } }])
  expect(fetches(network)).toEqual([1, 2, 3, 4, 5, 6].map((part) => [part, part === BAD_PART ? 2 : 1]))
  expect(network.count('POST', DISPOSITION)).toBe(expected.answers)
  expect(await world.received('bob')).toEqual(['precious.bin'])
  expect(await sha256Of(`${world.inbox('bob')}/precious.bin`)).toBe(await sha256Of(path))
  expect(await recordOf(world, transferId)).toMatchObject({
    deliveries: [{ state: 'delivered', offers: 1 }],
    notifications: [{ notification: 'stored' }, { notification: 'delivered' }],
  })
})

test('a part that arrives corrupted every time is tried a bounded number of times, then the sender learns the exact reason', async () => {
  await using world = await World.create()
  await world.portal(['--attempts', '3'])
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  network.rule = (seen) => (fetchedPart(seen) === 2 ? { corruptAnswer: true } : null)
  const bob = await world.receiver('bob')
  const path = await world.file('cursed.bin', 4 * 1024 * 1024)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')

  const { problem } = await sending.notification('failed')
  expect(problem).toMatchObject({ code: 'digest-mismatching-value', partNumber: 2 })
  expect(problem).toEqual(await toldProblem(bob, 'refused'))
  expect((await sending.ended).code).toBe(3)
  expect(fetches(network)).toContainEqual([2, 3])
  expect(await world.received('bob')).toEqual([])
  expect(await unfinished(world, 'bob')).toEqual([])
})
