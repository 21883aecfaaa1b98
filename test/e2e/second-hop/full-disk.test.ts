/** A receiver whose disk is full reports it, and the sender gets the same text. */
import { randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isTransferId, type ProblemJson } from '../../../src/protocol/index.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { filesIn, type Running, until, World } from '../harness/world.ts'
import { fetches, holdBackAfter, holds, kindsOf, MIB, recordOf, startSending, store, toldProblem } from './scene.ts'

/** A receiver whose folder is a small disk, mounted for its process only. It needs no unmounting. */
async function receiverOnSmallDisk(world: World, name: string, sizeMib: number) {
  await mkdir(world.inbox(name), { recursive: true })
  const mount = `mount -t tmpfs -o size=${sizeMib}m,mode=700 tmpfs "$0" && exec "$@"`
  const wrapper = ['unshare', '-r', '-m', 'sh', '-c', mount, world.inbox(name)]
  const receiver = await world.receiver(name, [], { wrapper })
  return { receiver, disk: `/proc/${receiver.child.pid}/root${world.inbox(name)}` }
}

/** Everything in an inbox, at any depth, except what a receiver always keeps there. */
async function contentOf(inbox: string): Promise<string[]> {
  const own = ['instance', 'lock', 'since']
  return (await filesIn(inbox)).filter((name) => !own.includes(name) && !isTransferId(name)).sort()
}

/** Writes until the disk is full. */
async function fill(path: string): Promise<void> {
  const handle = await open(path, 'w')
  const block = Buffer.alloc(4096)
  const isWritten = () =>
    handle.write(block).then(
      ({ bytesWritten }) => bytesWritten > 0,
      () => false,
    )
  while (await isWritten());
  await handle.close()
}

/** A folder of files of one byte. */
async function folderOf(world: World, count: number): Promise<{ folder: string; paths: string[] }> {
  const folder = join(world.folder, 'photos')
  await mkdir(folder)
  const paths = Array.from({ length: count }, (_, index) => join(folder, String(index)))
  for (const path of paths) writeFileSync(path, 'x')
  return { folder, paths }
}

/** The sender gets the receiver's problem: in its process, with exit code 3, and on record. */
async function expectSameProblem(world: World, sending: Running, problem: ProblemJson): Promise<void> {
  const failed = await sending.notification('failed')
  expect(failed).toMatchObject({ receiver: 'bob' })
  expect(failed.problem).toEqual(problem)
  expect((await sending.ended).code).toBe(3)
  const record = await recordOf(world, String(failed.transferId))
  expect(record.deliveries[0]).toMatchObject({ state: 'failed', problem })
  expect(kindsOf(record.notifications)).toEqual(['stored', 'failed'])
  await until(async () => (await world.stored()).length === 0, 'the parts have left temporary storage')
}

test('a receiver without room for a file says so before any byte is sent', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const { receiver, disk } = await receiverOnSmallDisk(world, 'bob', 3)
  const { sending } = await startSending(world, 'large.bin', 4)

  const problem = await toldProblem(receiver, 'refused')
  expect(problem).toMatchObject({ code: 'disk-full', status: 507, neededBytes: 4 * MIB })
  await expectSameProblem(world, sending, problem)
  expect(fetches(network)).toEqual([])
  expect(await contentOf(disk)).toEqual([])

  // It continues with files that fit.
  await store(world, 'small.bin', 2)
  await receiver.object((value) => value.type === 'received')
  expect(await contentOf(disk)).toEqual(['small.bin'])
})

test('a receiver whose disk fills up during a file deletes what it has and says so', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const release = holdBackAfter(network, 2)
  const { receiver, disk } = await receiverOnSmallDisk(world, 'bob', 10)
  const { sending } = await startSending(world, 'large.bin', 6)
  await holds(receiver, 2)
  await fill(join(disk, 'filler'))
  release()

  const problem = await toldProblem(receiver, 'refused')
  expect(problem).toMatchObject({ code: 'disk-full', errno: 'ENOSPC' })
  await expectSameProblem(world, sending, problem)
  expect(await contentOf(disk)).toEqual(['filler'])
})

test('a receiver without room for a folder says so before any byte is sent, and takes it once there is less', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const { receiver, disk } = await receiverOnSmallDisk(world, 'bob', 8)
  // As a tar they take 3 MiB, and as files, which have at least a page each, 12 MiB.
  const { folder, paths } = await folderOf(world, 3000)

  const sending = world.send(folder, 'bob', '--no-times', '--part-size', '1MiB')
  const problem = await toldProblem(receiver, 'refused')
  expect(problem).toMatchObject({ code: 'disk-full', neededBytes: 3000 * 4096 })
  await expectSameProblem(world, sending, problem)
  expect(fetches(network)).toEqual([])
  expect(await contentOf(disk)).toEqual([])

  for (const path of paths.slice(1000)) rmSync(path)
  const again = world.send(folder, 'bob', '--no-times')
  expect((await again.ended).code).toBe(0)
  expect(await contentOf(disk)).toHaveLength(1000)
})

test('a receiver whose disk fills up while it unpacks a folder leaves nothing of it', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const release = holdBackAfter(network, 2)
  const { receiver, disk } = await receiverOnSmallDisk(world, 'bob', 16)
  const { folder } = await folderOf(world, 3000)
  const sending = world.send(folder, 'bob', '--no-times', '--part-size', '1MiB')
  await holds(receiver, 2)
  await fill(join(disk, 'filler'))
  release()

  const problem = await toldProblem(receiver, 'refused')
  expect(problem).toMatchObject({ code: 'disk-full', errno: 'ENOSPC' })
  await expectSameProblem(world, sending, problem)
  expect(await contentOf(disk)).toEqual(['filler'])
})

test.each([
  ['fills up during a stream', 2, true],
  ['is smaller than a stream', 12, false],
])('a receiver whose disk %s deletes what it has and says so', async (_what, laterMib, isFilled) => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const { receiver, disk } = await receiverOnSmallDisk(world, 'bob', 10)
  const sending = world.sendInput('bob', '--part-size', '1MiB')
  sending.input.write(randomBytes(5 * MIB))
  await receiver.object((one) => one.type === 'fetching' && Number(one.heldBytes) >= 3 * MIB)
  if (isFilled) await fill(join(disk, 'filler'))
  sending.input.end(randomBytes(laterMib * MIB))

  const problem = await toldProblem(receiver, 'refused')
  expect(problem).toMatchObject({ code: 'disk-full', status: 507 })
  await expectSameProblem(world, sending, problem)
  expect(await contentOf(disk)).toEqual(isFilled ? ['filler'] : [])
})
