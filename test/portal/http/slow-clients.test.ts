// @tier stress
/**
 * The portal disconnects a slow or stuck client within its time limit and releases what it held. Other clients notice nothing.
 * These tests last as long as the portal's time limits for headers and JSON bodies, so they run side by side.
 */
import { readdir, readlink } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../e2e/harness/world.ts'
import { allowedMs } from '../../suites/bounds.ts'
import { contentDigest, parseAnswer, partSizeBytes, readToEnd, refusalOf, TestPortal } from '../portal.ts'

const MIB = 1024 * 1024
const idleMs = 400
/** A part that exceeds the socket buffers of both ends. */
const large = { sizeBytes: 32 * MIB, partSizeBytes: 32 * MIB }

let portal: TestPortal
const ends: (() => Promise<void>)[] = []

beforeAll(async () => {
  portal = await TestPortal.start({ idleMs }, { onEnd: (end) => ends.push(end) })
})
afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

/** Sends a byte now and then until the other side closes the connection. @returns what that side answered */
async function dribble(socket: Socket, bytes: Buffer): Promise<Buffer> {
  const answer = readToEnd(socket)
  let at = 0
  const timer = setInterval(() => {
    if (socket.writable && at < bytes.length) socket.write(bytes.subarray(at, ++at))
  }, 100)
  try {
    return await answer
  } finally {
    clearInterval(timer)
  }
}

/** The portal serves other clients as usual. */
async function expectServing(): Promise<void> {
  const begunAtMs = performance.now()
  expect((await portal.ask('GET', '/v1/account', { token: portal.token('alice') })).status).toBe(200)
  expect(performance.now() - begunAtMs).toBeLessThan(allowedMs(2_000))
}

/** How many descriptors this process has open. Both ends of a connection belong to it, and both go when the connection closes. */
const openDescriptors = async (): Promise<number> => (await readdir('/proc/self/fd')).length

/** How many files of the store this process has open. */
async function openParts(): Promise<number> {
  const links = (await readdir('/proc/self/fd')).map((name) => readlink(join('/proc/self/fd', name)).catch(() => ''))
  return (await Promise.all(links)).filter((link) => link.startsWith(join(portal.dataFolder, 'store'))).length
}

describe.concurrent('within about ten seconds', () => {
  test('slow headers are cut', async ({ expect }) => {
    const request = portal.request('GET', '/v1/account', { headers: { 'x-long': 'x'.repeat(10_000) } })
    const sockets = await Promise.all(Array.from({ length: 50 }, () => portal.connect()))
    const answers = Promise.all(sockets.map((socket) => dribble(socket, request)))
    await expectServing()
    for (const answer of await answers) expect(refusalOf(parseAnswer(answer))).toBe('408 request-timeout')
  })

  test('a connection without a request is closed', async ({ expect }) => {
    const socket = await portal.connect()
    const answer = await readToEnd(socket)
    expect(answer.length === 0 || refusalOf(parseAnswer(answer)) === '408 request-timeout').toBe(true)
  })

  test('a slow JSON body is cut', async ({ expect }) => {
    const request = portal.request('POST', '/v1/join', { body: { invite: 'x'.repeat(4_000), token: 'y' } })
    const headEnd = request.indexOf('\r\n\r\n') + 4
    const sockets = await Promise.all(Array.from({ length: 20 }, () => portal.connect()))
    const answers = Promise.all(
      sockets.map((socket) => {
        socket.write(request.subarray(0, headEnd))
        return dribble(socket, request.subarray(headEnd))
      }),
    )
    await expectServing()
    for (const answer of await answers) expect(refusalOf(parseAnswer(answer))).toBe('408 request-timeout')
  })

  test('a slow body for an unknown path is cut too', async ({ expect }) => {
    const socket = await portal.connect()
    socket.write('POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n')
    expect(refusalOf(parseAnswer(await dribble(socket, Buffer.alloc(60_000, ' '))))).toMatch(/^4/)
  })
})

