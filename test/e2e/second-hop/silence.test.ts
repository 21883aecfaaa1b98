// @tier fast
/**
 * A receiver does not answer: its lease ends, the file is offered again, and when its time is up the delivery fails.
 */
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of, until, World } from '../harness/world.ts'
import {
  deliveryWatch,
  holdBackAfter,
  holds,
  kindsOf,
  notifiedOf,
  recordOf,
  startSending,
  toldProblem,
  unfinished,
} from './scene.ts'

const SHORT_LEASE = ['--lease', '1s']

test('a stopped receiver is offered the file again, and delivers it exactly once when it continues', async () => {
  await using world = await World.create()
  await world.portal(SHORT_LEASE)
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const release = holdBackAfter(network, 2)
  const bob = await world.receiver('bob')
  const { path, transferId, sending } = await startSending(world, 'patient.bin', 6)
  await sending.notification('stored')
  await holds(bob, 2)
  bob.signal('SIGSTOP')
  const delivery = await deliveryWatch(world, transferId)
  await until(async () => (await delivery()).offers >= 3, 'the file was offered again, and again')
  expect(notifiedOf(sending)).toEqual(['stored'])

  release()
  bob.signal('SIGCONT')
  expect((await sending.ended).code).toBe(0)
  expect(notifiedOf(sending)).toEqual(['stored', 'delivered'])
  await bob.object((value) => value.type === 'received')
  expect(await world.received('bob')).toEqual(['patient.bin'])
  expect(await sha256Of(`${world.inbox('bob')}/patient.bin`)).toBe(await sha256Of(path))
  expect(await unfinished(world, 'bob')).toEqual([])
})

test('a killed receiver loses its lease, and is offered the file when it comes back', async () => {
  await using world = await World.create()
  await world.portal(SHORT_LEASE)
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const release = holdBackAfter(network, 2)
  const bob = await world.receiver('bob')
  const { transferId, sending } = await startSending(world, 'again.bin', 5)
  await holds(bob, 2)
  await bob.stop('SIGKILL')
  const delivery = await deliveryWatch(world, transferId)
  await until(async () => (await delivery()).state === 'waiting', 'the lease has ended')
  expect(await world.received('bob')).toEqual([])

  release()
  const restarted = await world.receiver('bob')
  expect((await sending.ended).code).toBe(0)
  expect(notifiedOf(sending)).toEqual(['stored', 'delivered'])
  expect(await restarted.object((value) => value.type === 'offered')).toMatchObject({ isResumed: true })
  expect(await world.received('bob')).toEqual(['again.bin'])
})

test('a receiver whose requests never get through until the time is up fails as silent', async () => {
  await using world = await World.create()
  await world.portal([...SHORT_LEASE, '--expiry', '6s'])
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const bob = await world.receiver('bob')
  network.rule = () => ({ hang: true })
  const { transferId, sending } = await startSending(world, 'unheard.bin', 3)

  expect(await sending.notification('failed')).toMatchObject({
    receiver: 'bob',
    problem: { code: 'receiver-silent', offers: expect.any(Number) },
  })
  expect((await sending.ended).code).toBe(3)
  expect(kindsOf((await recordOf(world, transferId)).notifications)).toEqual(['stored', 'failed'])
  await until(async () => (await world.stored()).length === 0, 'the parts have left temporary storage')

  // When its requests get through again, it learns that the time is up.
  network.rule = () => null
  network.cutHanging()
  expect(await toldProblem(bob, 'withdrawn')).toMatchObject({ code: 'receiver-silent' })
  expect(await world.received('bob')).toEqual([])
  await until(async () => (await unfinished(world, 'bob')).length === 0, 'what was there of it is deleted')
})

test('a receiver that listens but never answers is offered the file at growing intervals', async () => {
  await using world = await World.create()
  await world.portal(['--lease', '200ms'])
  await world.join(['alice', 'bob'])
  const bob = await world.client('bob')
  let offers = 0
  const listening = (async () => {
    for await (const event of bob.watchInbox({ instanceId: 'never-answers', window: 1 })) {
      if (event.type === 'offer') offers++
    }
  })().catch(() => {})
  const startedAtMs = performance.now()
  await startSending(world, 'ignored.bin', 1)
  await until(() => offers >= 5, 'the file was offered five times')
  // The pauses are 1 + 2 + 4 + 8 s. Without back-off they would be 1 s each, and at most 1 s more for the sweeper.
  expect(performance.now() - startedAtMs).toBeGreaterThan(14_500)
  await bob.close()
  await listening
})

test('a file for a receiver that never came fails as expired', async () => {
  await using world = await World.create()
  await world.portal(['--expiry', '3s'])
  await world.join(['alice', 'bob'])
  const { transferId, sending } = await startSending(world, 'unwanted.bin', 2)

  expect(await sending.notification('failed')).toMatchObject({ receiver: 'bob', problem: { code: 'expired' } })
  expect((await sending.ended).code).toBe(3)
  expect(kindsOf((await recordOf(world, transferId)).notifications)).toEqual(['stored', 'failed'])
  await until(async () => (await world.stored()).length === 0, 'the parts have left temporary storage')
  // A receiver that connects now is offered nothing.
  const bob = await world.client('bob')
  for await (const event of bob.watchInbox({ instanceId: 'much-too-late', window: 1 })) {
    expect(event.type).toBe('current')
    break
  }
})
