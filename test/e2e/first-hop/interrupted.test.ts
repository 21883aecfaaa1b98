/**
 * A sender ends during an upload. The tests check what the portal keeps, for how long, and how the same command
 * continues.
 */
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Running, sha256Of, until, World } from '../harness/world.ts'
import { gate, kindsOf, MIB, notificationsOf, partOf, partsSent, startOf } from './requests.ts'

const PARTS = ['--part-size', '1MiB', '--answer-timeout', '30s'] as const

/** Starts an upload of six parts, and resolves when the portal holds the first three and gets no others. */
async function sendHalf(world: World, network: FaultyNetwork, path: string) {
  const held = gate(network, (seen) => (partOf(seen) ?? 0) > 3)
  const sending = world.send(path, 'bob', ...PARTS)
  await until(async () => {
    const names = await world.stored()
    return names.length === 3 && names.every((name) => /^[123]\.[0-9a-f]+$/.test(name))
  }, 'the portal holds three parts')
  const { transferId } = await startOf(sending)
  return { sending, transferId, held }
}

test.each([
  ['with Ctrl-C', 'SIGINT', 130],
  ['by kill -9', 'SIGKILL', 137],
] as const)(
  'the same command continues an upload that was interrupted %s, and sends only what is missing',
  async (_how, signal, code) => {
    await using world = await World.create()
    await using network = await FaultyNetwork.open(() => world.portalUrl)
    await world.portal()
    await world.join(['alice', 'bob'], { alice: network })
    const path = await world.file('report.bin', 6 * MIB)

    const { sending, transferId, held } = await sendHalf(world, network, path)
    expect((await sending.stop(signal)).code).toBe(code)
    expect(kindsOf(sending)).toEqual([])
    held.open()

    const from = network.seen.length
    const again = world.send(path, 'bob', ...PARTS)
    expect(await startOf(again)).toMatchObject({ transferId, isResumed: true })
    await again.notification('stored')
    expect(partsSent(network, from)).toEqual({ 4: 1, 5: 1, 6: 1 })

    await world.receiver('bob')
    expect((await again.ended).code).toBe(0)
    expect(kindsOf(again)).toEqual(['stored', 'delivered'])
    expect(await world.received('bob')).toEqual(['report.bin'])
    expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
    const alice = await world.client('alice')
    expect((await alice.transfers()).transfers).toHaveLength(1)
  },
)

test('the parts of a sender that stays silent are deleted; the same command learns it and starts again', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal(['--upload-timeout', '2s'])
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', 6 * MIB)

  const { sending, transferId, held } = await sendHalf(world, network, path)
  await sending.stop('SIGKILL')
  held.open()
  const alice = await world.client('alice')
  await until(async () => (await alice.events()).events.length > 0, 'the portal gives the upload up')
  expect(await world.stored()).toEqual([])
  const [resend, ...others] = (await alice.events()).events
  expect(others).toEqual([])
  expect(resend).toMatchObject({
    notification: 'resend',
    transferId,
    attempt: 1,
    problem: { code: 'upload-timeout' },
    wanted: [[1, 6]],
  })

  await world.receiver('bob')
  const from = network.seen.length
  const again = world.send(path, 'bob', ...PARTS)
  expect((await again.ended).code).toBe(0)
  expect(await startOf(again)).toMatchObject({ transferId, isResumed: true })
  expect(notificationsOf(again)).toMatchObject([
    { notification: 'resend', eventId: resend?.eventId, problem: { code: 'upload-timeout' } },
    { notification: 'stored', transferId, attempt: 2 },
    { notification: 'delivered', transferId },
  ])
  expect(partsSent(network, from)).toEqual({ 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1 })
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
})

test('a sender that stood still for too long is notified, and sends the deleted parts again', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal(['--upload-timeout', '1s'])
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', 6 * MIB)

  const { sending, transferId, held } = await sendHalf(world, network, path)
  const alice = await world.client('alice')
  await until(async () => (await alice.events()).events.length > 0, 'the portal gives the upload up')
  expect(await world.stored()).toEqual([])
  const from = network.seen.length
  held.open()

  await world.receiver('bob')
  expect((await sending.ended).code).toBe(0)
  expect(notificationsOf(sending)).toMatchObject([
    { notification: 'resend', transferId, attempt: 1, problem: { code: 'upload-timeout' } },
    { notification: 'stored', transferId, attempt: 2 },
    { notification: 'delivered', transferId },
  ])
  expect(partsSent(network, from)).toEqual({ 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1 })
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
})

test('a sender that stays silent through several upload timeouts uses up one attempt, not all of them', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal(['--upload-timeout', '1s', '--attempts', '2'])
  await world.join(['alice', 'bob', 'carol'], { alice: network })
  const path = await world.file('report.bin', 6 * MIB)
  const { sending, transferId } = await sendHalf(world, network, path)
  await sending.stop('SIGKILL')
  const alice = await world.client('alice')
  // The test reads the log, because a request for the transfer would count as a sign of life of the sender.
  const givenUp = async (id: unknown) => (await alice.events({ transferId: String(id) })).events
  await until(async () => (await givenUp(transferId)).length > 0, 'the portal gives the upload up')

  // Another upload that is aborted later proves that the sweeper ran again several times.
  const other = world.send(path, 'carol', ...PARTS)
  const { transferId: otherId } = await startOf(other)
  const isKnown = async () => (await alice.transfers()).transfers.some((one) => one.transferId === otherId)
  await until(isKnown, 'the other one is announced')
  await other.stop('SIGKILL')
  await until(async () => (await givenUp(otherId)).length > 0, 'and given up')
  expect(await givenUp(transferId)).toMatchObject([{ notification: 'resend', attempt: 1 }])
  expect(await alice.transfer(String(transferId))).toMatchObject({ state: 'receiving', attempt: 2 })
})

test('a slow upload outlives the upload timeout, because it is not silent', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal(['--upload-timeout', '1s'])
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', 4 * MIB)
  network.rule = (seen) => (partOf(seen) === null ? null : { bytesPerSecond: MIB })

  const startedAtMs = performance.now()
  const sending: Running = world.send(path, 'bob', '--part-size', '4MiB', '--no-wait')
  expect((await sending.ended).code).toBe(0)
  expect(performance.now() - startedAtMs).toBeGreaterThan(3_000)
  expect(kindsOf(sending)).toEqual(['stored'])
  expect(partsSent(network)).toEqual({ 1: 1 })
})
