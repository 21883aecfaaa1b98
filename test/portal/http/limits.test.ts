// @tier stress
/** What one account, one unauthenticated client and one address may use, and the answers beyond that. */
import type { Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { invite } from '../../../src/portal/index.ts'
import { newInvite, newToken } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { type Answer, contentDigest, parseAnswer, partSizeBytes, readToEnd, refusalOf, TestPortal } from '../portal.ts'

const MIB = 1024 * 1024

function account(portal: TestPortal, name: string): Promise<Answer> {
  return portal.ask('GET', '/v1/account', { token: portal.token(name) })
}

/** How many open connections the portal reports, including the one that asks. */
async function connectionCount(portal: TestPortal): Promise<number> {
  const { body } = await portal.ask('GET', '/metrics')
  return Number(/^golooader_connections (\d+)/m.exec(body.toString())?.[1])
}

/** Opens an event stream that stays open until the test ends. */
async function holdStream(portal: TestPortal, name: string): Promise<Socket> {
  const socket = await portal.connect()
  onTestFinished(() => void socket.destroy())
  const headers = { accept: 'text/event-stream', connection: 'keep-alive' }
  socket.write(portal.request('GET', '/v1/events', { token: portal.token(name), headers }))
  await new Promise((resolve) => socket.once('data', resolve))
  return socket
}

test('an account that sends too many requests gets Retry-After; others are not affected', async () => {
  const portal = await TestPortal.start({ accountRequestsPerSecond: 5 })
  const answers = await Promise.all(Array.from({ length: 30 }, () => account(portal, 'alice')))
  const limited = answers.filter(({ status }) => status === 429)
  expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(10)
  expect(limited.length).toBeGreaterThanOrEqual(10)
  for (const answer of limited) {
    expect(refusalOf(answer)).toBe('429 rate-limited')
    expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
  }
  expect((await account(portal, 'bob')).status).toBe(200)
  await until(async () => (await account(portal, 'alice')).status === 200, 'the account is served again')
})

test('an account has a limited number of concurrent requests; finished ones free their slots', async () => {
  const portal = await TestPortal.start({ accountConnectionsMax: 3 })
  const streams = await Promise.all([1, 2, 3].map(() => holdStream(portal, 'alice')))
  const answer = await account(portal, 'alice')
  expect(refusalOf(answer)).toBe('429 too-many-connections')
  expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
  expect((await account(portal, 'bob')).status).toBe(200)
  streams[0]?.destroy()
  await until(async () => (await account(portal, 'alice')).status === 200, 'there is room again')
})

test('an address that guesses tokens or invites is slowed down; a valid token from the same address is not', async () => {
  const portal = await TestPortal.start({ addressFailuresPerMinute: 5 })
  const guess = () => portal.ask('GET', '/v1/account', { token: newToken() })
  const join = () => portal.ask('POST', '/v1/join', { body: { invite: newInvite(), token: newToken() } })
  const answers: Answer[] = []
  for (let tries = 0; tries < 4; tries++) answers.push(await guess(), await join())
  expect(answers.map(refusalOf).slice(0, 4)).toEqual([
    '401 credentials-invalid',
    '404 invite-invalid',
    '401 credentials-invalid',
    '404 invite-invalid',
  ])
  for (const answer of answers.slice(-2)) {
    expect(refusalOf(answer)).toBe('429 rate-limited')
    expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
  }
  expect((await account(portal, 'alice')).status).toBe(200)
})

test('a connection above the limit is refused, and a closed one frees its slot', async () => {
  const portal = await TestPortal.start({ connectionsMax: 4 })
  const idle = await Promise.all([1, 2, 3, 4].map(() => portal.connect()))
  const answer = await account(portal, 'alice')
  expect(refusalOf(answer)).toBe('503 unavailable')
  expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1)
  for (const socket of idle) socket.destroy()
  await until(async () => (await account(portal, 'alice')).status === 200, 'there is room again')
})

test('the number of open invites is limited', async () => {
  const portal = await TestPortal.start()
  await portal.operate(async (ledger) => {
    await invite(ledger, 'dora', 60_000, { openMax: 2 })
    await invite(ledger, 'eve', 60_000, { openMax: 2 })
    await expect(invite(ledger, 'flo', 60_000, { openMax: 2 })).rejects.toMatchObject({
      code: 'too-many-invites',
      status: 429,
    })
  })
})

