/**
 * Unauthenticated clients, and clients that read no answers, use little of the portal. Other clients are not affected.
 */
import type { Socket } from 'node:net'
import { expect, onTestFinished, test, vi } from 'vitest'
import { newTransferId } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { announcement, refusalOf, TestPortal } from '../portal.ts'

/** The portal waits for seconds for a body that never arrives. */
const UNFINISHED = { 'content-type': 'application/json', 'content-length': '100' }

async function figure(portal: TestPortal, name: string): Promise<number> {
  const { body } = await portal.ask('GET', '/metrics')
  const line = body
    .toString()
    .split('\n')
    .find((one) => one.startsWith(`${name} `))
  return Number(line?.split(' ').at(-1) ?? 0)
}

/** Sends all requests at once over one connection, and reads no answer. */
async function pour(portal: TestPortal, requests: readonly Buffer[]): Promise<Socket> {
  const socket = await portal.connect()
  onTestFinished(() => void socket.destroy())
  socket.pause()
  socket.write(Buffer.concat(requests))
  return socket
}

function closed(socket: Socket): Promise<unknown> {
  return socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once('close', resolve))
}

const keepAlive = { connection: 'keep-alive' }

test('a pipelined request begins once the answer before it has been sent', async () => {
  const portal = await TestPortal.start()
  const token = portal.token('alice')
  const stream = portal.request('GET', '/v1/events', { token, headers: { ...keepAlive, accept: 'text/event-stream' } })
  const limits = portal.request('GET', '/v1/limits', { headers: keepAlive })
  const announcing = (transferId: string) =>
    portal.request('PUT', `/v1/transfers/${transferId}`, { token, headers: keepAlive, body: announcement(5) })
  const [before, behind] = [newTransferId(), newTransferId()]
  const socket = await pour(portal, [limits, announcing(before), stream, announcing(behind), limits])
  let text = ''
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1')
  })
  socket.resume()
  await until(() => text.includes('event: current'), 'the stream has begun')
  // The portal serves other clients meanwhile, and has not begun the requests that wait behind a stream.
  await portal.announce(Buffer.alloc(5))
  const { transfers } = await portal.client('alice').transfers()
  expect(transfers.map(({ transferId }) => transferId)).toContain(before)
  expect(transfers.map(({ transferId }) => transferId)).not.toContain(behind)
})

test('pipelined requests are answered in order', async () => {
  const portal = await TestPortal.start()
  const paths = ['/v1/limits', '/healthz', '/nothing', '/openapi.json', '/readyz', '/metrics', '/v1/account']
  const token = portal.token('alice')
  const requests = paths.map((path) => portal.request('GET', path, { token, headers: keepAlive }))
  const socket = await pour(portal, [...requests, portal.request('GET', '/healthz')])
  let text = ''
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1')
  })
  socket.resume()
  await closed(socket)
  expect([...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status)).toEqual([
    '200',
    '200',
    '404',
    '200',
    '200',
    '200',
    '200',
    '200',
  ])
})

test('a connection with too many waiting requests is closed, and few of them were processed', async () => {
  const portal = await TestPortal.start({ pipelinedRequestsMax: 8 })
  const ask = portal.request('GET', '/openapi.json', { headers: keepAlive })
  const socket = await pour(
    portal,
    Array.from({ length: 40 }, () => ask),
  )
  socket.resume()
  await closed(socket)
  const route = 'golooader_requests_total{method="GET",route="/openapi.json"}'
  expect(await figure(portal, route)).toBeLessThanOrEqual(9)
  // The portal answers a client whose waiting requests stay within the limit.
  const other = await pour(
    portal,
    Array.from({ length: 9 }, () => ask),
  )
  let text = ''
  other.on('data', (bytes) => {
    text += bytes.toString('latin1')
  })
  other.resume()
  await until(() => text.match(/HTTP\/1\.1 200/g)?.length === 9, 'all are answered')
})

