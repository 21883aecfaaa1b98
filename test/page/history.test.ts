/** What was sent and received, at a portal that does not tell it as it should. */
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

/** A portal whose list of what came never ends: each of its pages is the first one again. */
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

test('a list that repeats itself comes to its end, and one transfer is looked for with one question', async () => {
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

test('a portal that calls a file delivered and has no receipt of a receiver with keys is not believed', async () => {
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
