// @tier stress
/**
 * Five hundred clients that send or read very slowly, or not at all, are cut off at their limits. An honest transfer
 * keeps at least half of its speed meanwhile.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { digestOf } from '../../../src/digests/index.ts'
import { newTransferId } from '../../../src/protocol/index.ts'
import { until, World } from '../harness/world.ts'

const MIB = 1024 * 1024
const CROWD = 500
const ROUNDS = 3
const SIZE_BYTES = 64 * MIB
const crowdProgram = fileURLToPath(new URL('./slow-crowd.ts', import.meta.url))

/**
 * A transfer with one large part that is not sent yet, and one that carol is offered.
 *
 * @returns the arguments of the crowd
 */
async function bait(world: World): Promise<string[]> {
  const mallory = await world.client('mallory')
  const [toSend, offered] = [newTransferId(), newTransferId()]
  const layout = { sizeBytes: 8 * MIB, partSizeBytes: 8 * MIB, digestAlgorithm: 'sha-256' }
  for (const transferId of [toSend, offered]) {
    await mallory.announce(transferId, { to: ['carol'], metadata: { name: 'bait' }, ...layout })
  }
  const bytes = Buffer.alloc(layout.partSizeBytes, 1)
  const digest = digestOf('sha-256', bytes)
  await mallory.putPart(offered, 1, { bytes, digestAlgorithm: 'sha-256', digest })
  const carol = await world.client('carol')
  for await (const event of carol.watchInbox({ instanceId: 'the-crowd', window: 4 })) {
    if (event.type !== 'offer' || event.offer.transferId !== offered) continue
    const tokens = [await world.token('mallory'), await world.token('carol')]
    return [...tokens, toSend, offered, event.offer.leaseId]
  }
  throw new Error('nothing was offered')
}

/** @returns the milliseconds from the start of `send` to its end */
async function timeOfDelivery(world: World, path: string): Promise<number> {
  const startedAtMs = performance.now()
  expect((await world.send(path, 'bob').ended).code).toBe(0)
  return performance.now() - startedAtMs
}

async function connectionCount(world: World): Promise<number> {
  const text = await (await fetch(`${world.portalUrl}/metrics`, { headers: { connection: 'close' } })).text()
  return Number(/^golooader_connections (\d+)/m.exec(text)?.[1])
}

function startCrowd(world: World, ...args: string[]): ChildProcess {
  const port = String(new URL(world.portalUrl).port)
  const child = spawn(process.execPath, [crowdProgram, port, String(CROWD), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0
}

test('five hundred slow clients are cut off, and an honest transfer keeps at least half of its speed', {
  timeout: 180_000,
}, async () => {
  await using world = await World.create()
  // The honest pair has its own accounts. The crowd uses another account, within that account's limits.
  await world.portal(['--idle-timeout', '20s', '--account-connections', '1000'])
  await world.join(['alice', 'bob', 'mallory', 'carol'])
  await world.receiver('bob')
  const baited = await bait(world)
  const path = await world.file('honest.bin', SIZE_BYTES)
  await timeOfDelivery(world, path)

  const alone: number[] = []
  const crowded: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(await timeOfDelivery(world, path))
    const crowd = startCrowd(world, ...baited)
    const [line]: string[] = await once(createInterface({ input: crowd.stdout ?? process.stdin }), 'line')
    expect(line).toBe(`${CROWD} are open`)
    expect(await connectionCount(world)).toBeGreaterThan(CROWD * 0.9)
    crowded.push(await timeOfDelivery(world, path))
    expect(await connectionCount(world), 'they were there all the time').toBeGreaterThan(CROWD / 2)
    crowd.stdin?.end()
    await once(crowd, 'exit')
  }
  expect(median(crowded)).toBeLessThan(2 * median(alone))
})

test("slow clients of every kind are cut off by the portal's own limits", async () => {
  await using world = await World.create()
  await world.portal(['--idle-timeout', '5s', '--min-rate', '100KiB', '--account-connections', '1000'])
  await world.join(['mallory', 'carol'])
  const crowd = startCrowd(world, ...(await bait(world)))
  await once(createInterface({ input: crowd.stdout ?? process.stdin }), 'line')
  const startedAtMs = performance.now()
  while ((await connectionCount(world)) > 1) {
    expect(performance.now() - startedAtMs, 'all of them are gone in time').toBeLessThan(100_000)
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  await until(() => crowd.exitCode === null, 'it was the portal that let go')
  crowd.stdin?.end()
})