test('a connection with too many waiting bytes is closed, because they are held in memory', async () => {
  const portal = await TestPortal.start()
  const token = portal.token('alice')
  const stream = portal.request('GET', '/v1/events', { token, headers: { ...keepAlive, accept: 'text/event-stream' } })
  // The portal buffers this request until the earlier ones are over.
  const large = portal.request('PUT', `/v1/transfers/${newTransferId()}`, {
    token,
    headers: { ...keepAlive, 'content-type': 'application/json' },
    body: Buffer.alloc(60_000, ' '),
  })
  const socket = await pour(portal, [stream, ...Array.from({ length: 8 }, () => large)])
  socket.resume()
  await closed(socket)
  const route = 'golooader_requests_total{method="PUT",route="/v1/transfers/:transferId"}'
  expect(await figure(portal, route)).toBe(0)
  // A few large requests may wait, and so may many small ones.
  for (const asked of [[large, large, large], Array.from({ length: 32 }, () => stream)]) {
    const other = await pour(portal, [stream, ...asked])
    let text = ''
    other.on('data', (bytes) => {
      text += bytes.toString('latin1')
    })
    other.resume()
    await until(() => text.includes('event: current'), 'the stream has begun')
    await portal.announce(Buffer.alloc(5))
    expect(other.destroyed).toBe(false)
  }
})

test('the OpenAPI description is serialised once, however often clients request it', async () => {
  const portal = await TestPortal.start()
  const written = vi.spyOn(JSON, 'stringify')
  onTestFinished(() => written.mockRestore())
  const answers = await Promise.all(Array.from({ length: 12 }, () => portal.ask('GET', '/openapi.json')))
  const isDescription = (given: unknown) => typeof given === 'object' && given !== null && 'openapi' in given
  expect(written.mock.calls.filter(([given]) => isDescription(given))).toHaveLength(1)
  for (const { body } of answers) expect(body.equals(answers[0]?.body ?? Buffer.alloc(0))).toBe(true)
})

test('an account with many pipelined requests counts with one request, and is free again afterwards', async () => {
  const portal = await TestPortal.start({ accountConnectionsMax: 2 })
  const token = portal.token('alice')
  const headers = { ...keepAlive, accept: 'text/event-stream' }
  const stream = portal.request('GET', '/v1/events', { token, headers })
  for (let round = 0; round < 3; round++) {
    const socket = await pour(
      portal,
      Array.from({ length: 10 }, () => stream),
    )
    await until(async () => (await portal.ask('GET', '/v1/account', { token })).status === 200, 'there is room')
    socket.destroy()
  }
  await until(async () => (await portal.ask('GET', '/v1/account', { token })).status === 200, 'there is room')
})

test('unauthenticated clients of one address, and all together, are limited; accounts and health checks are not affected', async () => {
  const portal = await TestPortal.start({
    trustedProxies: ['127.0.0.1'],
    addressStrangerRequestsMax: 4,
    strangerRequestsMax: 6,
  })
  const from = (address: string) => ({ 'x-forwarded-for': address })
  const [one, two, three] = ['192.0.2.1', '2001:db8::1', '2001:db8:0:1::1'] as const
  const hold = async (address: string): Promise<Socket> => {
    const socket = await portal.connect()
    onTestFinished(() => void socket.destroy())
    socket.write(portal.request('POST', '/v1/join', { headers: { ...UNFINISHED, ...from(address) } }))
    return socket
  }
  const document = async (address: string) => portal.ask('GET', '/openapi.json', { headers: from(address) })
  const held = await Promise.all(Array.from({ length: 4 }, () => hold(one)))
  await until(async () => (await document(one)).status === 429, 'that address has all that it gets')
  const refused = await document(one)
  expect(refusalOf(refused)).toBe('429 rate-limited')
  expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1)
  expect((await document(two)).status).toBe(200)
  // The portal counts the network of one IPv6 customer as one address.
  held.push(await hold(two), await hold('2001:db8::2'))
  await until(async () => (await document(three)).status === 503, 'strangers have all that they get')
  expect(refusalOf(await document(three))).toBe('503 unavailable')
  for (const path of ['/', '/metrics']) {
    expect((await portal.ask('GET', path, { headers: from(three) })).status).toBe(503)
  }
  // Senders and receivers ask for the limits first, so these requests stay possible.
  for (const path of ['/healthz', '/readyz', '/v1/limits']) {
    expect((await portal.ask('GET', path, { headers: from(one) })).status).toBe(200)
  }
  const token = portal.token('alice')
  expect((await portal.ask('GET', '/v1/account', { token, headers: from(one) })).status).toBe(200)
  for (const socket of held) socket.destroy()
  await until(async () => (await document(one)).status === 200, 'what they held is free again')
})
