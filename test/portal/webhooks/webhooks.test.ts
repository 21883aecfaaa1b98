/** Webhooks of a portal, with a receiver that checks signatures by the specification. */
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { newTransferId, newWebhookSecret, type Webhook, type WebhookMessage } from '../../../src/protocol/index.ts'
import { Receiver } from '../../servers/webhook-receiver.ts'
import { jsonOf } from '../guests/links.ts'
import { refusalOf, TestPortal } from '../portal.ts'

const secret = newWebhookSecret()
/** Retries come at once, so that a test need not wait. */
const quick = {
  webhookNetworks: ['127.0.0.0/8'],
  webhookLookMs: 20,
  webhookRetryMsMin: 20,
  webhookRetryMsMax: 100,
  sweepMs: 20,
}
const hello = Buffer.from('hello')

type Settings = Parameters<typeof TestPortal.start>[0]

function add(portal: TestPortal, url: string, changes: object = {}, who = 'alice') {
  const body = { webhookId: newTransferId(), url, on: ['stored', 'delivered', 'failed'], secret, ...changes }
  return portal.ask('POST', '/v1/webhooks', { token: portal.token(who), body })
}

async function begin(settings: Settings = {}, changes: object = {}) {
  const receiver = await Receiver.start(secret)
  const portal = await TestPortal.start({ ...quick, ...settings })
  const answer = await add(portal, receiver.url, changes)
  const webhook: Webhook = jsonOf(answer)
  const ask = async (method: string, path: string, body?: object) =>
    portal.ask(method, `/v1/webhooks/${webhook.webhookId}${path}`, { token: portal.token('alice'), body })
  const log = async (): Promise<WebhookMessage[]> => jsonOf(await ask('GET', '/messages')).messages
  const own = async (): Promise<Webhook> =>
    jsonOf(await portal.ask('GET', '/v1/webhooks', { token: portal.token('alice') })).webhooks[0]
  return { portal, receiver, webhook, ask, log, own }
}

/** Stores a file that bob then declines. */
async function decline(portal: TestPortal): Promise<string> {
  const transferId = await portal.store(hello)
  const { leaseId } = await portal.offerOf(transferId)
  const problem = {
    type: 'urn:golooader:problem:declined',
    title: 'no',
    status: 403,
    code: 'declined',
    detail: 'not now',
  }
  await portal.dispose(transferId, { leaseId, disposition: 'refused', problem })
  return transferId
}

async function until<Result>(ask: () => Promise<Result>, isWanted: (result: Result) => boolean): Promise<Result> {
  while (true) {
    const result = await ask()
    if (isWanted(result)) return result
    await setTimeout(10)
  }
}

