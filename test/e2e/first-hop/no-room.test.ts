/** A portal without free space sends `refused` as early as it can, and nothing more is sent. */
import { randomBytes } from 'node:crypto'
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sealTagBytes as SEAL_BYTES } from '../../../src/trust/index.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { partsIn, type Running, until, World } from '../harness/world.ts'
import { gate, isAnnounce, kindsOf, MIB, notificationsOf, partOf, partsSent, startOf } from './requests.ts'

test.each([
  ['the quota of the account', ['--quota', '2MiB']],
  ['the storage of the portal', ['--storage', '2MiB']],
  ['the disk', ['--keep-free', '1000TiB']],
])('a file that is too large for %s is refused before any content, and the sender stops', async (_what, args) => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal(args)
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('large.bin', 3 * MIB)

  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  expect((await sending.ended).code).toBe(4)
  const { transferId } = await startOf(sending)
  const [refused, ...others] = notificationsOf(sending)
  expect(others).toEqual([])
  expect(refused).toMatchObject({
    notification: 'refused',
    transferId,
    eventId: expect.any(String),
    problem: { code: 'storage-full', status: 507, neededBytes: 3 * MIB + 3 * SEAL_BYTES },
  })
  expect(sending.json.at(-1)).toMatchObject({
    type: 'summary',
    exitCode: 4,
    transfers: [{ path, transferId, outcome: 'refused', problem: { code: 'storage-full' } }],
  })
  expect(partsSent(network)).toEqual({})
  expect(network.seen.filter(isAnnounce)).toHaveLength(1)
  expect(network.seen.filter(({ method }) => method === 'POST')).toEqual([])
  expect(await world.stored()).toEqual([])

  const status = await world.run('status', String(transferId), '--profile', 'alice')
  expect(status.stdout).toContain('state: refused')
  expect(status.stdout).toContain('(storage-full)')
})

test('a refusal for lack of space says how much was needed and how much is allowed', async () => {
  await using world = await World.create()
  await world.portal(['--storage', '2MiB'])
  await world.join(['alice', 'bob'])
  const path = await world.file('large.bin', 3 * MIB)
  const { code, stdout } = await world.run('send', path, '--to', 'bob', '--profile', 'alice')
  expect(code).toBe(4)
  expect(stdout).toMatch(
    /large\.bin: refused by the portal: .*needs 3(\.0)? MiB, the limit is 2(\.0)? MiB \(storage-full\)/,
  )
})

