import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { browserPage } from './harness/browser.ts'
import { Origin } from './harness/origin.ts'

const KEPT = 'test/page/browser/kept.ts'

test('a module of the sources runs in a browser, under the security policy of the page', async () => {
  await using page = await browserPage()
  expect(await page.run('src/protocol/index.ts', 'fromHex', '00ff')).toEqual(Uint8Array.of(0, 255))
  expect(page.complaints).toEqual([])
  const made = page.page.evaluate("fetch('data:,x').then(() => 'sent', () => 'not sent')")
  expect(await made).toBe('not sent')
  await expect.poll(() => page.complaints.join()).toContain('Content Security Policy')
})

test('data that a browser stores durably survives a kill', async () => {
  const profileFolder = await mkdtemp(join(tmpdir(), 'golooader-browser-'))
  onTestFinished(() => rm(profileFolder, { recursive: true, force: true, maxRetries: 10 }))
  const origin = await Origin.open(null)
  onTestFinished(() => origin.close())
  const before = await browserPage({ origin, profileFolder })
  await before.run(KEPT, 'keep', 'colour', 'green')
  await before.kill()
  await using after = await browserPage({ origin, profileFolder })
  expect(await after.run(KEPT, 'kept', 'colour')).toBe('green')
})