describe('messages', () => {
  test('tell both notifications of a transfer, in order, with valid signatures and no name of a file', async () => {
    const { portal, receiver, webhook, log } = await begin()
    const transferId = await decline(portal)
    const received = await receiver.until((all) => all.length >= 2)
    expect(received.map(({ fault }) => fault)).toEqual([null, null])
    expect(received.map(({ body }) => body.type)).toEqual(['transfer.stored', 'transfer.failed'])
    const [stored, failed] = received
    const events = jsonOf(await portal.ask('GET', '/v1/events?after=0', { token: portal.token('alice') })).events
    expect(stored?.body).toEqual({
      type: 'transfer.stored',
      timestamp: events[0].at,
      data: { ...events[0], from: 'alice', to: ['bob'] },
    })
    expect(failed?.body.data).toMatchObject({
      transferId,
      receiver: 'bob',
      problem: { code: 'declined', detail: 'not now' },
    })
    expect(JSON.stringify(received)).not.toContain('plan.pdf')
    expect(stored).toMatchObject({ contentType: 'application/json', path: '/hook' })
    expect(stored?.id).toBe(`msg_${webhook.webhookId.replaceAll('-', '')}_${events[0].eventId}`)
    const ended = await until(log, (all) => all.every(({ state }) => state === 'delivered'))
    expect(ended).toMatchObject([
      { type: 'transfer.failed', transferId, attempts: 1, status: 204, endedAt: expect.any(String) },
      { type: 'transfer.stored', transferId, attempts: 1, status: 204 },
    ])
  })

  test('come for the asked notifications only, and not after the webhook was removed', async () => {
    const { portal, receiver, ask } = await begin({}, { on: ['failed', 'failed'] })
    await decline(portal)
    await receiver.until((all) => all.length >= 1)
    expect(jsonOf(await ask('DELETE', '')).on).toEqual(['failed'])
    expect(refusalOf(await ask('DELETE', ''))).toBe('404 not-found')
    const other = await Receiver.start(secret)
    await add(portal, other.url)
    await decline(portal)
    await other.until((all) => all.length >= 2)
    expect(receiver.received.map(({ body }) => body.type)).toEqual(['transfer.failed'])
  })

  test('that fail are tried again with the same id and body; those of the same transfer wait for them', async () => {
    const { portal, receiver, own, log } = await begin()
    await receiver.answer('503')
    const transferId = await decline(portal)
    await receiver.until((all) => all.length >= 3)
    expect(await own()).toMatchObject({ state: 'failing', waitingCount: 2, failingSince: expect.any(String) })
    expect(await log()).toMatchObject([
      { type: 'transfer.failed', state: 'waiting', attempts: 0 },
      { type: 'transfer.stored', state: 'waiting', status: 503, reason: 'HTTP status 503' },
    ])
    await receiver.answer('200')
    const received = await receiver.until((all) => all.some(({ body }) => body.type === 'transfer.failed'))
    const [first, ...others] = received.filter(({ body }) => body.type === 'transfer.stored')
    expect(
      others.every(({ id, body }) => id === first?.id && JSON.stringify(body) === JSON.stringify(first.body)),
    ).toBe(true)
    expect(received.filter(({ status }) => status === 200).map(({ body }) => body.type)).toEqual([
      'transfer.stored',
      'transfer.failed',
    ])
    expect(received.every(({ fault, body }) => fault === null && body.data.transferId === transferId)).toBe(true)
    expect(await until(own, ({ state }) => state === 'active')).toMatchObject({ waitingCount: 0 })
  })

  test('that their receiver cannot take hold back no other transfer', async () => {
    const { portal, receiver } = await begin({ webhookRetryMsMin: 50 })
    const bad = await portal.store(hello)
    await receiver.until((all) => all.length >= 1)
    await receiver.answer(`poison ${bad}`)
    const { leaseId } = await portal.offerOf(bad)
    const problem = { type: 'urn:x', title: 'no', status: 403, code: 'declined' }
    await portal.dispose(bad, { leaseId, disposition: 'refused', problem })
    await receiver.until((all) => all.some(({ status }) => status === 500))
    const good = await decline(portal)
    await receiver.until((all) => all.filter(({ body }) => body.data.transferId === good).length >= 2)
  })

  test('are given up in the end, and the log says why', async () => {
    const { portal, receiver, log, own } = await begin({ webhookKeepTryingMs: 300 })
    await receiver.answer('500')
    await decline(portal)
    const ended = await until(log, (all) => all.length === 2 && all.every(({ state }) => state === 'failed'))
    expect(ended.map(({ type, reason }) => [type, reason])).toEqual([
      ['transfer.failed', 'HTTP status 500'],
      ['transfer.stored', 'HTTP status 500'],
    ])
    expect(await own()).toMatchObject({ state: 'failing', waitingCount: 0 })
  })

  test('end with the answer 410', async () => {
    const { portal, receiver, own, ask } = await begin()
    await receiver.answer('410')
    await decline(portal)
    const disabled = await until(own, ({ state }) => state === 'disabled')
    expect(disabled).toMatchObject({ waitingCount: 0, reason: 'it answered with status 410: it wants no more' })
    expect(refusalOf(await ask('POST', '/test', { testId: newTransferId() }))).toBe('409 webhook-disabled')
    const other = await Receiver.start(secret)
    await add(portal, other.url)
    await decline(portal)
    await other.until((all) => all.length >= 2)
    expect(receiver.received.length).toBeLessThanOrEqual(2)
  })
})

