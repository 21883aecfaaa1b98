/** Behaviour that only the browser's inbox has. */
import { expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import { browserPage } from './harness/browser.ts'

const DAY_MS = 86_400_000
const LAYOUT = { sizeBytes: 2_000, partSizeBytes: 1_000, digestAlgorithm: 'sha-256' } as const

test('files that no tab has continued for days, by both clocks, are removed when the page opens; recent ones stay', async () => {
  await using page = await browserPage()
  const run = <Result>(name: string, ...args: readonly unknown[]) =>
    page.run<Result>('test/page/browser/inbox.ts', name, ...args)
  const bytes = new Uint8Array(1_000).fill(7)
  const part = { partNumber: 1, digestAlgorithm: 'sha-256', lengthBytes: 1_000, seal: null, bytes }
  const [old, fresh] = [newTransferId(), newTransferId()]
  for (const transferId of [old, fresh]) {
    await run('open', transferId, LAYOUT)
    expect(await run('take', transferId, { ...part, digest: digestOf('sha-256', bytes) })).toBeNull()
  }
  await run('makeOlder', old, 9 * DAY_MS)
  await run('makeOlder', fresh, 7 * DAY_MS)
  await page.reload()
  const ownMs = Date.now()
  // Cleaning up needs both clocks.
  await run('tidy', { ownMs, portalMs: ownMs - 2 * DAY_MS })
  await run('tidy', { ownMs: ownMs + 200 * DAY_MS, portalMs: ownMs - 2 * DAY_MS })
  await run('tidy', { ownMs: ownMs + 200 * DAY_MS, portalMs: null })
  expect(await run<string[]>('unfinished')).toHaveLength(2)
  await run('tidy', { ownMs, portalMs: ownMs })
  expect(await run('unfinished')).toEqual([fresh])
  expect((await run<string[]>('everything')).sort()).toEqual([`file/${fresh}`, `part/${fresh}/1`, fresh].sort())
  expect((await run<{ held: unknown[] }>('open', fresh, LAYOUT)).held).toHaveLength(1)
})

test('a sender’s name determines no path: files of the origin are named after their transfers', async () => {
  await using page = await browserPage()
  const run = <Result>(name: string, ...args: readonly unknown[]) =>
    page.run<Result>('test/page/browser/inbox.ts', name, ...args)
  const transferId = newTransferId()
  await run('open', transferId, { ...LAYOUT, sizeBytes: 0 })
  await run('commit', transferId, '..', 'ab'.repeat(32))
  expect(await run('everything')).toEqual([`file/${transferId}`, transferId])
})
