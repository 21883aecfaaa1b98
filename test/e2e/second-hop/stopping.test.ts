/** Receiver and portal are stopped or killed during a file. The delivery continues when they are started again. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { allowedMs } from '../../suites/bounds.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Running, sha256Of, until, World } from '../harness/world.ts'
import {
  fetchedPart,
  holdBackAfter,
  holds,
  kindsOf,
  MIB,
  notifiedOf,
  recordOf,
  startSending,
  store,
  unfinished,
} from './scene.ts'

/** The error output of a daemon without the audit log, which it always writes. */
function complaintsOf(stderr: string): string[] {
  return stderr.split('\n').filter((line) => line !== '' && !line.includes('"audit":'))
}

/** Requests in flight get 5 s to finish; the rest is for a busy machine. */
const STOP_MS_MAX = 15_000
const SIGNALS = ['SIGTERM', 'SIGINT'] as const

/** Ends a daemon with a signal. It must end in bounded time and without errors. */
async function expectCleanEnd(daemon: Running, signal: NodeJS.Signals): Promise<void> {
  const startedAtMs = performance.now()
  const { code, stderr } = await daemon.stop(signal)
  expect(complaintsOf(stderr)).toEqual([])
  expect(code).toBe(0)
  expect(performance.now() - startedAtMs).toBeLessThan(allowedMs(STOP_MS_MAX))
}

test.each(SIGNALS)(
  'a receiver that gets %s during a file ends, and continues with the file next time',
  async (signal) => {
    await using world = await World.create()
    await world.portal()
    await using network = await FaultyNetwork.open(() => world.portalUrl)
    await world.join(['alice', 'bob'], { bob: network })
    const release = holdBackAfter(network, 2)
    const bob = await world.receiver('bob')
    const { path, sending } = await startSending(world, 'broken-off.bin', 5)
    await holds(bob, 2)
    await expectCleanEnd(bob, signal)
    expect(await world.received('bob')).toEqual([])
    expect(await unfinished(world, 'bob')).toHaveLength(2)

    release()
    const restarted = await world.receiver('bob')
    expect((await sending.ended).code).toBe(0)
    expect(notifiedOf(sending)).toEqual(['stored', 'delivered'])
    expect(await restarted.object((value) => value.type === 'offered')).toMatchObject({ isResumed: true })
    expect(await world.received('bob')).toEqual(['broken-off.bin'])
    expect(await sha256Of(`${world.inbox('bob')}/broken-off.bin`)).toBe(await sha256Of(path))
  },
)

test.each([...SIGNALS, 'SIGKILL'] as const)(
  'a portal that gets %s in the middle of a delivery continues with it when it is started again',
  async (signal) => {
    await using world = await World.create()
    const portal = await world.portal()
    await using network = await FaultyNetwork.open(() => world.portalUrl)
    await world.join(['alice', 'bob'], { bob: network })
    const partCount = 10
    // The network is slow, so that a part is in flight when the portal ends, which it does before the last one is fetched.
    network.rule = (seen) => {
      const partNumber = fetchedPart(seen)
      if (partNumber === null) return null
      return partNumber === partCount ? { hang: true } : { bytesPerSecond: 2 * MIB }
    }
    const bob = await world.receiver('bob')
    const { path, transferId, sending } = await startSending(world, 'interrupted.bin', partCount)
    await sending.notification('stored')
    await holds(bob, 2)
    if (signal === 'SIGKILL') await portal.stop(signal)
    else await expectCleanEnd(portal, signal)
    await bob.object((value) => value.type === 'disconnected')
    expect(await world.received('bob')).toEqual([])

    network.rule = () => null
    network.cutHanging()
    await world.portal()
    await bob.object((value) => value.type === 'received')
    expect((await sending.ended).code).toBe(0)
    expect(notifiedOf(sending)).toEqual(['stored', 'delivered'])
    // The receiver fetched every part once.
    const heldBytes = bob.json.filter((value) => value.type === 'fetching').map((value) => value.heldBytes)
    expect(heldBytes).toEqual(Array.from({ length: partCount }, (_, index) => (index + 1) * MIB))
    expect(await world.received('bob')).toEqual(['interrupted.bin'])
    expect(await sha256Of(`${world.inbox('bob')}/interrupted.bin`)).toBe(await sha256Of(path))
    expect(kindsOf((await recordOf(world, transferId)).notifications)).toEqual(['stored', 'delivered'])
    await until(async () => (await world.stored()).length === 0, 'the parts have left temporary storage')
  },
)

test('"receive --once" receives one file and ends; the other file waits', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const first = await store(world, 'first.bin', 2)
  const second = await store(world, 'second.bin', 2)
  const once = await world.receiver('bob', ['--once'])
  expect((await once.ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['first.bin'])
  expect(kindsOf((await recordOf(world, first.transferId)).notifications)).toEqual(['stored', 'delivered'])
  expect(kindsOf((await recordOf(world, second.transferId)).notifications)).toEqual(['stored'])

  expect((await (await world.receiver('bob', ['--once'])).ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['first.bin', 'second.bin'])
})

test('"receive --once" that is stopped before a file came says so with its exit code', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['bob'])
  const once = await world.receiver('bob', ['--once'])
  expect((await once.stop('SIGTERM')).code).toBe(130)
})

test('a second receiver in the same folder is refused, and changes nothing', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob', 'carol'])
  const bob = await world.receiver('bob')
  for (const profile of ['bob', 'carol']) {
    const second = await world.run('receive', '--into', world.inbox('bob'), '--create', '--profile', profile)
    expect(second.code).toBe(2)
    expect(second.stderr).toContain('another process is using')
    expect(second.stderr).toContain('folder-unavailable')
  }
  await store(world, 'mine.bin', 1)
  await bob.object((value) => value.type === 'received')

  // The folder is free again once its receiver has ended in any way.
  await bob.stop('SIGKILL')
  await world.receiver('bob')
})

test('an existing file is never overwritten', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  await mkdir(world.inbox('bob'), { recursive: true })
  await writeFile(`${world.inbox('bob')}/report.pdf`, 'mine')
  const bob = await world.receiver('bob')
  const digests: string[] = []
  for (const number of [1, 2]) {
    const { path } = await store(world, 'report.pdf', number)
    digests.push(await sha256Of(path))
    await until(() => bob.json.filter((value) => value.type === 'received').length === number, 'it is received')
  }
  const paths = bob.json.filter((value) => value.type === 'received')
  expect(paths).toMatchObject([{ isRenamed: true }, { isRenamed: true }])
  expect(await world.received('bob')).toEqual(['report (1).pdf', 'report (2).pdf', 'report.pdf'])
  expect(await readFile(`${world.inbox('bob')}/report.pdf`, 'utf8')).toBe('mine')
  expect(await sha256Of(`${world.inbox('bob')}/report (1).pdf`)).toBe(digests[0])
  expect(await sha256Of(`${world.inbox('bob')}/report (2).pdf`)).toBe(digests[1])
})
