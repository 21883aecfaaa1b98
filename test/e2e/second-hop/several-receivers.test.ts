/**
 * One upload serves any number of receivers, with a second notification for each. One account may receive into two
 * folders.
 */
import { mkdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Running, sha256Of, until, World } from '../harness/world.ts'
import { holdBackAfter, holds, kindsOf, notifiedOf, recordOf, startSending, store, toldProblem } from './scene.ts'

test('a file for several receivers is uploaded once, stored once, and delivered to each', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob', 'carol', 'dave'], { alice: network })
  await Promise.all(['bob', 'carol', 'dave'].map((name) => world.receiver(name)))
  const { path, transferId, sending } = await startSending(world, 'circular.bin', 4, 'bob,carol,dave')

  expect((await sending.ended).code).toBe(0)
  expect(notifiedOf(sending)).toEqual(['stored', 'delivered', 'delivered', 'delivered'])
  const told = sending.json.filter((line) => line.notification === 'delivered').map((line) => line.receiver)
  expect(told.sort()).toEqual(['bob', 'carol', 'dave'])
  expect(network.count('PUT', /\/parts\/\d+$/)).toBe(4)
  const { notifications } = await recordOf(world, transferId)
  expect(new Set(notifications.map(({ eventId }) => eventId)).size).toBe(4)
  const digest = await sha256Of(path)
  for (const name of ['bob', 'carol', 'dave']) {
    expect(await world.received(name)).toEqual(['circular.bin'])
    expect(await sha256Of(`${world.inbox(name)}/circular.bin`)).toBe(digest)
  }
})

test('when one receiver accepts a file and another refuses it, the sender gets both notifications', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob', 'carol'])
  await world.receiver('bob')
  const carol = await world.receiver('carol', ['--from', 'bob'])
  const { transferId, sending } = await startSending(world, 'divided.bin', 2, 'bob,carol')

  expect((await sending.ended).code).toBe(3)
  const problem = await toldProblem(carol, 'refused')
  expect(problem).toMatchObject({ code: 'sender-not-accepted' })
  expect(sending.json.filter((line) => line.type === 'notification')).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ notification: 'stored' }),
      expect.objectContaining({ notification: 'delivered', receiver: 'bob' }),
      expect.objectContaining({ notification: 'failed', receiver: 'carol', problem }),
    ]),
  )
  const { notifications, state } = await recordOf(world, transferId)
  expect(state).toBe('ended')
  expect(notifications).toHaveLength(3)
  expect(await world.received('bob')).toEqual(['divided.bin'])
})

test('the parts stay in the store until the last receiver has its file', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob', 'carol'])
  const { path, transferId } = await store(world, 'late.bin', 3, 'bob,carol')
  const bob = await world.receiver('bob')
  await bob.object((value) => value.type === 'received')
  // The portal has sent it, so all work that results from it has started. A second file makes sure that it is done.
  await store(world, 'next.bin', 1)
  await until(async () => (await world.received('bob')).length === 2, 'the next file is delivered')
  await until(async () => (await world.stored()).length === 3, 'of the two files only the parts of one remain')
  expect(kindsOf((await recordOf(world, transferId)).notifications)).toEqual(['stored', 'delivered'])

  const carol = await world.receiver('carol')
  await carol.object((value) => value.type === 'received')
  expect(await sha256Of(`${world.inbox('carol')}/late.bin`)).toBe(await sha256Of(path))
  await until(async () => (await world.stored()).length === 0, 'the parts have left temporary storage')
  expect(kindsOf((await recordOf(world, transferId)).notifications)).toEqual(['stored', 'delivered', 'delivered'])
})

/** Starts a receiver of bob's account in another folder. Its files are found under the folder's name. */
async function receiverInto(world: World, folder: string): Promise<Running> {
  await mkdir(world.inbox(folder), { recursive: true })
  const running = world.start(['receive', '--into', world.inbox(folder), '--create', '--profile', 'bob', '--json'])
  await running.object((value) => value.type === 'connected')
  return running
}

test('with two folders that receive for one account, every file arrives in one of them', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  await Promise.all([receiverInto(world, 'desk'), receiverInto(world, 'laptop')])
  const names = ['a.bin', 'b.bin', 'c.bin', 'd.bin', 'e.bin', 'f.bin']
  const paths = await Promise.all(names.map((name) => world.file(name, 1_500_000)))
  const sending = world.send(paths, 'bob')

  expect((await sending.ended).code).toBe(0)
  expect(notifiedOf(sending).filter((one) => one === 'delivered')).toHaveLength(names.length)
  const arrived = [...(await world.received('desk')), ...(await world.received('laptop'))]
  expect(arrived.sort()).toEqual(names)
})

test('a file that one folder started and could not finish arrives in the other, and not twice', async () => {
  await using world = await World.create()
  await world.portal(['--lease', '1s'])
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const release = holdBackAfter(network, 2)
  const desk = await receiverInto(world, 'desk')
  const { path, transferId, sending } = await startSending(world, 'moving.bin', 5)
  await holds(desk, 2)
  desk.signal('SIGSTOP')
  release()
  const laptop = await receiverInto(world, 'laptop')

  await laptop.object((value) => value.type === 'received')
  expect((await sending.ended).code).toBe(0)
  desk.signal('SIGCONT')
  await desk.object((value) => value.type === 'withdrawn' || value.type === 'given-up')
  expect(await world.received('desk')).toEqual([])
  expect(await world.received('laptop')).toEqual(['moving.bin'])
  expect(await sha256Of(`${world.inbox('laptop')}/moving.bin`)).toBe(await sha256Of(path))
  expect(kindsOf((await recordOf(world, transferId)).notifications)).toEqual(['stored', 'delivered'])
})
