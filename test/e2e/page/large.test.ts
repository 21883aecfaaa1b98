// @tier stress
/** The page holds a few parts of a file in memory, for any size of the file. */
import { randomFillSync } from 'node:crypto'
import { mkdir, mkdtemp, open, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Visitor } from '../../page/harness/visitor.ts'
import { until } from '../harness/world.ts'
import { expectArrived, MIB, sceneWith } from './visit.ts'

const GIB = 1024 * MIB
const sizeBytes = process.env.GOLOOADER_TEST_BIG === '1' ? 4 * GIB : GIB / 2
/** The limit for all processes of the browser together, above their memory before the transfer. */
const MEMORY_BYTES_MAX = 600e6
const LOOK_MS = 100

/** A sparse file with random content at the beginning, in the middle and at the end. */
async function sparseFile(path: string): Promise<void> {
  const handle = await open(path, 'w')
  await handle.truncate(sizeBytes)
  const bytes = randomFillSync(Buffer.alloc(4 * MIB))
  for (const share of [0, 0.3, 0.7]) await handle.write(bytes, 0, bytes.length, Math.floor(sizeBytes * share) + 12_345)
  await handle.write(bytes, 0, bytes.length, sizeBytes - bytes.length)
  await handle.close()
}

/** The memory of all processes of the browser. */
async function memoryBytes(visitor: Visitor): Promise<number> {
  const texts = (await visitor.pids()).map((pid) => readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''))
  const kilobytes = (await Promise.all(texts)).map((text) => Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0))
  return kilobytes.reduce((sum, one) => sum + one, 0) * 1024
}

/** Samples repeatedly. The returned function stops that and returns the maximum. */
function watchMemory(visitor: Visitor): () => Promise<number> {
  let peakBytes = 0
  let isOver = false
  const watching = (async () => {
    while (!isOver) {
      const now = await memoryBytes(visitor)
      if (now > peakBytes) peakBytes = now
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  })()
  return async () => {
    isOver = true
    await watching
    return peakBytes
  }
}

test(`${sizeBytes / MIB} MiB are sent while the memory of the page stays small`, async () => {
  await using scene = await sceneWith(['bob'], ['--keep-free', '1MiB'])
  const { world } = scene
  await world.receiver('bob')
  const profileFolder = await mkdtemp(join(tmpdir(), 'golooader-visit-'))
  onTestFinished(() => rm(profileFolder, { recursive: true, force: true, maxRetries: 10 }))
  const visitor = await scene.visit('carol', { profileFolder })
  await mkdir(world.path('files'))
  const path = world.path('files', 'large.bin')
  await sparseFile(path)
  const startBytes = await memoryBytes(visitor)
  const startedAtMs = performance.now()
  const peak = watchMemory(visitor)
  await visitor.send([path], ['bob'])
  const card = visitor.card('large.bin')
  await until(
    async () => (await card.locator.getAttribute('data-phase')) === 'ended',
    'it is delivered',
    (600_000 * sizeBytes) / GIB,
  )
  const tookMs = performance.now() - startedAtMs
  const peakBytes = await peak()
  await card.says('receipt verified')
  expect((await stat(join(world.inbox('bob'), 'large.bin'))).size).toBe(sizeBytes)
  await expectArrived(world, 'bob', 'large.bin', path)
  const told = { tookMs, startMb: startBytes / 1e6, peakMb: peakBytes / 1e6 }
  if (process.env.GOLOOADER_TEST_BIG === '1') console.log(told)
  expect(peakBytes).toBeGreaterThan(startBytes)
  expect(peakBytes - startBytes, JSON.stringify(told)).toBeLessThan(MEMORY_BYTES_MAX)
})
