/** Streams: transfers that are announced without a size. Each part reserves its space when it begins to arrive. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { InboxEvent } from '../../../src/client/index.ts'
import { newTransferId, type Offer, type TransferStatus } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import {
  type Answer,
  announcement,
  contentDigest,
  instance,
  manifestDigest,
  partSizeBytes,
  partsOf,
  refusalOf,
  TestPortal,
} from '../portal.ts'

const quotaBytes = 10 * partSizeBytes
let portal: TestPortal
const ends: (() => Promise<void>)[] = []
beforeAll(async () => {
  const settings = { accountBytesMax: quotaBytes, transferSizeBytesMax: 20 * partSizeBytes }
  portal = await TestPortal.start(settings, { onEnd: (end) => ends.unshift(end) })
})
afterAll(async () => {
  for (const end of ends) await end()
})

const asAlice = () => portal.token('alice')
const full = Buffer.alloc(partSizeBytes, 'x')
const short = Buffer.from('the rest')
const content = Buffer.concat([full, full, short])

const announce = (changes: object = {}) => portal.announce(Buffer.alloc(0), { sizeBytes: null, ...changes })

async function statusOf(transferId: string): Promise<TransferStatus> {
  const { body } = await portal.ask('GET', `/v1/transfers/${transferId}`, { token: asAlice() })
  return JSON.parse(body.toString())
}

function complete(transferId: string, body: object): Promise<Answer> {
  return portal.ask('POST', `/v1/transfers/${transferId}/complete`, {
    token: asAlice(),
    body: { attempt: 1, manifestDigest: manifestDigest(content), ...body },
  })
}

async function completed(transferId: string, body: object): Promise<unknown> {
  return JSON.parse((await complete(transferId, body)).body.toString())
}

async function cancel(transferId: string): Promise<void> {
  await portal.ask('DELETE', `/v1/transfers/${transferId}`, { token: asAlice() })
}

/** Waits until the store has nothing more of what is over. */
async function untilEmpty(one: TestPortal): Promise<void> {
  const due = () => one.operate((ledger) => ledger.dueRemovals(9))
  await until(async () => (await due()).length === 0, 'all parts were removed')
}

/** What is offered to bob at once. */
async function offers(areStreamsWanted: boolean): Promise<Offer[]> {
  const gone = new AbortController()
  const found: Offer[] = []
  const question = { instanceId: instance, window: 64, ...(areStreamsWanted ? { areStreamsWanted } : {}) }
  const events: AsyncGenerator<InboxEvent> = portal.client('bob').watchInbox(question, { signal: gone.signal })
  for await (const event of events) {
    if (event.type === 'offer') found.push(event.offer)
    if (event.type === 'current') break
  }
  gone.abort()
  return found
}

test('the portal says that it accepts streams, and shows the size so far of one until its size is known', async () => {
  const limits = JSON.parse((await portal.ask('GET', '/v1/limits')).body.toString())
  expect(limits.streams).toBe(true)
  const transferId = await announce()
  expect(await statusOf(transferId)).toMatchObject({ sizeBytes: 0, isSizeKnown: false, state: 'receiving' })
  expect((await portal.putPart(transferId, 1, full)).status).toBe(204)
  expect(await statusOf(transferId)).toMatchObject({ sizeBytes: partSizeBytes, isSizeKnown: false })
  expect((await portal.putPart(transferId, 2, full)).status).toBe(204)
  expect((await portal.putPart(transferId, 3, short)).status).toBe(204)
  expect((await portal.putPart(transferId, 3, short)).status, 'once more').toBe(204)
  expect(await completed(transferId, { sizeBytes: content.length })).toMatchObject({ notification: 'stored' })
  const stored = await statusOf(transferId)
  expect(stored).toMatchObject({ sizeBytes: content.length, state: 'stored' })
  expect(stored).not.toHaveProperty('isSizeKnown')
  await cancel(transferId)
})

test('an empty stream is an empty file', async () => {
  const transferId = await announce()
  const body = { sizeBytes: 0, manifestDigest: manifestDigest(Buffer.alloc(0)) }
  expect(await completed(transferId, body)).toMatchObject({ notification: 'stored' })
  await cancel(transferId)
})

