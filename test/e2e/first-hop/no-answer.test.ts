/**
 * The portal does not answer. The sender assumes that the portal has nothing, retries in bounds, and reports it at the
 * end.
 */
import { expect, test } from 'vitest'
import { allowedMs } from '../../suites/bounds.ts'
import { FaultyNetwork, type Seen } from '../harness/proxy.ts'
import { until, World } from '../harness/world.ts'
import { deliveredOnce } from './delivered-once.ts'
import { gate, isAnnounce, isComplete, kindsOf, MIB, partOf, partsSent, startOf } from './requests.ts'

/** Much longer than any time limit in these tests, and much shorter than a default. */
const AT_LAST_MS = 25_000

test('a portal that cannot be reached ends in exit code 5, with the advice to assume that nothing was received', async () => {
  await using world = await World.create()
  const portal = await world.portal()
  await world.join(['alice', 'bob'])
  await portal.stop()
  const path = await world.file('report.bin', MIB)

  const startedAtMs = performance.now()
  const args = ['--to', 'bob', '--profile', 'alice', '--answer-timeout', '2s']
  const { code, stdout } = await world.run('send', path, ...args)
  expect(performance.now() - startedAtMs).toBeLessThan(allowedMs(AT_LAST_MS))
  expect(code).toBe(5)
  expect(stdout).toContain('no answer from the portal')
  expect(stdout).toContain('assume that it was not received')
  expect(stdout).toContain('Run the same command again')
})

test('a portal that hangs from the start ends in exit code 5', async () => {
  await using world = await World.create()
  const portal = await world.portal()
  await world.join(['alice', 'bob'])
  portal.signal('SIGSTOP')
  const path = await world.file('report.bin', MIB)

  const startedAtMs = performance.now()
  const sending = world.send(path, 'bob', '--answer-timeout', '2s')
  expect((await sending.ended).code).toBe(5)
  expect(performance.now() - startedAtMs).toBeLessThan(allowedMs(AT_LAST_MS))
  expect(kindsOf(sending)).toEqual([])
  expect(sending.json.at(-1)).toMatchObject({
    type: 'summary',
    exitCode: 5,
    transfers: [{ path, transferId: null, outcome: 'no-answer' }],
  })
})

test('a portal that begins to hang during an upload ends in exit code 5', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  const portal = await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', 6 * MIB)
  network.rule = (seen) => {
    if (partOf(seen) === 4) portal.signal('SIGSTOP')
    return null
  }

  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--answer-timeout', '3s')
  const startedAtMs = performance.now()
  expect((await sending.ended).code).toBe(5)
  expect(performance.now() - startedAtMs).toBeLessThan(allowedMs(AT_LAST_MS))
  const { transferId } = await startOf(sending)
  expect(kindsOf(sending)).toEqual([])
  expect(sending.json.at(-1)).toMatchObject({ exitCode: 5, transfers: [{ transferId, outcome: 'no-answer' }] })

  // The advice "run the same command again" holds: it continues where this one stopped.
  portal.signal('SIGCONT')
  network.rule = () => null
  await world.receiver('bob')
  const again = world.send(path, 'bob', '--part-size', '1MiB')
  expect((await again.ended).code).toBe(0)
  expect(await startOf(again)).toMatchObject({ transferId, isResumed: true })
})

test('a network that drops every request ends in exit code 5', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  network.rule = () => ({ hang: true })
  const path = await world.file('report.bin', MIB)
  const startedAtMs = performance.now()
  const sending = world.send(path, 'bob', '--answer-timeout', '2s')
  expect((await sending.ended).code).toBe(5)
  expect(performance.now() - startedAtMs).toBeLessThan(allowedMs(AT_LAST_MS))
  expect(network.seen.filter(isAnnounce)).toEqual([])
})

test('a portal that never answers `complete` ends in exit code 5, although everything was sent', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  let isSilent = false
  network.rule = (seen) => {
    isSilent ||= isComplete(seen)
    return isSilent ? { hang: true } : null
  }
  const path = await world.file('report.bin', 2 * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--answer-timeout', '3s')
  expect((await sending.ended).code).toBe(5)
  expect(kindsOf(sending)).toEqual([])
  expect(sending.json.at(-1)).toMatchObject({ transfers: [{ outcome: 'no-answer' }] })
})

test('the upload continues by itself when the portal comes back in time', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  const portal = await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', 6 * MIB)
  let isFirst = true
  network.rule = (seen) => {
    if (partOf(seen) === 4 && isFirst) {
      isFirst = false
      portal.signal('SIGSTOP')
    }
    return null
  }

  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--answer-timeout', '12s')
  const silence = await sending.object((line) => line.phase === 'silence')
  expect(silence).toMatchObject({ reason: expect.any(String), pauseMs: expect.any(Number) })
  portal.signal('SIGCONT')
  await world.receiver('bob')
  await deliveredOnce(world, sending, path)
})

test('the upload starts by itself when the portal starts after the sender', async () => {
  await using world = await World.create()
  const first = await world.portal()
  await world.join(['alice', 'bob'])
  await first.stop()
  const path = await world.file('report.bin', 2 * MIB)
  const sending = world.send(path, 'bob', '--answer-timeout', '30s')
  await sending.object((line) => line.phase === 'silence')
  await world.portal()
  await world.receiver('bob')
  await deliveredOnce(world, sending, path)
})

test.each<[what: string, isIt: (seen: Seen) => boolean]>([
  ['the announcement', isAnnounce],
  ['a part', (seen) => partOf(seen) === 2],
  ['complete', isComplete],
  ['the announcement, of every part and of complete', (seen) => seen.method === 'PUT' || isComplete(seen)],
])('a lost answer to %s creates no second transfer and no second notification', async (_what, isIt) => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', 3 * MIB)
  const lost: string[] = []
  network.rule = (seen) => {
    if (seen.count > 1 || !isIt(seen)) return null
    lost.push(seen.path)
    return { loseAnswer: true }
  }
  await world.receiver('bob')

  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--answer-timeout', '30s')
  await deliveredOnce(world, sending, path)
  expect(lost.length).toBeGreaterThan(0)
  for (const [partNumber, count] of Object.entries(partsSent(network))) {
    const isLost = lost.some((one) => one.endsWith(`/parts/${partNumber}`))
    expect(count, `part ${partNumber}`).toBe(isLost ? 2 : 1)
  }
})

test('connections that are cut during parts cost only those parts', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', 4 * MIB)
  network.rule = (seen) =>
    seen.count === 1 && partOf(seen) !== null ? { cutRequestAfterBytes: (partOf(seen) ?? 0) * 200_000 } : null
  await world.receiver('bob')
  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--answer-timeout', '30s')
  await deliveredOnce(world, sending, path)
  expect(partsSent(network)).toEqual({ 1: 2, 2: 2, 3: 2, 4: 2 })
})

test('with --no-wait, a sender whose `complete` is delayed reports the same result', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const held = gate(network, isComplete)
  const path = await world.file('report.bin', 2 * MIB)
  const sending = world.send(path, 'bob', '--no-wait', '--answer-timeout', '30s')
  await until(() => network.seen.some(isComplete), 'the sender says that it has sent everything')
  expect(kindsOf(sending)).toEqual([])
  held.open()
  expect((await sending.ended).code).toBe(0)
  expect(kindsOf(sending)).toEqual(['stored'])
})
