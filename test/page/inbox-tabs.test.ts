/** The page's inbox with several tabs, and with a part of its storage lost. */
import { randomBytes } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import type { PartialLayout } from '../../src/receiver/index.ts'
import { type BrowserPage, browserPage } from './harness/browser.ts'

const MODULE = 'test/page/browser/inbox.ts'
const NAME = 'a.bin'
const layout: PartialLayout = { sizeBytes: 100_000, partSizeBytes: 100_000, digestAlgorithm: 'sha-256' }
const manifestDigest = 'ab'.repeat(32)

async function newBrowser(): Promise<BrowserPage> {
  const browser = await browserPage()
  onTestFinished(() => browser.close())
  return browser
}

/** Receives a whole file. */
async function takenIn(tab: BrowserPage): Promise<{ transferId: string; digest: string }> {
  const transferId = newTransferId()
  const bytes = new Uint8Array(randomBytes(layout.sizeBytes))
  const digest = digestOf('sha-256', bytes)
  await tab.run(MODULE, 'open', transferId, layout)
  const part = { partNumber: 1, digestAlgorithm: 'sha-256', digest, lengthBytes: bytes.length, seal: null, bytes }
  expect(await tab.run(MODULE, 'take', transferId, part)).toBeNull()
  return { transferId, digest }
}

test('a file that one tab answers for just before another tab starts it stays', async () => {
  const old = await newBrowser()
  const tab = await old.tab()
  const { transferId, digest } = await takenIn(old)
  expect(await tab.run(MODULE, 'published', transferId)).toBeNull()
  await old.run(MODULE, 'commit', transferId, NAME, manifestDigest)
  await old.run(MODULE, 'answered', transferId)
  await expect(tab.run(MODULE, 'open', transferId, layout)).rejects.toThrow(/another tab/)
  await tab.run(MODULE, 'discard', transferId)
  expect(await tab.run(MODULE, 'published', transferId)).toMatchObject({ name: NAME })
  expect(await tab.run(MODULE, 'contentOf', transferId)).toBe(digest)
})

test('a file that one tab aborts while another is about to publish it is not published', async () => {
  const old = await newBrowser()
  const tab = await old.tab()
  const { transferId } = await takenIn(old)
  await old.run(MODULE, 'close', transferId)
  await tab.run(MODULE, 'discard', transferId)
  await expect(old.run(MODULE, 'commit', transferId, NAME, manifestDigest)).rejects.toThrow(/no longer arriving/)
  expect(await old.run(MODULE, 'published', transferId)).toBeNull()
})

test('a record whose file is gone gives no answer, and the file can be received again', async () => {
  const browser = await newBrowser()
  const { transferId } = await takenIn(browser)
  await browser.run(MODULE, 'commit', transferId, NAME, manifestDigest)
  await browser.reload()
  await browser.run(MODULE, 'lose', transferId)
  expect(await browser.run(MODULE, 'published', transferId)).toBeNull()
  expect(await browser.run(MODULE, 'unfinished')).toEqual([])
  expect(await browser.run(MODULE, 'open', transferId, layout)).toEqual({ held: [], heldBytes: 0 })
})