describe('within the idle timeout', () => {
  test('parts that stall are cut, nothing of them is kept, and the upload can continue', async () => {
    const content = Buffer.alloc(2 * partSizeBytes, 'stalling ')
    const part = content.subarray(0, partSizeBytes)
    const transferId = await portal.announce(content)
    const request = portal.request('PUT', `/v1/transfers/${transferId}/parts/1`, {
      token: portal.token('alice'),
      headers: { 'content-digest': contentDigest(part) },
      body: part,
    })
    const sockets = await Promise.all(Array.from({ length: 30 }, () => portal.connect()))
    const cut = Promise.all(
      sockets.map((socket) => {
        socket.write(request.subarray(0, request.length / 2))
        return readToEnd(socket)
      }),
    )
    await until(async () => (await openParts()) === sockets.length, 'all of them are being taken in')
    await expectServing()
    await cut
    await until(async () => (await openParts()) === 0, 'all of them are closed')
    const shard = join(portal.dataFolder, 'store', transferId.slice(-2), transferId)
    await until(async () => (await readdir(shard)).length === 0, 'nothing of them lies in the store')
    expect((await portal.putPart(transferId, 1, part)).status).toBe(204)
  })

  test('downloads that the client does not read are cut, and their files closed', async () => {
    const content = Buffer.alloc(large.sizeBytes, 'nobody reads this ')
    const transferId = await portal.announce(content, large)
    const put = await portal.putPart(transferId, 1, content)
    expect(put.status).toBe(204)
    const { leaseId } = await portal.offerOf(transferId)
    const path = `/v1/inbox/${transferId}/parts/1?lease=${leaseId}`
    // The portal serves a part that has just arrived from memory, once.
    await portal.ask('GET', path, { token: portal.token('bob') })
    const sockets = await Promise.all(Array.from({ length: 10 }, () => portal.connect()))
    for (const socket of sockets) {
      socket.pause()
      socket.write(portal.request('GET', path, { token: portal.token('bob') }))
    }
    await until(async () => (await openParts()) === sockets.length, 'all of them are being handed out')
    await expectServing()
    await until(async () => (await openParts()) === 0, 'all of them are closed')
    for (const socket of sockets) socket.destroy()
  })

  test('a download that is read slowly is not cut', async () => {
    const content = Buffer.alloc(large.sizeBytes, 'a client reads this ')
    const transferId = await portal.announce(content, large)
    await portal.putPart(transferId, 1, content)
    const { leaseId } = await portal.offerOf(transferId)
    const socket = await portal.connect()
    socket.write(
      portal.request('GET', `/v1/inbox/${transferId}/parts/1?lease=${leaseId}`, { token: portal.token('bob') }),
    )
    const gathered: Buffer[] = []
    const timer = setInterval(() => {
      socket.resume()
      setTimeout(() => socket.pause(), 5)
    }, idleMs / 4)
    socket.on('data', (bytes: Buffer) => gathered.push(bytes))
    await new Promise((resolve) => socket.once('close', resolve))
    clearInterval(timer)
    expect(parseAnswer(Buffer.concat(gathered)).body.equals(content)).toBe(true)
  })

  test('receivers that disconnect leave nothing behind', async () => {
    const before = await openDescriptors()
    const inboxes = async (): Promise<number> => {
      const { body } = await portal.ask('GET', '/metrics')
      return Number(/^golooader_inboxes (\d+)$/m.exec(body.toString())?.[1])
    }
    const sockets = await Promise.all(Array.from({ length: 20 }, () => portal.connect()))
    for (const [index, socket] of sockets.entries()) {
      socket.resume()
      socket.write(portal.request('GET', `/v1/inbox?instance=instance-${index}`, { token: portal.token('carol') }))
    }
    await until(async () => (await inboxes()) === 20, 'all are connected')
    for (const socket of sockets) socket.destroy()
    await until(async () => (await inboxes()) === 0, 'all are gone')
    await until(async () => (await openDescriptors()) <= before, 'everything they held is released')
  })
})
