/** A receiver fetches parts, or ranges of them (RFC 9110 section 14), and can verify what it received. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../e2e/harness/world.ts'
import { contentDigest, instance, parseAnswer, partSizeBytes, refusalOf, sha256, TestPortal } from '../portal.ts'

const content = Buffer.from(Array.from({ length: partSizeBytes + 10 }, (_, index) => index % 251))
const part = content.subarray(0, partSizeBytes)
const etag = `"${sha256(part)}"`

let portal: TestPortal
let bob: string
let path: string
const ends: (() => Promise<void>)[] = []

beforeAll(async () => {
  portal = await TestPortal.start({}, { onEnd: (end) => ends.push(end) })
  bob = portal.token('bob')
})
afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

async function offered(): Promise<string> {
  const transferId = await portal.store(content)
  const { leaseId } = await portal.offerOf(transferId)
  return `/v1/inbox/${transferId}/parts/1?lease=${leaseId}`
}

test('a complete part has its digest, its length and a strong entity tag', async () => {
  path = await offered()
  const { status, headers, body } = await portal.ask('GET', path, { token: bob })
  expect(status).toBe(200)
  expect(body.equals(part)).toBe(true)
  expect(headers).toMatchObject({
    'content-digest': contentDigest(part),
    'content-length': String(part.length),
    'content-type': 'application/octet-stream',
    'accept-ranges': 'bytes',
    'cache-control': 'no-store',
    etag,
  })
})

test.each([
  ['bytes=0-0', 0, 0],
  ['bytes=0-99', 0, 99],
  ['bytes=1000-1999', 1000, 1999],
  [`bytes=${partSizeBytes - 1}-`, partSizeBytes - 1, partSizeBytes - 1],
  ['bytes=65000-999999999', 65000, partSizeBytes - 1],
  ['bytes=-100', partSizeBytes - 100, partSizeBytes - 1],
  ['bytes=-999999999', 0, partSizeBytes - 1],
])('the range %s returns exactly these bytes', async (range, first, last) => {
  for (const condition of [{}, { 'if-range': etag }]) {
    const { status, headers, body } = await portal.ask('GET', path, { token: bob, headers: { range, ...condition } })
    expect(status).toBe(206)
    expect(body.equals(part.subarray(first, last + 1))).toBe(true)
    expect(headers['content-range']).toBe(`bytes ${first}-${last}/${partSizeBytes}`)
    // A Content-Digest would cover the bytes of the range alone (RFC 9530 section 2).
    expect(headers['content-digest']).toBeUndefined()
    expect(headers['repr-digest']).toBe(contentDigest(part))
  }
})

test.each([
  ['beyond the end', `bytes=${partSizeBytes}-`],
  ['beyond the end, to an end', `bytes=${partSizeBytes}-${partSizeBytes + 5}`],
  ['of nothing', 'bytes=-0'],
  ['of huge numbers', `bytes=${'9'.repeat(30)}-`],
])('a range %s gets 416 with the length of the part', async (_what, range) => {
  for (const condition of [{}, { 'if-range': etag }]) {
    const answer = await portal.ask('GET', path, { token: bob, headers: { range, ...condition } })
    expect(refusalOf(answer)).toBe('416 range-unsatisfiable')
    expect(answer.headers['content-range']).toBe(`bytes */${partSizeBytes}`)
  }
  // RFC 9110 section 13.1.5: the server ignores the range when the entity tag differs.
  const changed = await portal.ask('GET', path, { token: bob, headers: { range, 'if-range': '"another"' } })
  expect(changed.status).toBe(200)
})

test.each([
  ['that ends before it begins', { range: 'bytes=10-5' }],
  ['without numbers', { range: 'bytes=-' }],
  ['of several', { range: 'bytes=0-1,4-5' }],
  ['in another unit', { range: 'lines=1-2' }],
  ['that is garbage', { range: 'bytes=a-b' }],
  ['of what it was before', { range: 'bytes=0-9', 'if-range': '"something else"' }],
  ['with a weak entity tag', { range: 'bytes=0-9', 'if-range': `W/${etag}` }],
  ['with a date', { range: 'bytes=0-9', 'if-range': 'Wed, 21 Oct 2015 07:28:00 GMT' }],
])('a range %s is ignored, and the whole part is sent', async (_what, headers: Record<string, string>) => {
  const answer = await portal.ask('GET', path, { token: bob, headers })
  expect(answer.status).toBe(200)
  expect(answer.body.equals(part)).toBe(true)
  expect(answer.headers['content-digest']).toBe(contentDigest(part))
})

test('HEAD returns the headers of GET, without the bytes', async () => {
  const answer = await portal.raw(portal.request('HEAD', path, { token: bob }))
  const { status, headers, body } = parseAnswer(answer, 'HEAD')
  expect(status).toBe(200)
  expect(headers).toMatchObject({ 'content-length': String(part.length), etag })
  expect(body.length).toBe(0)
})

test('HEAD of an event stream ends, and takes no offer', async () => {
  const transferId = await portal.store(content)
  for (const events of [`/v1/inbox?instance=${instance}`, '/v1/events', `/v1/transfers/${transferId}/events`]) {
    const ask = { token: portal.token(events.startsWith('/v1/inbox') ? 'bob' : 'alice') }
    await portal.raw(portal.request('HEAD', events, { ...ask, headers: { accept: 'text/event-stream' } }))
  }
  const { deliveries } = await portal.client('alice').transfer(transferId)
  expect(deliveries).toMatchObject([{ state: 'waiting', offers: 0 }])
})

test('a part that does not exist is refused; one that has not arrived is answered with "later"', async () => {
  const transferId = await portal.announce(content)
  const { leaseId } = await portal.offerOf(transferId)
  const partPath = (number: number): string => `/v1/inbox/${transferId}/parts/${number}?lease=${leaseId}`
  expect(refusalOf(await portal.ask('GET', partPath(3), { token: bob }))).toBe('404 part-unknown')
  const pending = await portal.ask('GET', partPath(2), { token: bob })
  expect(refusalOf(pending)).toBe('404 part-pending')
  expect(Number(pending.headers['retry-after'])).toBeGreaterThan(0)
})

test('a request for a part that has not arrived is held until it does', async () => {
  const transferId = await portal.announce(content)
  const { leaseId } = await portal.offerOf(transferId)
  const held = portal.ask('GET', `/v1/inbox/${transferId}/parts/1?lease=${leaseId}`, {
    token: bob,
    headers: { prefer: 'respond-async, wait=20' },
  })
  // The receiver gets the part, whether it asks before or after the part arrives.
  await portal.putPart(transferId, 1, part)
  expect((await held).body.equals(part)).toBe(true)
})

test('no file can be received before it is stored', async () => {
  const transferId = await portal.announce(content)
  const { leaseId, state, manifestDigest } = await portal.offerOf(transferId)
  expect({ state, manifestDigest }).toEqual({ state: 'receiving', manifestDigest: null })
  const body = { leaseId, disposition: 'received', manifestDigest: '0'.repeat(64) }
  const answer = await portal.ask('POST', `/v1/inbox/${transferId}/disposition`, { token: bob, body })
  expect(refusalOf(answer)).toBe('400 request-invalid')
})

test('a receiver cannot report more bytes than the file has', async () => {
  const transferId = await portal.store(content)
  const { leaseId } = await portal.offerOf(transferId)
  const lied = `/v1/inbox/${transferId}?lease=${leaseId}&held=9007199254740993`
  expect((await portal.ask('GET', lied, { token: bob })).status).toBe(200)
  const { deliveries } = await portal.client('alice').transfer(transferId)
  expect(deliveries[0]?.fetchedBytes).toBeLessThanOrEqual(partSizeBytes + 10)
})

test('the progress that a receiver reports reaches the sender, also right after a renewal of its lease', async () => {
  const transferId = await portal.store(content)
  const { leaseId } = await portal.offerOf(transferId)
  const held = async (bytes: number) => {
    const answer = await portal.ask('GET', `/v1/inbox/${transferId}?lease=${leaseId}&held=${bytes}`, { token: bob })
    expect(answer.status).toBe(200)
  }
  const shown = async () => (await portal.client('alice').transfer(transferId)).deliveries[0]?.fetchedBytes
  for (const bytes of [100, partSizeBytes, content.length, 5]) {
    await held(0)
    await held(bytes)
    await until(async () => (await shown()) === bytes, `the status shows ${bytes}`)
  }
})
