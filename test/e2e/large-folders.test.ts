// @tier stress
/** Folders of many entries: the memory that sender, portal and receiver need. */
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { testFolder } from '../suites/folder.ts'
import { memoryPeakBytes, watchMemoryPeak } from './harness/memory.ts'
import { World } from './harness/world.ts'

const FOLDERS = 100
const FILES_IN_EACH = 10_000
const MEMORY_BYTES_MAX = 300e6

test('a million empty files pass with less than 300 MB of memory at either end', async () => {
  const folder = join(await testFolder({ inMemory: true }), 'many')
  for (let number = 0; number < FOLDERS; number++) {
    const one = join(folder, String(number))
    mkdirSync(one, { recursive: true })
    for (let file = 0; file < FILES_IN_EACH; file++)
      closeSync(openSync(`${one}/a file with a name of usual length ${file}`, 'wx'))
  }
  await using world = await World.create()
  const portal = await world.portal()
  await world.join(['alice', 'bob'])
  const bob = await world.receiver('bob')

  const sending = world.send(folder, 'bob')
  using senderPeak = watchMemoryPeak(sending)
  const { code, stderr } = await sending.ended
  expect(code, stderr).toBe(0)
  const received = await bob.object(({ type }) => type === 'received')
  expect(received).toMatchObject({ tree: { fileCount: FOLDERS * FILES_IN_EACH, contentBytes: 0 } })
  const peaks = {
    sender: senderPeak.bytes,
    portal: await memoryPeakBytes(portal),
    receiver: await memoryPeakBytes(bob),
  }
  console.log(`peaks in bytes: ${JSON.stringify(peaks)}`)
  expect(peaks.sender, 'the peak was seen').toBeGreaterThan(0)
  expect(peaks.sender).toBeLessThan(MEMORY_BYTES_MAX)
  expect(peaks.receiver).toBeLessThan(MEMORY_BYTES_MAX)
})