test('a refused file reserves no space, and each delivery frees its space', async () => {
  await using world = await World.create()
  await world.portal(['--storage', '2MiB'])
  await world.join(['alice', 'bob'])
  const large = await world.file('large.bin', 3 * MIB)
  const small = await world.file('small.bin', 2 * MIB - SEAL_BYTES)
  expect((await world.send(large, 'bob').ended).code).toBe(4)
  await world.receiver('bob')
  expect((await world.send(small, 'bob').ended).code).toBe(0)
  expect((await world.send(await world.file('next.bin', 2 * MIB - SEAL_BYTES), 'bob').ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['next.bin', 'small.bin'])
})

test('a disk that fills up during an upload ends in `refused`; all parts are removed, and the portal continues to serve', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  const disk = join(world.dataFolder, 'store')
  await mkdir(disk, { recursive: true })
  const portal = await world.portal(['--keep-free', '1'], { wrapper: onSmallDisk('8m', disk) })
  await world.join(['alice', 'bob'], { alice: network })
  const small = new SmallDisk(portal, disk)

  const { sending, from } = await fillUpInMidUpload(world, network, small)
  expect((await sending.ended).code).toBe(4)
  const { transferId } = await startOf(sending)
  expect(notificationsOf(sending)).toMatchObject([
    { notification: 'refused', transferId, eventId: expect.any(String), problem: { code: 'storage-full' } },
  ])
  // At most the parts that were in flight when the first one was refused, once each.
  const sent = partsSent(network, from)
  expect(Object.values(sent).every((count) => count === 1)).toBe(true)
  expect(Object.keys(sent).length).toBeLessThanOrEqual(3)
  expect(network.seen.filter(({ path }) => path.endsWith('/complete'))).toEqual([])
  await until(async () => (await small.files()).join() === FILLER, 'all parts of the transfer are gone')
  const alice = await world.client('alice')
  expect(await alice.transfer(String(transferId))).toMatchObject({
    state: 'refused',
    notifications: [{ notification: 'refused', problem: { code: 'storage-full' } }],
  })

  await small.makeRoom()
  await world.receiver('bob')
  expect((await world.send(await world.file('small.bin', MIB), 'bob').ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['small.bin'])
  expect(portal.child.exitCode).toBeNull()
})

test('a disk that fills up during a stream ends in `refused` and closes the input; nothing of the stream is left', async () => {
  await using world = await World.create()
  const disk = join(world.dataFolder, 'store')
  await mkdir(disk, { recursive: true })
  const portal = await world.portal(['--keep-free', '1'], { wrapper: onSmallDisk('8m', disk) })
  await world.join(['alice', 'bob'])
  await world.receiver('bob')
  const small = new SmallDisk(portal, disk)

  const sending = world.sendInput('bob', '--part-size', '1MiB', '--answer-timeout', '30s')
  const closed = new Promise((resolve) => sending.input.once('close', resolve))
  sending.input.write(randomBytes(3 * MIB + 1))
  await until(async () => (await small.files()).length >= 2, 'the portal holds two parts')
  await small.fill()
  sending.input.write(randomBytes(20 * MIB))
  expect((await sending.ended).code).toBe(4)
  await closed
  expect(notificationsOf(sending)).toMatchObject([{ notification: 'refused', problem: { code: 'storage-full' } }])
  await until(async () => (await small.files()).join() === FILLER, 'all parts of the stream are gone')
  expect(await world.received('bob')).toEqual([])

  await small.makeRoom()
  const again = world.sendInput('bob', '--part-size', '1MiB')
  again.input.end(randomBytes(3 * MIB))
  expect((await again.ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['dump.sql'])
})

test('a disk that also fills up under the ledger never ends in `stored`, and the portal continues', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  // The accounts are created in advance outside of it: the small disk starts with a copy of the folder.
  const first = await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  await first.stop()
  await mkdir(world.path('disk'))
  const wrapper = onSmallDisk('8m', world.path('disk'), world.dataFolder)
  const portal = await world.portal(['--keep-free', '1'], { wrapper })
  const small = new SmallDisk(portal, world.dataFolder)

  const { sending } = await fillUpInMidUpload(world, network, small, ['--answer-timeout', '5s'])
  const { code } = await sending.ended
  expect([4, 5]).toContain(code)
  expect(kindsOf(sending)).not.toContain('stored')
  if (code === 4) expect(notificationsOf(sending)).toMatchObject([{ problem: { code: 'storage-full' } }])

  await small.makeRoom()
  await world.receiver('bob')
  expect((await world.send(await world.file('small.bin', MIB), 'bob').ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['small.bin'])
  expect(portal.child.exitCode).toBeNull()
})

const FILLER = 'filler'

/**
 * Runs a portal with a small disk of its own, which goes with it: mounted for that process alone.
 *
 * @param folder where it is mounted; `instead` of another folder, with a copy of its content
 */
function onSmallDisk(size: string, folder: string, instead: string | null = null): readonly string[] {
  const mount = `mount -t tmpfs -o size=${size},mode=700 tmpfs '${folder}'`
  const replace =
    instead === null ? '' : ` && cp -a '${instead}/.' '${folder}' && mount --bind '${folder}' '${instead}'`
  return ['unshare', '-r', '-m', 'sh', '-c', `${mount}${replace} && exec "$0" "$@"`]
}

/** The disk that only the portal sees, read through its process. */
class SmallDisk {
  readonly #folder: string

  constructor(portal: Running, folder: string) {
    this.#folder = `/proc/${portal.child.pid}/root${folder}`
  }

  /** Fills the free space. */
  async fill(): Promise<void> {
    await using handle = await open(join(this.#folder, FILLER), 'w')
    for (let bytes = Buffer.alloc(MIB); bytes.length > 0; ) {
      try {
        const { bytesWritten } = await handle.write(bytes)
        if (bytesWritten === 0) return
      } catch {
        bytes = bytes.subarray(0, Math.floor(bytes.length / 2))
      }
    }
  }

  async makeRoom(): Promise<void> {
    await rm(join(this.#folder, FILLER))
  }

  /** The names of all files on it. */
  files(): Promise<string[]> {
    return partsIn(this.#folder)
  }
}

/** Sends a file that fits, and fills the disk when two of its five parts have arrived. */
async function fillUpInMidUpload(
  world: World,
  network: FaultyNetwork,
  small: SmallDisk,
  args: readonly string[] = ['--answer-timeout', '30s'],
): Promise<{ sending: Running; from: number }> {
  const path = await world.file('report.bin', 5 * MIB)
  const held = gate(network, (seen) => (partOf(seen) ?? 0) > 2)
  const sending = world.send(path, 'bob', '--part-size', '1MiB', ...args)
  await until(
    async () => (await small.files()).filter((name) => /^[12]\.[0-9a-f]+$/.test(name)).length === 2,
    'the portal holds two parts',
  )
  await small.fill()
  const from = network.seen.length
  held.open()
  return { sending, from }
}
