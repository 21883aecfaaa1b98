/** Proxies that end uploads which are too large or take too long. The sender changes to smaller parts. */
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { FaultyNetwork, type Seen } from '../harness/proxy.ts'
import { until, World } from '../harness/world.ts'
import { deliveredAmongCancelled, deliveredOnce, smallerParts } from './delivered-once.ts'
import { isAnnounce, MIB, partOf } from './requests.ts'

const KIB = 1024

async function scene(): Promise<{ world: World; network: FaultyNetwork }> {
  const world = await World.create()
  const network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  return { world, network }
}

function isPart(seen: Seen): boolean {
  return seen.method === 'PUT' && partOf(seen) !== null
}

test('where each upload is cut after some seconds, the file is sent in smaller parts', async () => {
  const { world, network } = await scene()
  await using _ = network
  // What passes within 1.7 seconds at this pace: a busy machine does not cut smaller parts.
  const pace = { bytesPerSecond: 400 * KIB, cutRequestAfterBytes: 680 * KIB }
  network.rule = (seen) => (isPart(seen) ? pace : null)
  const path = await world.file('report.bin', 3 * MIB)
  await world.receiver('bob')
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await deliveredAmongCancelled(world, sending, path)
  expect(smallerParts(sending)).toEqual([256 * KIB])
})

test('behind a proxy that cuts every upload, send ends with exit code 5, and continues once the limit is raised', async () => {
  const { world, network } = await scene()
  await using _ = network
  network.rule = (seen) => (isPart(seen) ? { cutRequestAfterBytes: 10_000 } : null)
  const path = await world.file('report.bin', 2 * MIB)
  // The answer timeout is longer than this test may take, so the test does not depend on it.
  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--answer-timeout', '10m')
  expect((await sending.ended).code).toBe(5)
  expect(smallerParts(sending)).toEqual([256 * KIB, 64 * KIB])
  expect(sending.json.at(-1)).toMatchObject({
    exitCode: 5,
    transfers: [
      { outcome: 'no-answer', reason: expect.stringContaining('probably a proxy between here and the portal') },
    ],
  })
  network.rule = () => null
  await world.receiver('bob')
  await deliveredAmongCancelled(world, world.send(path, 'bob'), path)
})

test('a sender that is killed before it announces smaller parts sends the file once', async () => {
  const { world, network } = await scene()
  await using _ = network
  network.rule = (seen) => {
    if (isAnnounce(seen)) return network.seen.filter(isAnnounce).length > 1 ? { hang: true } : null
    return isPart(seen) ? { cutRequestAfterBytes: 300_000 } : null
  }
  const path = await world.file('report.bin', 2 * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await until(() => network.seen.filter(isAnnounce).length > 1, 'the smaller parts are announced')
  await sending.stop('SIGKILL')
  network.cutHanging()
  network.rule = (seen) => (isPart(seen) ? { cutRequestAfterBytes: 300_000 } : null)
  await world.receiver('bob')
  const again = world.send(path, 'bob', '--part-size', '1MiB')
  await deliveredAmongCancelled(world, again, path)
  expect(smallerParts(again), 'it remembers').toEqual([])
})

test('a portal that is away while its connections are accepted does not end the transfer', async () => {
  const { world, network } = await scene()
  await using _ = network
  let refusals = 0
  network.rule = (seen) => {
    if (refusals === 0 && !isPart(seen)) return null
    refusals++
    return refusals < 16 ? { refuse: true } : null
  }
  const path = await world.file('report.bin', 2 * MIB)
  await world.receiver('bob')
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await deliveredOnce(world, sending, path)
  expect(smallerParts(sending)).toEqual([])
})

test('a dead node that a load balancer still uses for some seconds does not end the transfer', async () => {
  const { world, network } = await scene()
  await using _ = network
  let deadUntilMs = Number.POSITIVE_INFINITY
  network.rule = (seen) => {
    if (!isPart(seen)) return null
    if (deadUntilMs === Number.POSITIVE_INFINITY) deadUntilMs = performance.now() + 6_000
    return performance.now() < deadUntilMs ? { refuse: true } : null
  }
  const path = await world.file('report.bin', 2 * MIB)
  await world.receiver('bob')
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  await deliveredOnce(world, sending, path)
  expect(smallerParts(sending)).toEqual([])
})

test('an upload that began before a load balancer could notice a dead node, and is cut much later, costs no transfer', async () => {
  const { world, network } = await scene()
  await using _ = network
  let deadUntilMs = Number.POSITIVE_INFINITY
  let isLateCut = false
  network.rule = (seen) => {
    if (partOf(seen) !== 1 || isLateCut) return null
    if (deadUntilMs === Number.POSITIVE_INFINITY) deadUntilMs = performance.now() + 2_000
    if (performance.now() < deadUntilMs) return { refuse: true }
    isLateCut = true
    return { bytesPerSecond: 60 * KIB, cutRequestAfterMs: 11_000 }
  }
  const path = await world.file('report.bin', 2 * MIB)
  await world.receiver('bob')
  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--parts-in-flight', '1')
  await deliveredOnce(world, sending, path)
  expect(smallerParts(sending)).toEqual([])
})

test('a stream whose parts are cut names the part size to try, and a later stream gets through with it', async () => {
  const { world, network } = await scene()
  await using _ = network
  network.rule = (seen) => (isPart(seen) ? { cutRequestAfterBytes: 300_000 } : null)
  await world.receiver('bob')
  const send = (...args: string[]) =>
    world.start(['send', '-', '--name', 'dump.sql', '--to', 'bob', '--profile', 'alice', ...args], { hasInput: true })
  const cut = send('--part-size', '1MiB', '--answer-timeout', '10m')
  cut.child.stdin?.on('error', () => {})
  cut.child.stdin?.write(randomBytes(2 * MIB + 1))
  const { code, stdout } = await cut.ended
  expect(code).toBe(5)
  expect(stdout).toContain('probably a proxy between here and the portal')
  expect(stdout).toContain('Run the whole pipeline again, with --part-size 256KiB.')
  await until(async () => (await world.stored()).length === 0, 'the portal deleted the parts')

  const again = send('--part-size', '256KiB')
  again.child.stdin?.end(randomBytes(2 * MIB + 1))
  expect((await again.ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['dump.sql'])
})
