/** Uppy in a real browser sends to a portal of its origin, as a web application uses it. */
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type BrowserPage, browserPage } from '../../page/harness/browser.ts'
import type { SentByUppy, UppyOptions } from '../../page/sent-by-uppy.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of } from '../harness/world.ts'
import { handWorld, MIB } from '../one-request/curl.ts'

const MODULE = 'test/page/browser/uppy.ts'

async function scene() {
  const { world } = await handWorld()
  const network = await FaultyNetwork.open(() => world.portalUrl)
  onTestFinished(() => network[Symbol.asyncDispose]())
  const browser = await browserPage({ portalUrl: network.url })
  onTestFinished(() => browser.close())
  const token = await world.token('alice')
  const bob = await world.receiver('bob')
  const expectReceived = async (path: string): Promise<void> => {
    await bob.object((line) => line.type === 'received')
    expect(await world.received('bob')).toEqual(['holiday.mp4'])
    expect(await sha256Of(join(world.inbox('bob'), 'holiday.mp4'))).toBe(await sha256Of(path))
  }
  return { world, network, browser, token, expectReceived }
}

async function send(browser: BrowserPage, path: string, options: UppyOptions): Promise<SentByUppy> {
  await browser.run(MODULE, 'showInput')
  await browser.page.setInputFiles('input', path)
  return browser.run<SentByUppy>(MODULE, 'sendChosen', options)
}

/** The offsets at which the page has sent content. */
function offsetsOf({ page }: BrowserPage): number[] {
  const offsets: number[] = []
  page.on('request', (request) => {
    if (request.method() === 'PATCH') offsets.push(Number(request.headers()['upload-offset']))
  })
  return offsets
}

test('Uppy sends a file, learns that it is stored, and asks until it is delivered', async () => {
  const { world, browser, token, expectReceived } = await scene()
  const path = await world.file('holiday.mp4', 20 * MIB)
  const sent = await send(browser, path, { token, to: 'bob' })
  expect(sent).toMatchObject({ uploadUrl: expect.stringContaining('/v1/tus/'), notification: 'stored' })
  const told = await browser.run<string[]>(MODULE, 'notificationsOf', sent.transferId, token)
  expect(told).toEqual(['stored', 'delivered'])
  await expectReceived(path)
  const { metadata } = await (await world.client('alice')).transfer(sent.transferId ?? '')
  expect(metadata).toEqual({ name: 'holiday.mp4', mediaType: 'video/mp4' })
})

test('Uppy continues where a cut connection ended, and after a pause', async () => {
  const { world, network, browser, token, expectReceived } = await scene()
  const path = await world.file('holiday.mp4', 20 * MIB)
  network.rule = ({ method, count }) => (method === 'PATCH' && count <= 2 ? { passRequestBytes: 5 * MIB + 1 } : null)
  const offsets = offsetsOf(browser)
  expect((await send(browser, path, { token, to: 'bob', pauseAtBytes: 15 * MIB })).notification).toBe('stored')
  // Chromium repeats a request by itself when its connection was used before, with the offset that it had.
  const [first, second = 0, ...others] = offsets
  expect(first).toBe(0)
  expect(second).toBeGreaterThan(4 * MIB)
  expect(others.filter((offset) => offset < second)).toEqual([])
  await expectReceived(path)
})

test('Uppy continues after the page was loaded again, with the same file', async () => {
  const { world, network, browser, token, expectReceived } = await scene()
  const path = await world.file('holiday.mp4', 20 * MIB)
  network.rule = ({ method, count }) => (method === 'PATCH' && count === 1 ? { passRequestBytes: 12 * MIB } : null)
  expect((await send(browser, path, { token, to: 'bob', retryDelays: [] })).uploadUrl).toBe(null)
  await browser.reload()
  const offsets = offsetsOf(browser)
  expect((await send(browser, path, { token, to: 'bob' })).notification).toBe('stored')
  expect(offsets).toHaveLength(1)
  // What the portal had not read when the connection broke is sent again.
  expect(offsets[0]).toBeGreaterThan(8 * MIB)
  await expectReceived(path)
})
