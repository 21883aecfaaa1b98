// @tier fast
/** The first notification is `resend` when the upload is incomplete or its content is wrong. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of, until, World } from '../harness/world.ts'
import { announceByHand, putParts } from './by-hand.ts'
import { gate, isComplete, kindsOf, MIB, notificationsOf, partsSent } from './requests.ts'

test('an incomplete upload is answered with resend, which names exactly the missing parts', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const alice = await world.client('alice')
  const byHand = await announceByHand(alice, 'bob', 5)
  const { transferId, manifestDigest } = byHand
  await putParts(alice, byHand, [1, 4])

  const resend = await alice.complete(transferId, { manifestDigest, attempt: 1 })
  expect(resend).toMatchObject({
    notification: 'resend',
    transferId,
    attempt: 1,
    problem: { code: 'parts-missing' },
    wanted: [
      [2, 3],
      [5, 5],
    ],
  })
  expect(await alice.complete(transferId, { manifestDigest, attempt: 1 })).toEqual(resend)
  // Good parts stay, and the next attempt has begun.
  expect(await alice.transfer(transferId)).toMatchObject({
    state: 'receiving',
    attempt: 2,
    parts: [{ partNumber: 1 }, { partNumber: 4 }],
    notifications: [resend],
  })

  await putParts(alice, byHand, [2, 3, 5])
  const stored = await alice.complete(transferId, { manifestDigest, attempt: 2 })
  expect(stored).toMatchObject({ notification: 'stored', attempt: 2 })
  expect(await alice.complete(transferId, { manifestDigest, attempt: 2 })).toEqual(stored)
  expect(await alice.complete(transferId, { manifestDigest, attempt: 1 })).toEqual(resend)
  expect((await alice.events({ transferId })).events).toEqual([resend, stored])
})

test('parts that do not make up the file are all deleted before they are requested again', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const alice = await world.client('alice')
  const byHand = await announceByHand(alice, 'bob', 3)
  const { transferId, manifestDigest } = byHand
  await putParts(alice, byHand, [1, 2, 3])
  expect(await world.stored()).toHaveLength(3)

  const resend = await alice.complete(transferId, { manifestDigest: 'ab'.repeat(32), attempt: 1 })
  expect(await world.stored()).toEqual([])
  expect(resend).toMatchObject({
    notification: 'resend',
    attempt: 1,
    problem: { code: 'manifest-mismatching' },
    wanted: [[1, 3]],
  })
  expect(await alice.complete(transferId, { manifestDigest: 'ab'.repeat(32), attempt: 1 })).toEqual(resend)
  expect(await alice.transfer(transferId)).toMatchObject({ state: 'receiving', attempt: 2, parts: [] })

  await putParts(alice, byHand, [1, 2, 3])
  expect(await alice.complete(transferId, { manifestDigest, attempt: 2 })).toMatchObject({ notification: 'stored' })
})

test('an upload that fails the allowed number of times is refused, and nothing of it is kept', async () => {
  await using world = await World.create()
  await world.portal(['--attempts', '2'])
  await world.join(['alice', 'bob'])
  const alice = await world.client('alice')
  const byHand = await announceByHand(alice, 'bob', 3)
  const { transferId, manifestDigest } = byHand
  await putParts(alice, byHand, [1, 2])

  const first = await alice.complete(transferId, { manifestDigest, attempt: 1 })
  expect(first).toMatchObject({ notification: 'resend', wanted: [[3, 3]] })
  const second = await alice.complete(transferId, { manifestDigest, attempt: 2 })
  expect(second).toMatchObject({
    notification: 'refused',
    attempt: 2,
    problem: { code: 'attempts-exhausted', attempts: 2, last: 'parts-missing' },
  })
  expect(await alice.complete(transferId, { manifestDigest, attempt: 2 })).toEqual(second)
  expect((await alice.transfer(transferId)).state).toBe('refused')
  await until(async () => (await world.stored()).length === 0, 'the parts have left temporary storage')
  await expect(putParts(alice, byHand, [3])).rejects.toMatchObject({ code: 'transfer-closed' })
  expect(await world.stored()).toEqual([])
})

test('parts that are lost at the portal are requested again, and the sender sends only those', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  const portal = await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', 6 * MIB)
  const held = gate(network, isComplete)

  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--answer-timeout', '30s')
  await until(() => network.seen.some(isComplete), 'the sender says that it has sent everything')
  // The portal trusts its memory of the parts that it has. After a restart it finds two parts missing.
  await portal.stop('SIGKILL')
  await removeStored(world, [2, 5])
  await world.portal()
  const from = network.seen.length
  held.open()

  await sending.notification('stored')
  expect(partsSent(network, from)).toEqual({ 2: 1, 5: 1 })
  const [resend] = notificationsOf(sending)
  expect(resend).toMatchObject({
    notification: 'resend',
    problem: { code: 'parts-missing' },
    wanted: [
      [2, 2],
      [5, 5],
    ],
  })
  await world.receiver('bob')
  expect((await sending.ended).code).toBe(0)
  expect(kindsOf(sending)).toEqual(['resend', 'stored', 'delivered'])
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
})

test('a sender whose parts are lost in its last attempt is refused, and none of them is kept', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  const portal = await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', 3 * MIB)
  const held = gate(network, isComplete)

  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--answer-timeout', '30s')
  await until(() => network.seen.some(isComplete), 'the sender says that it has sent everything')
  await portal.stop('SIGKILL')
  await removeStored(world, [1])
  await world.portal(['--attempts', '1'])
  const from = network.seen.length
  held.open()

  expect((await sending.ended).code).toBe(4)
  expect(notificationsOf(sending)).toMatchObject([
    { notification: 'refused', problem: { code: 'attempts-exhausted', last: 'parts-missing' } },
  ])
  expect(partsSent(network, from)).toEqual({})
  await until(async () => (await world.stored()).length === 0, 'the parts have left temporary storage')
})

/** Deletes parts of every transfer in the portal's store. */
async function removeStored(world: World, partNumbers: readonly number[]): Promise<void> {
  const folder = join(world.dataFolder, 'store')
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !partNumbers.includes(Number.parseInt(entry.name, 10))) continue
    await rm(join(entry.parentPath, entry.name))
  }
}