test('lack of space says when to try again; a file that never fits gets the limit instead', async () => {
  const portal = await TestPortal.start({ accountBytesMax: 3 * MIB, storageBytesMax: 2 * MIB })
  const announced = (digit: number, sizeBytes: number) =>
    portal.ask('PUT', `/v1/transfers/01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2${digit}`, {
      token: portal.token('alice'),
      body: { to: ['bob'], metadata: { name: 'a' }, sizeBytes, partSizeBytes, digestAlgorithm: 'sha-256' },
    })
  expect((await announced(1, MIB)).status).toBe(201)
  const passing = await announced(2, 2 * MIB)
  expect(refusalOf(passing)).toBe('507 storage-full')
  expect(Number(passing.headers['retry-after'])).toBeGreaterThanOrEqual(1)
  expect(JSON.parse(String(passing.body))).not.toHaveProperty('limitBytes')
  const tooLarge = 2 * MIB + 1
  const final = await announced(3, tooLarge)
  expect(refusalOf(final)).toBe('507 storage-full')
  expect(final.headers['retry-after']).toBeUndefined()
  const problem = { neededBytes: tooLarge, freeBytes: MIB, limitBytes: 2 * MIB }
  expect(JSON.parse(String(final.body))).toMatchObject(problem)
})

test('a sender below the minimum rate is cut off, and nothing of the part is kept', async () => {
  const portal = await TestPortal.start({ minBytesPerSecond: 10_000, minThroughputWindowMs: 300, idleMs: 10_000 })
  const content = Buffer.alloc(partSizeBytes, 1)
  const transferId = await portal.announce(content)
  const socket = await portal.connect()
  const request = portal.request('PUT', `/v1/transfers/${transferId}/parts/1`, {
    token: portal.token('alice'),
    headers: { 'content-digest': contentDigest(content) },
    body: content,
  })
  const head = request.length - content.length
  socket.write(request.subarray(0, head))
  let at = head
  const timer = setInterval(() => socket.write(request.subarray(at, ++at)), 20)
  await readToEnd(socket)
  clearInterval(timer)
  expect(at - head, 'long before all of it was sent').toBeLessThan(content.length / 100)
  expect((await portal.putPart(transferId, 1, content)).status).toBe(204)
})

test('a sender that is slow, but above the minimum rate, is not cut', async () => {
  const portal = await TestPortal.start({ minBytesPerSecond: 10_000, minThroughputWindowMs: 300 })
  const content = Buffer.alloc(partSizeBytes, 1)
  const transferId = await portal.announce(content)
  const socket = await portal.connect()
  const request = portal.request('PUT', `/v1/transfers/${transferId}/parts/1`, {
    token: portal.token('alice'),
    headers: { 'content-digest': contentDigest(content) },
    body: content,
  })
  let at = 0
  const timer = setInterval(() => {
    socket.write(request.subarray(at, at + 2_000))
    at += 2_000
  }, 50)
  const answer = await readToEnd(socket)
  clearInterval(timer)
  expect(parseAnswer(answer, 'PUT').status).toBe(204)
})

test('a receiver below the minimum rate is cut off', async () => {
  const portal = await TestPortal.start({ minBytesPerSecond: 500_000, minThroughputWindowMs: 300, idleMs: 10_000 })
  // More than all socket buffers together hold.
  const size = { sizeBytes: 32 * MIB, partSizeBytes: 32 * MIB }
  const content = Buffer.alloc(size.sizeBytes, 1)
  const transferId = await portal.announce(content, size)
  await portal.putPart(transferId, 1, content)
  const offer = await portal.offerOf(transferId)
  const socket = await portal.connect()
  socket.write(
    portal.request('GET', `/v1/inbox/${transferId}/parts/1?lease=${offer.leaseId}`, { token: portal.token('bob') }),
  )
  let gotBytes = 0
  const timer = setInterval(() => {
    gotBytes += (socket.read(1_000) as Buffer | null)?.length ?? 0
  }, 20)
  onTestFinished(() => clearInterval(timer))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  await until(async () => (await connectionCount(portal)) <= 1, 'the portal has let go of it')
  socket.destroy()
  await closed
  expect(gotBytes).toBeLessThan(content.length)
})