describe('a receiver', () => {
  test.each([
    ['slow', { reason: 'no answer within 0.2 s' }],
    ['cut', { reason: expect.stringMatching(/^the connection failed/) }],
    ['redirect http://127.0.0.1:1/', { status: 307, reason: 'it redirects, and that is not followed' }],
    ['404', { status: 404, reason: 'HTTP status 404' }],
  ])('that answers "%s" fails', async (how, wanted) => {
    const { portal, receiver, log } = await begin({ webhookTimeoutMs: 200 })
    await receiver.answer(how.replace('127.0.0.1:1', `127.0.0.1:${receiver.port}`))
    await portal.store(hello)
    const [message] = await until(log, ([one]) => (one?.attempts ?? 0) > 0)
    expect(message).toMatchObject({ state: 'waiting', ...wanted })
    expect(
      receiver.received.every(({ id }) => id !== 'a GET'),
      'a redirect is not followed',
    ).toBe(true)
  })

  test('that wants nothing for a while (Retry-After) gets nothing, whatever happens meanwhile', async () => {
    const { portal, receiver, own } = await begin()
    await receiver.answer('429 2')
    await portal.store(hello)
    await receiver.until((all) => all.length >= 1)
    const askedMs = performance.now()
    await until(own, ({ state }) => state === 'failing')
    await receiver.answer('204')
    await portal.store(hello)
    await receiver.until((all) => all.length >= 2)
    expect(performance.now() - askedMs).toBeGreaterThan(1_900)
    const [refused, ...taken] = await receiver.until((all) => all.length >= 3)
    expect([refused?.status, ...taken.map(({ status }) => status)]).toEqual([429, 204, 204])
  })

  test('with an endless answer has accepted it', async () => {
    const { portal, receiver, log } = await begin()
    await receiver.answer('endless')
    await portal.store(hello)
    expect(await until(log, ([one]) => one?.state === 'delivered')).toMatchObject([{ status: 200 }])
  })

  test('that is away for a while gets everything once it is back, each message once', async () => {
    const { portal, receiver, own } = await begin()
    await receiver.stop()
    const ids = await Promise.all(Array.from({ length: 30 }, () => portal.store(hello)))
    await until(own, ({ state }) => state === 'failing')
    const back = await Receiver.start(secret, receiver.port)
    await back.until((all) => all.length >= ids.length)
    await until(own, ({ waitingCount }) => waitingCount === 0)
    expect(back.received.map(({ body }) => body.data.transferId).sort()).toEqual([...ids].sort())
    expect(back.received.every(({ fault }) => fault === null)).toBe(true)
  })

  test('that never answers delays no other account', async () => {
    const { portal, receiver: dead } = await begin({ webhookTimeoutMs: 60_000 })
    await dead.answer('slow')
    for (let count = 0; count < 9; count++) expect((await add(portal, dead.url)).status).toBe(200)
    await portal.store(hello)
    await dead.until((all) => all.length >= 4)
    const other = await Receiver.start(secret)
    expect((await add(portal, other.url, {}, 'bob')).status).toBe(200)
    await portal.ask('PUT', `/v1/to/alice/note`, {
      token: portal.token('bob'),
      body: hello,
      headers: { prefer: 'wait=0' },
    })
    await other.until((all) => all.length >= 1)
    expect(dead.received, 'four of an account at a time').toHaveLength(4)
  })
})

