// @tier stress
/** The memory, connections and requests that sender, portal and receiver need. */
import { open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { PortalClient } from '../../src/client/index.ts'
import { digestOf, manifestDigestOf } from '../../src/digests/index.ts'
import { newTransferId, type Offer } from '../../src/protocol/index.ts'
import { memoryPeakBytes, watchMemoryPeak } from './harness/memory.ts'
import { FaultyNetwork } from './harness/proxy.ts'
import { until, World } from './harness/world.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const largeBytes = process.env.GOLOOADER_TEST_BIG === '1' ? 10 * GIB : GIB
const AT_ONCE = 20
const PART_BYTES = 8 * MIB
const PARTS = 4

test(`${largeBytes / GIB} GiB pass with less than 250 MB of memory at either end`, async () => {
  await using world = await World.create()
  const portal = await world.portal(['--keep-free', '1MiB'])
  await world.join(['alice', 'bob'])
  const bob = await world.receiver('bob')
  const path = world.path('large.bin')
  const handle = await open(path, 'w')
  await handle.truncate(largeBytes)
  await handle.close()

  const sending = world.send(path, 'bob')
  using senderPeak = watchMemoryPeak(sending)
  const { code, stderr } = await sending.ended
  expect(code, stderr).toBe(0)
  expect((await stat(join(world.inbox('bob'), 'large.bin'))).size).toBe(largeBytes)
  expect(senderPeak.bytes, 'the peak was seen').toBeGreaterThan(0)
  expect(senderPeak.bytes).toBeLessThan(250e6)
  expect(await memoryPeakBytes(bob)).toBeLessThan(250e6)
  expect(await memoryPeakBytes(portal)).toBeLessThan(400e6)
})

/** A part and its headers, the same for every upload, so that this process stays small itself. */
const bytes = Buffer.alloc(PART_BYTES, 'twenty at once ')
const digest = digestOf('sha-256', bytes)
const manifestDigest = manifestDigestOf('sha-256', Array(PARTS).fill(digest))

async function upload(alice: PortalClient): Promise<void> {
  const transferId = newTransferId()
  await alice.announce(transferId, {
    to: ['bob'],
    metadata: { name: 'many.bin' },
    sizeBytes: PARTS * PART_BYTES,
    partSizeBytes: PART_BYTES,
    digestAlgorithm: 'sha-256',
  })
  const numbers = Array.from({ length: PARTS }, (_, index) => index + 1)
  await Promise.all(
    numbers.map((partNumber) => alice.putPart(transferId, partNumber, { bytes, digestAlgorithm: 'sha-256', digest })),
  )
  expect(await alice.complete(transferId, { manifestDigest, attempt: 1 })).toMatchObject({ notification: 'stored' })
}

async function download(bob: PortalClient, { transferId, leaseId }: Offer): Promise<void> {
  for (let partNumber = 1; partNumber <= PARTS; partNumber++) {
    const claim = {
      leaseId,
      heldBytes: 0,
      waitSeconds: 0,
      digestAlgorithm: 'sha-256' as const,
      partBytesMax: PART_BYTES,
    }
    const { body } = await bob.incomingPart(transferId, partNumber, claim)
    let received = 0
    for await (const some of body) received += some.length
    expect(received).toBe(PART_BYTES)
  }
  await bob.disposition(transferId, { leaseId, disposition: 'received', manifestDigest })
}

test(`${AT_ONCE} uploads and ${AT_ONCE} downloads at once need less than 400 MB at the portal`, async () => {
  await using world = await World.create()
  const portal = await world.portal()
  await world.join(['alice', 'bob'])
  const [alice, bob] = [await world.client('alice'), await world.client('bob')]
  await Promise.all(Array.from({ length: AT_ONCE }, () => upload(alice)))
  const offers: Offer[] = []
  const inbox = bob.watchInbox({ instanceId: 'instance-1', window: 64 })
  for await (const event of inbox) {
    if (event.type === 'offer') offers.push(event.offer)
    if (event.type === 'current') break
  }
  expect(offers.length).toBe(AT_ONCE)
  await Promise.all([
    ...Array.from({ length: AT_ONCE }, () => upload(alice)),
    ...offers.map((offer) => download(bob, offer)),
  ])
  const { transfers } = await alice.transfers()
  expect(transfers.filter(({ state }) => state === 'ended').length).toBe(AT_ONCE)
  expect(await memoryPeakBytes(portal)).toBeLessThan(400e6)
})

/** The number of connections to a port of this machine. */
async function connectionsTo(port: number): Promise<number> {
  const ESTABLISHED = '01'
  const lines = (await readFile('/proc/net/tcp', 'utf8')).trim().split('\n').slice(1)
  return lines.filter((line) => {
    const [, , remote = '', state] = line.trim().split(/\s+/)
    return state === ESTABLISHED && Number.parseInt(remote.split(':')[1] ?? '', 16) === port
  }).length
}

test('an idle receiver has one connection and sends no requests', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['bob'], { bob: network })
  const bob = await world.receiver('bob')
  // It asks once for its own account, on a second connection that stays open for a while.
  await until(() => network.count('GET', /^\/v1\/account$/) === 1, 'it has asked all that it asks')
  const asked = network.seen.length
  const portOfNetwork = Number(new URL(network.url).port)
  // The test waits this long on purpose: nothing may happen in this time.
  const QUIET_MS = 4_000
  await new Promise((resolve) => setTimeout(resolve, QUIET_MS))
  expect(network.seen.slice(asked)).toEqual([])
  expect(network.count('GET', /^\/v1\/inbox$/)).toBe(1)
  await until(async () => (await connectionsTo(portOfNetwork)) === 1, 'the connection of that question is closed')
  expect((await bob.stop()).code).toBe(0)
})