test('a stream may end with a full part', async () => {
  const transferId = await announce()
  const two = Buffer.concat([full, full])
  for (const partNumber of [1, 2]) await portal.putPart(transferId, partNumber, full)
  const body = { sizeBytes: two.length, manifestDigest: manifestDigest(two) }
  expect(await completed(transferId, body)).toMatchObject({ notification: 'stored' })
  await cancel(transferId)
})

test('invalid parts of a stream are refused, and the stream continues', async () => {
  const transferId = await announce()
  const refused = async (partNumber: number, bytes: Buffer) =>
    refusalOf(await portal.putPart(transferId, partNumber, bytes))
  expect(await refused(1, Buffer.alloc(0))).toBe('400 part-length-wrong')
  expect(await refused(1, Buffer.alloc(partSizeBytes + 1))).toBe('400 part-length-wrong')
  expect(await refused(10_001, full)).toBe('404 part-unknown')
  await portal.putPart(transferId, 2, full)
  expect(await refused(1, short)).toBe('400 part-length-wrong')
  await portal.putPart(transferId, 3, short)
  expect(await refused(3, Buffer.from('x'))).toBe('400 part-length-wrong')
  expect(await refused(4, full)).toBe('404 part-unknown')
  await portal.putPart(transferId, 1, full)
  expect(await completed(transferId, { sizeBytes: content.length })).toMatchObject({ notification: 'stored' })
  await cancel(transferId)
})

test('the size at the end must be that of the parts; missing parts are requested', async () => {
  const transferId = await announce()
  await portal.putPart(transferId, 1, full)
  expect(refusalOf(await complete(transferId, {})), 'it is missing').toBe('400 request-invalid')
  expect(refusalOf(await complete(transferId, { sizeBytes: partSizeBytes - 1 }))).toBe('400 request-invalid')
  expect(refusalOf(await complete(transferId, { sizeBytes: 1e15 })), 'more than all parts').toBe('400 request-invalid')
  const resend = await completed(transferId, { sizeBytes: content.length })
  expect(resend).toMatchObject({ notification: 'resend', wanted: [[2, 3]] })
  await portal.putPart(transferId, 2, full)
  await portal.putPart(transferId, 3, short)
  expect(refusalOf(await complete(transferId, { attempt: 2, sizeBytes: content.length + 1 }))).toBe(
    '400 request-invalid',
  )
  expect(await completed(transferId, { attempt: 2, sizeBytes: content.length })).toMatchObject({
    notification: 'stored',
  })
  await cancel(transferId)
})

test('a file that was announced with a size keeps it', async () => {
  const transferId = await portal.announce(content)
  for (const [index, bytes] of partsOf(content).entries()) await portal.putPart(transferId, index + 1, bytes)
  expect(refusalOf(await complete(transferId, { sizeBytes: 7 }))).toBe('400 request-invalid')
  expect(await completed(transferId, { sizeBytes: content.length })).toMatchObject({ notification: 'stored' })
  await cancel(transferId)
})

test('a stream in one request is refused, because its size is known', async () => {
  const head = { ...announcement(0), sizeBytes: null, manifestDigest: manifestDigest(Buffer.alloc(0)) }
  const body = Buffer.from(`${JSON.stringify(head)}\n`)
  const path = `/v1/transfers/${newTransferId()}/whole`
  expect(refusalOf(await portal.ask('PUT', path, { token: asAlice(), body }))).toBe('400 request-invalid')
})

test('a stream that runs out of space is refused, and nothing of it is left', async () => {
  const transferId = await announce()
  for (let partNumber = 1; partNumber <= 10; partNumber++) {
    expect((await portal.putPart(transferId, partNumber, full)).status).toBe(204)
  }
  const refusal = await portal.putPart(transferId, 11, full)
  expect(refusalOf(refusal)).toBe('507 storage-full')
  expect(JSON.parse(refusal.body.toString())).toMatchObject({ transferId, limitBytes: quotaBytes, attempt: 1 })
  expect(await statusOf(transferId)).toMatchObject({
    state: 'refused',
    notifications: [{ notification: 'refused', problem: { code: 'storage-full' } }],
  })
  await untilEmpty(portal)
  expect(await portal.operate((ledger) => ledger.totals())).toEqual({ openTransfers: 0, openBytes: 0 })
  await portal.store(Buffer.alloc(partSizeBytes))
})

