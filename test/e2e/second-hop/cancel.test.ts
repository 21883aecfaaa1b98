/** A transfer that is cancelled or expires is deleted on all sides, and sender and receiver learn why. */
import { expect, onTestFinished, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Running, until, World } from '../harness/world.ts'
import { holdBackAfter, holds, kindsOf, notifiedOf, recordOf, startSending, toldProblem, unfinished } from './scene.ts'

const CODES = { refused: 4, failed: 3 } as const

interface Scene {
  readonly world: World
  readonly bob: Running
  readonly sending: Running
  readonly transferId: string
}

/** A stored file of five parts, of which bob has fetched two and gets no more. */
async function fetching(portalFlags: readonly string[] = []): Promise<Scene> {
  const world = await World.create()
  await world.portal(portalFlags)
  const network = await FaultyNetwork.open(() => world.portalUrl)
  onTestFinished(() => network[Symbol.asyncDispose]())
  await world.join(['alice', 'bob'], { bob: network })
  holdBackAfter(network, 2)
  const bob = await world.receiver('bob')
  const { transferId, sending } = await startSending(world, 'regretted.bin', 5)
  await sending.notification('stored')
  await holds(bob, 2)
  return { world, bob, sending, transferId }
}

/** The transfer has ended for sender, portal and receiver: nothing of it is left, and all report the same. */
async function expectOver(
  { world, bob, sending, transferId }: Scene,
  notification: keyof typeof CODES,
  code: string,
): Promise<void> {
  expect(await toldProblem(bob, 'withdrawn')).toMatchObject({ code })
  await until(async () => (await unfinished(world, 'bob')).length === 0, 'the receiver has deleted what it had')
  expect(await world.received('bob')).toEqual([])
  await until(async () => (await world.stored()).length === 0, 'the parts have left temporary storage')
  expect(await sending.notification(notification)).toMatchObject({ problem: { code } })
  expect((await sending.ended).code).toBe(CODES[notification])
  const { notifications } = await recordOf(world, transferId)
  expect(kindsOf(notifications)).toEqual(notifiedOf(sending))
  expect(notifications.at(-1)).toMatchObject({ notification, problem: { code } })
}

test.each<[string, { portal: string[]; isCancelled: boolean; code: string }]>([
  ['cancelled', { portal: [], isCancelled: true, code: 'cancelled' }],
  ['not complete in its time', { portal: ['--expiry', '6s'], isCancelled: false, code: 'expired' }],
])('an upload that is %s is refused, and a receiver deletes the parts that it has', async (_what, options) => {
  await using world = await World.create()
  await world.portal(options.portal)
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { alice: network })
  const gate = Promise.withResolvers<void>()
  network.rule = ({ path }) => (path.endsWith('/complete') ? { heldUntil: gate.promise } : null)
  const bob = await world.receiver('bob')
  const { transferId, sending } = await startSending(world, 'regretted.bin', 3)
  await holds(bob, 3)
  if (options.isCancelled) {
    const cancelled = await world.run('cancel', transferId, '--profile', 'alice', '--json')
    expect(cancelled.code).toBe(0)
    expect(JSON.parse(cancelled.stdout)).toMatchObject({ state: 'cancelled' })
  }
  await toldProblem(bob, 'withdrawn')
  gate.resolve()
  await expectOver({ world, bob, sending, transferId }, 'refused', options.code)
  expect(notifiedOf(sending)).toEqual(['refused'])
})

test.each<[string, { portal: string[]; isCancelled: boolean; code: string }]>([
  ['cancelled', { portal: [], isCancelled: true, code: 'cancelled' }],
  ['not delivered in its time', { portal: ['--expiry', '6s'], isCancelled: false, code: 'receiver-silent' }],
])('a stored file that is %s fails, and a receiver that is fetching it deletes what it has', async (_what, options) => {
  const { world, bob, sending, transferId } = await fetching(options.portal)
  expect(await unfinished(world, 'bob')).toHaveLength(2)
  if (options.isCancelled) {
    const cancelled = await world.run('cancel', transferId, '--profile', 'alice', '--json')
    expect(cancelled.code).toBe(0)
    expect(JSON.parse(cancelled.stdout)).toMatchObject({ state: 'ended', deliveries: [{ state: 'failed' }] })
  }
  await expectOver({ world, bob, sending, transferId }, 'failed', options.code)
  expect(notifiedOf(sending)).toEqual(['stored', 'failed'])
  expect(bob.child.exitCode).toBe(null)
})

test('cancelling a second time, or after the delivery, changes nothing', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const cancel = (transferId: string) => world.run('cancel', transferId, '--profile', 'alice', '--json')
  const { transferId, sending } = await startSending(world, 'twice.bin', 1)
  await sending.notification('stored')
  const [first, again] = [await cancel(transferId), await cancel(transferId)]
  expect([first.code, again.code]).toEqual([0, 0])
  expect(again.stdout).toBe(first.stdout)
  expect(kindsOf((await recordOf(world, transferId)).notifications)).toEqual(['stored', 'failed'])

  const bob = await world.receiver('bob')
  const delivered = await startSending(world, 'kept.bin', 1)
  await bob.object((value) => value.type === 'received')
  const before = await recordOf(world, delivered.transferId)
  const late = await cancel(delivered.transferId)
  expect(late.code).toBe(0)
  expect(JSON.parse(late.stdout)).toEqual(before)
  expect(kindsOf(before.notifications)).toEqual(['stored', 'delivered'])
  expect(await world.received('bob')).toEqual(['kept.bin'])
})

test('a receiver that was stopped while its file was cancelled deletes its parts when it continues', async () => {
  const { world, bob, sending, transferId } = await fetching()
  bob.signal('SIGSTOP')
  expect((await world.run('cancel', transferId, '--profile', 'alice')).code).toBe(0)
  bob.signal('SIGCONT')
  await expectOver({ world, bob, sending, transferId }, 'failed', 'cancelled')
})

test('a receiver that was killed while its file was cancelled deletes its parts when it starts again', async () => {
  const { world, bob, transferId } = await fetching()
  await bob.stop('SIGKILL')
  expect((await world.run('cancel', transferId, '--profile', 'alice')).code).toBe(0)
  expect(await unfinished(world, 'bob')).not.toEqual([])

  await world.receiver('bob')
  await until(async () => (await unfinished(world, 'bob')).length === 0, 'nothing of it is left')
})