describe('an account', () => {
  test('tests its webhook, and reads its outcome in the log', async () => {
    const { receiver, ask, log } = await begin()
    const testId = newTransferId()
    const made = jsonOf(await ask('POST', '/test', { testId }))
    expect(made).toMatchObject({ type: 'webhook.test', transferId: null })
    const [got] = await receiver.until((all) => all.length >= 1)
    expect(got).toMatchObject({ id: made.messageId, fault: null, body: { type: 'webhook.test' } })
    expect(await until(log, ([one]) => one?.state === 'delivered')).toMatchObject([{ attempts: 1, status: 204 }])
    expect(jsonOf(await ask('POST', '/test', { testId })), 'again').toMatchObject({ state: 'delivered' })
    await receiver.answer('500')
    await ask('POST', '/test', { testId: newTransferId() })
    expect((await until(log, ([one]) => one?.state === 'failed'))[0]).toMatchObject({ attempts: 1, status: 500 })
  })

  test('has its own webhooks, as many as the operator allows, and hears no secret again', async () => {
    const { portal, receiver, webhook } = await begin({ accountWebhooksMax: 2 })
    expect(JSON.stringify(webhook)).not.toContain('whsec_')
    const repeated = { webhookId: webhook.webhookId }
    expect(jsonOf(await add(portal, receiver.url, repeated))).toEqual(webhook)
    expect(refusalOf(await add(portal, receiver.url, { ...repeated, on: ['failed'] }))).toBe('409 webhook-conflict')
    expect(refusalOf(await add(portal, receiver.url, repeated, 'bob'))).toBe('409 webhook-conflict')
    expect((await add(portal, receiver.url)).status).toBe(200)
    expect(refusalOf(await add(portal, receiver.url))).toBe('409 too-many-webhooks')
    const bob = { token: portal.token('bob') }
    expect(jsonOf(await portal.ask('GET', '/v1/webhooks', bob)).webhooks).toEqual([])
    expect(refusalOf(await portal.ask('DELETE', `/v1/webhooks/${webhook.webhookId}`, bob))).toBe('404 not-found')
    expect(refusalOf(await portal.ask('GET', `/v1/webhooks/${webhook.webhookId}/messages`, bob))).toBe('404 not-found')
  })

  test('that is revoked is told nothing more', async () => {
    const { portal, receiver } = await begin()
    await receiver.answer('503')
    const transferId = await portal.store(hello)
    await receiver.until((all) => all.length >= 2)
    await portal.operate((ledger) => ledger.revokeAccount('alice'))
    const before = receiver.received.length
    await receiver.answer('204')
    const other = await Receiver.start(secret)
    await portal.operate((ledger) => ledger.setOperator('bob', true))
    await add(portal, other.url, { isWholePortal: true }, 'bob')
    const { leaseId } = await portal.offerOf(transferId)
    await portal.dispose(transferId, {
      leaseId,
      disposition: 'refused',
      problem: { type: 'urn:x', title: 'x', status: 403, code: 'declined' },
    })
    await other.until((all) => all.length >= 1)
    // One message may have been on its way.
    expect(receiver.received.length).toBeLessThanOrEqual(before + 1)
  })

  test('that is an operator’s is told of the whole portal, without the words of others, until it is none any more', async () => {
    const { portal, receiver } = await begin()
    const whole = await Receiver.start(secret)
    expect(refusalOf(await add(portal, whole.url, { isWholePortal: true }, 'carol'))).toBe('404 not-found')
    await portal.operate((ledger) => ledger.setOperator('carol', true))
    expect(jsonOf(await add(portal, whole.url, { isWholePortal: true }, 'carol')).isWholePortal).toBe(true)
    const transferId = await decline(portal)
    const [stored, failed] = await whole.until((all) => all.length >= 2)
    expect(stored).toMatchObject({ fault: null, body: { data: { transferId, from: 'alice', to: ['bob'] } } })
    expect(failed?.body.data.problem).toEqual({
      type: 'urn:golooader:problem:declined',
      title: 'The receiver declined the file',
      status: 403,
      code: 'declined',
    })
    await portal.operate((ledger) => ledger.setOperator('carol', false))
    await decline(portal)
    await receiver.until((all) => all.length >= 4)
    expect(whole.received).toHaveLength(2)
  })
})