test('a stream that exceeds the size limit is refused', async () => {
  const small = await TestPortal.start({ transferSizeBytesMax: partSizeBytes })
  const transferId = await small.announce(Buffer.alloc(0), { sizeBytes: null })
  await small.putPart(transferId, 1, full)
  expect(refusalOf(await small.putPart(transferId, 2, short))).toBe('413 transfer-too-large')
  const { body } = await small.ask('GET', `/v1/transfers/${transferId}`, { token: small.token('alice') })
  expect(JSON.parse(body.toString())).toMatchObject({ state: 'refused', problem: { code: 'transfer-too-large' } })
})

test('a silent sender of a stream is refused after the upload timeout, and nothing is left', async () => {
  const hasty = await TestPortal.start({ uploadTimeoutMs: 300, sweepMs: 50 })
  const transferId = await hasty.announce(Buffer.alloc(0), { sizeBytes: null })
  await hasty.putPart(transferId, 1, full)
  const state = async () => (await hasty.operate((ledger) => ledger.transfer(transferId)))?.state
  await until(async () => (await state()) === 'refused', 'the stream was refused')
  const { body } = await hasty.ask('GET', `/v1/transfers/${transferId}`, { token: hasty.token('alice') })
  expect(JSON.parse(body.toString())).toMatchObject({ problem: { code: 'upload-timeout' }, parts: [] })
  await untilEmpty(hasty)
})

test('only a receiver that asks for streams is offered one early; a full part waits until the portal knows whether another follows', async () => {
  const transferId = await announce()
  expect((await offers(false)).map((one) => one.transferId)).not.toContain(transferId)
  const offer = (await offers(true)).find((one) => one.transferId === transferId)
  expect(offer).toMatchObject({ state: 'receiving', sizeBytes: 0, isSizeKnown: false })
  const fetchPart = (partNumber: number, waitSeconds = 0) =>
    portal.ask('GET', `/v1/inbox/${transferId}/parts/${partNumber}?lease=${offer?.leaseId}`, {
      token: portal.token('bob'),
      headers: { prefer: `wait=${waitSeconds}` },
    })
  await portal.putPart(transferId, 1, full)
  expect(refusalOf(await fetchPart(1)), 'perhaps the last').toBe('404 part-pending')
  const first = fetchPart(1, 25)
  const third = fetchPart(3, 25)
  const fourth = fetchPart(4, 25)
  await portal.putPart(transferId, 2, full)
  expect(await first).toMatchObject({
    status: 200,
    headers: { link: '<./2>; rel="next"', 'content-digest': contentDigest(full) },
  })
  expect(refusalOf(await fetchPart(2))).toBe('404 part-pending')
  await portal.putPart(transferId, 3, short)
  expect((await third).status).toBe(200)
  expect((await third).headers.link, 'the last').toBeUndefined()
  expect(refusalOf(await fourth)).toBe('404 part-unknown')
  expect((await fetchPart(2)).headers.link).toBe('<./3>; rel="next"')
  await complete(transferId, { sizeBytes: content.length })
  const path = `/v1/inbox/${transferId}?lease=${offer?.leaseId}`
  const now = JSON.parse((await portal.ask('GET', path, { token: portal.token('bob') })).body.toString())
  expect(now).toMatchObject({ state: 'stored', sizeBytes: content.length })
  expect(now).not.toHaveProperty('isSizeKnown')
  await cancel(transferId)
})

test('a receiver that waits for a full last part gets it once the stream is stored', async () => {
  const transferId = await announce()
  const offer = (await offers(true)).find((one) => one.transferId === transferId)
  const path = `/v1/inbox/${transferId}/parts/1?lease=${offer?.leaseId}`
  await portal.putPart(transferId, 1, full)
  const part = portal.ask('GET', path, { token: portal.token('bob'), headers: { prefer: 'wait=25' } })
  await complete(transferId, { sizeBytes: full.length, manifestDigest: manifestDigest(full) })
  expect((await part).headers.link).toBeUndefined()
  expect((await part).body.equals(full)).toBe(true)
  await cancel(transferId)
})
