/** The portal is killed with SIGKILL during an upload. What it acknowledged stays true, and the rest is sent again. */
import { expect, test } from 'vitest'
import { sha256Of, until, World } from '../harness/world.ts'
import { deliveredOnce } from './delivered-once.ts'
import { isComplete, MIB, notificationsOf, partOf, partsSent } from './requests.ts'
import { aliceBehindNetwork } from './scene.ts'

const PATIENT = ['--answer-timeout', '40s'] as const

test.each([1, 3, 5])(
  'an upload continues after the portal was killed at part %i, and acknowledged parts are kept',
  async (at) => {
    const { world, network, portal } = await aliceBehindNetwork()
    const path = await world.file('report.bin', 5 * MIB)
    network.rule = (seen) => {
      if (partOf(seen) === at) portal.signal('SIGKILL')
      return null
    }

    // One part at a time, so that all earlier parts have been acknowledged.
    const sending = world.send(path, 'bob', '--part-size', '1MiB', '--parts-in-flight', '1', ...PATIENT)
    await portal.ended
    network.rule = () => null
    await world.portal()
    await world.receiver('bob')
    await deliveredOnce(world, sending, path)
    const { [at]: triesOfFatal, ...others } = partsSent(network)
    expect(triesOfFatal).toBeGreaterThan(1)
    expect(Object.values(others)).toEqual([1, 1, 1, 1])
  },
)

test('an upload continues after the portal was killed with several parts in flight', async () => {
  const { world, network, portal } = await aliceBehindNetwork()
  const path = await world.file('report.bin', 12 * MIB)
  let parts = 0
  network.rule = (seen) => {
    if (partOf(seen) !== null && ++parts === 7) portal.signal('SIGKILL')
    return null
  }
  await world.receiver('bob')

  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--parts-in-flight', '4', ...PATIENT)
  await portal.ended
  await world.portal()
  await deliveredOnce(world, sending, path)
  const resent = Object.values(partsSent(network)).filter((count) => count > 1)
  expect(resent.length).toBeLessThanOrEqual(4)
})

test('an upload continues each time after the portal was killed in several attempts', async () => {
  const { world, network, ...first } = await aliceBehindNetwork()
  let { portal } = first
  const path = await world.file('report.bin', 6 * MIB)
  let fatal = 2
  network.rule = (seen) => {
    if (partOf(seen) === fatal) portal.signal('SIGKILL')
    return null
  }
  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--parts-in-flight', '1', ...PATIENT)
  for (fatal of [2, 4, 6]) {
    await portal.ended
    const next = fatal + 2
    fatal = 0
    portal = await world.portal()
    fatal = next
  }
  await world.receiver('bob')
  await deliveredOnce(world, sending, path)
})

test.each([0, 2, 5, 10, 25])(
  'a portal that is killed %i ms after `complete` arrived has stored the file, or is asked again',
  async (ms) => {
    const { world, network, portal } = await aliceBehindNetwork()
    const path = await world.file('report.bin', 3 * MIB)
    network.rule = (seen) => {
      if (!isComplete(seen)) return null
      network.rule = () => null
      setTimeout(() => portal.signal('SIGKILL'), ms)
      return null
    }

    const sending = world.send(path, 'bob', '--part-size', '1MiB', ...PATIENT)
    await portal.ended
    await world.portal()
    await world.receiver('bob')
    await deliveredOnce(world, sending, path)
    // Every part had been acknowledged before, so none is sent twice.
    expect(partsSent(network)).toEqual({ 1: 1, 2: 1, 3: 1 })
  },
)

test('a portal that is killed after it stored the file and before its answer got through says stored again', async () => {
  const { world, network, portal } = await aliceBehindNetwork()
  const path = await world.file('report.bin', 3 * MIB)
  // From the answer on, no request of the sender gets through until the portal has been killed.
  network.rule = (seen) => {
    if (isComplete(seen)) return { loseAnswer: true }
    return network.seen.some(isComplete) ? { hang: true } : null
  }
  const sending = world.send(path, 'bob', '--part-size', '1MiB', ...PATIENT)
  const alice = await world.client('alice')
  await until(async () => (await alice.events()).events.length > 0, 'the portal has stored it')
  const [stored] = (await alice.events()).events
  await portal.stop('SIGKILL')
  await world.portal()
  network.rule = () => null
  network.cutHanging()

  await world.receiver('bob')
  await deliveredOnce(world, sending, path)
  expect(notificationsOf(sending)[0]).toMatchObject({ ...stored })
})

test('a stored file survives a kill -9 of the portal right after the notification', async () => {
  await using world = await World.create()
  const portal = await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('report.bin', 5 * MIB + 1)

  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--no-wait')
  await sending.notification('stored')
  portal.signal('SIGKILL')
  await portal.ended
  expect((await sending.ended).code).toBe(0)

  await world.portal()
  const bob = await world.receiver('bob')
  await bob.object((line) => line.type === 'received')
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
})
