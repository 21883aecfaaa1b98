/** Sender and receiver need not be online at the same time. */
import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of, until, World } from '../harness/world.ts'
import { DISPOSITION, holds, kindsOf, MIB, recordOf, startSending, store } from './scene.ts'

test.each([
  ['the portal runs all the time', false],
  ['the portal is killed and started again in between', true],
])('a file for an offline receiver is stored at once and delivered when it comes: %s', async (_when, isKilled) => {
  await using world = await World.create()
  const portal = await world.portal()
  await world.join(['alice', 'bob'])
  const { path, transferId } = await store(world, 'report.bin', 3)
  expect(await recordOf(world, transferId)).toMatchObject({
    state: 'stored',
    deliveries: [{ receiver: 'bob', state: 'waiting', offers: 0 }],
    notifications: [{ notification: 'stored' }],
  })
  if (isKilled) {
    await portal.stop('SIGKILL')
    await world.portal()
  }

  const bob = await world.receiver('bob')
  await bob.object((value) => value.type === 'received')
  expect(await world.received('bob')).toEqual(['report.bin'])
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))

  // The sender's process has ended. A later command finds both notifications, in the record and in the log.
  const record = await recordOf(world, transferId)
  expect(record.state).toBe('ended')
  expect(kindsOf(record.notifications)).toEqual(['stored', 'delivered'])
  const { events } = await (await world.client('alice')).events()
  expect(events).toEqual(record.notifications)
  const text = await world.run('status', transferId, '--profile', 'alice')
  expect(text.stdout).toMatch(/ stored\n.* delivered bob\n/)
  expect(text.stdout).toMatch(/to bob: delivered; first offered \d{4}-/)
  // The receiver does too, with the name that only it can open.
  const came = await world.run('status', '--received', '--profile', 'bob')
  expect(came.stdout).toMatch(new RegExp(`^${transferId} .*\\.bin from alice: delivered\n$`))
  const lines = (await world.run('status', '--received', '--json', '--profile', 'bob')).stdout
  const file = { name: expect.stringMatching(/\.bin$/), sizeBytes: expect.any(Number), tree: null }
  expect(JSON.parse(lines)).toMatchObject({ transferId, from: 'alice', state: 'delivered', file })
  expect((await world.run('status', '--received', '--profile', 'alice')).stdout).toContain('nothing has come for you')
  await until(async () => (await world.stored()).length === 0, 'the parts have left temporary storage')
})

test('a file that a receiver has fetched completely is published only after the portal has stored it', async () => {
  await using world = await World.create()
  await world.portal(['--lease', '1s'])
  await using sendersNetwork = await FaultyNetwork.open(() => world.portalUrl)
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { alice: sendersNetwork, bob: network })
  const gate = Promise.withResolvers<void>()
  sendersNetwork.rule = ({ path }) => (path.endsWith('/complete') ? { heldUntil: gate.promise } : null)
  const bob = await world.receiver('bob')
  const { path, transferId, sending } = await startSending(world, 'early.bin', 4)

  await holds(bob, 4)
  // It asks for the state of the offer and renews its lease meanwhile. It must not commit at any of these requests.
  await until(() => network.count('GET', /^\/v1\/inbox\/[^/]+$/) >= 4, 'the receiver waits for "stored"')
  expect(await world.received('bob')).toEqual([])
  expect(network.count('POST', DISPOSITION)).toBe(0)
  expect(await recordOf(world, transferId)).toMatchObject({
    state: 'receiving',
    deliveries: [{ state: 'offered', fetchedBytes: 4 * MIB }],
    notifications: [],
  })

  gate.resolve()
  expect((await sending.ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['early.bin'])
  expect(await sha256Of(`${world.inbox('bob')}/early.bin`)).toBe(await sha256Of(path))
  expect(await readdir(`${world.inbox('bob')}/.golooader`)).toEqual(['instance', 'lock', 'received'])
})
