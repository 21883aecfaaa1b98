/** The history of the page at a portal that answers incorrectly. */
import { expect, onTestFinished, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import { httpServer } from '../suites/http-server.ts'
import { browserPage } from './harness/browser.ts'

const MODULE = 'test/page/browser/history.ts'

function deliveryOf(transferId: string) {
  const at = '2026-11-26T12:00:00.000Z'
  return {
    ...{ transferId, from: 'alice', metadata: { name: 'a.bin' }, sizeBytes: 1, partSizeBytes: 65_536 },
    ...{ digestAlgorithm: 'sha-256', state: 'delivered', offers: 1, fetchedBytes: 1, createdAt: at, expiresAt: at },
  }
}

/** A portal whose list of received transfers never ends: each page repeats the first one. */
async function endlessHistory() {
  const listed = Array.from({ length: 3 }, () => newTransferId())
    .sort()
    .reverse()
  const asked: string[] = []
  const { url } = await httpServer(({ url = '' }, response) => {
    asked.push(url)
    const isOfReceiver = url.startsWith('/v1/deliveries')
    const page = isOfReceiver
      ? { deliveries: listed.map(deliveryOf), before: listed.at(-1) }
      : { transfers: [], before: null }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(page))
  })
  const browser = await browserPage({ portalUrl: url })
  onTestFinished(() => browser.close())
  return { browser, listed, asked }
}

test('a list that repeats itself ends, and one transfer is found with one request', async () => {
  const { browser, listed, asked } = await endlessHistory()
  await browser.run(MODULE, 'load')
  const more: unknown[] = []
  for (let times = 1; times <= 3; times++) more.push(await browser.run(MODULE, 'loadMore'))
  expect(more).toEqual([false, false, false])
  expect((await browser.run<string[]>(MODULE, 'listed')).sort()).toEqual([...listed].sort())

  asked.length = 0
  expect(await browser.run(MODULE, 'received', listed[1])).toBe('a.bin')
  await expect(browser.run(MODULE, 'received', newTransferId())).rejects.toThrow(/does not remember/)
  await expect(browser.run(MODULE, 'received', '../account')).rejects.toThrow(/no such transfer/)
  expect(asked).toHaveLength(2)
})

test('pages that are shorter than requested make one list, also when it reloads in between', async () => {
  const listed = Array.from({ length: 5 }, () => newTransferId())
    .sort()
    .reverse()
  const { url } = await httpServer(({ url: path = '' }, response) => {
    const before = new URL(path, 'http://portal').searchParams.get('before')
    const rest = listed.filter((transferId) => before === null || transferId < before)
    const deliveries = rest.slice(0, 2).map(deliveryOf)
    const page = { deliveries, before: rest.length > 2 ? rest[1] : null }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(path.startsWith('/v1/deliveries') ? page : { transfers: [], before: null }))
  })
  const browser = await browserPage({ portalUrl: url })
  onTestFinished(() => browser.close())
  await browser.run(MODULE, 'load')
  expect(await browser.run(MODULE, 'loadMore')).toBe(true)
  await browser.run(MODULE, 'load')
  expect(await browser.run(MODULE, 'loadMore')).toBe(false)
  expect(await browser.run<string[]>(MODULE, 'listed')).toHaveLength(5)
  expect((await browser.run<string[]>(MODULE, 'listed')).sort()).toEqual([...listed].sort())
})

test('a delivery without a receipt of a receiver with keys is not believed', async () => {
  const transferId = newTransferId()
  const at = '2026-11-26T12:00:00.000Z'
  const status = {
    ...{ transferId, state: 'ended', attempt: 1, from: 'alice', to: ['bob'], metadata: { name: 'a.bin' } },
    ...{ sizeBytes: 1, partSizeBytes: 65_536, digestAlgorithm: 'sha-256', createdAt: at, expiresAt: at },
    ...{ manifest: null, parts: [] },
    deliveries: [{ receiver: 'bob', state: 'delivered', fetchedBytes: 1, offers: 1 }],
    notifications: [
      { eventId: '1', at, transferId, attempt: 1, notification: 'stored' },
      { eventId: '2', at, transferId, attempt: 1, notification: 'delivered', receiver: 'bob' },
    ],
  }
  const { url } = await httpServer((_request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(status))
  })
  const browser = await browserPage({ portalUrl: url })
  onTestFinished(() => browser.close())
  await browser.run(MODULE, 'know', 'bob')
  expect(await browser.run(MODULE, 'sent', transferId)).toMatchObject({
    hops: ['done', 'failed'],
    isProven: [false],
    steps: expect.arrayContaining([expect.stringContaining('the receipt proves nothing')]),
  })
})

test('a received file whose seal can no longer be opened is listed, without its receipt', async () => {
  const transferId = newTransferId()
  const metadata = { sealed: 'a'.repeat(100), keys: { bob: 'a'.repeat(107) } }
  const delivery = { ...deliveryOf(transferId), metadata, sizeBytes: 17 }
  const { url } = await httpServer((_request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ deliveries: [delivery], before: null }))
  })
  const browser = await browserPage({ portalUrl: url })
  onTestFinished(() => browser.close())
  const digest = 'ab'.repeat(32)
  const receipt = {
    ...{ transferId, from: 'alice', receiver: 'bob', sizeBytes: 1, partSizeBytes: 65_536, digestAlgorithm: 'sha-256' },
    ...{ manifestDigest: digest, contentDigest: digest, disposition: 'received', at: '2026-11-26T12:00:00Z' },
  }
  await browser.run(MODULE, 'remember', { transferId, finalName: 'a.bin', manifestDigest: digest, receipt })
  expect(await browser.run(MODULE, 'ownReceipts', transferId)).toMatchObject({
    receipts: [{ receiver: 'bob', isProven: false, problem: { code: 'seal-unopenable' }, text: null }],
    steps: expect.arrayContaining(['Delivered: you have it, and signed for it']),
  })
})
