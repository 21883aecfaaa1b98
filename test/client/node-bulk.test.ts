/** Large answers over real connections, read into reused memory. Answers in another form are read by Node's client. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as passed } from 'node:timers/promises'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { releaseBuffer } from '../../src/buffers/index.ts'
import { BulkHttp, NotPlainError } from '../../src/client/node-bulk.ts'
import { NodeHttp } from '../../src/client/node-http.ts'
import { wayOf } from '../../src/client/node-transport.ts'
import { Authority } from '../e2e/tls/authority.ts'
import { testFolder } from '../suites/folder.ts'
import { httpServer } from '../suites/http-server.ts'
import { randomBytes, randomInt } from '../suites/random.ts'

const TIMES = { connectMs: 5_000, keepAliveMs: 5_000 }
const DIRECT = wayOf('http://localhost', { proxies: false })
const MIB = 1024 * 1024

/** A server whose bytes the test writes. @param answer called with the socket for each received head */
async function rawServer(answer: (socket: Socket, head: string) => void): Promise<{ url: URL; sockets: Socket[] }> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.on('data', (head) => answer(socket, String(head)))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/part?lease=1`), sockets }
}

function bulkHttp(): BulkHttp {
  const http = new BulkHttp(TIMES)
  onTestFinished(() => http.close())
  return http
}

/** The signal of the running test. */
let signal: AbortSignal
beforeEach(() => {
  signal = AbortSignal.timeout(60_000)
})

/** Reads like a receiver, which releases each buffer at once. */
async function contentOf(body: AsyncIterable<Uint8Array>): Promise<{ content: Buffer; buffers: Set<ArrayBufferLike> }> {
  const slices: Buffer[] = []
  const buffers = new Set<ArrayBufferLike>()
  for await (const slice of body) {
    slices.push(Buffer.from(slice))
    buffers.add(slice.buffer)
    releaseBuffer(slice)
  }
  return { content: Buffer.concat(slices), buffers }
}

test('answers arrive complete, one after another over one connection, in reused memory', async () => {
  const contents = Array.from({ length: 12 }, () => randomBytes(MIB + randomInt(2 * MIB)))
  let count = 0
  const { url, sockets } = await httpServer((_, response) => void response.end(contents[count++]))
  const http = bulkHttp()
  const used = new Set<ArrayBufferLike>()
  for (const content of contents) {
    const { status, body } = await http.get(new URL(url), { headers: { prefer: 'wait=1' }, signal })
    expect(status).toBe(200)
    const read = await contentOf(body)
    expect(read.content.equals(content)).toBe(true)
    for (const one of read.buffers) used.add(one)
  }
  expect(sockets.length).toBe(1)
  expect(used.size * 512 * 1024).toBeLessThan(8 * MIB)
})

test('a head and a body in the smallest slices, after interim answers, are parsed correctly', async () => {
  const content = randomBytes(300)
  const { url } = await rawServer(async (socket) => {
    const answer = `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 300\r\nETag:  "x" \r\n\r\n`
    for (const byte of Buffer.concat([Buffer.from(answer), content])) {
      socket.write(Buffer.of(byte))
      if (randomInt(4) === 0) await passed(1)
    }
  })
  const { status, headers, body } = await bulkHttp().get(url, { headers: {}, signal })
  expect([status, headers.get('etag')]).toEqual([200, '"x"'])
  expect((await contentOf(body)).content.equals(content)).toBe(true)
})

test('an answer that has arrived before it is read leaves its connection open for the next', async () => {
  const { url, sockets } = await rawServer(async (socket) => {
    socket.setNoDelay(true)
    for (const text of ['HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n', ...'four']) {
      socket.write(text)
      await passed(30)
    }
  })
  const http = bulkHttp()
  for (let count = 0; count < 3; count++) {
    const { body } = await http.get(url, { headers: {}, signal })
    await passed(500)
    expect(String(await buffer(body))).toBe('four')
  }
  expect(sockets.length).toBe(1)
})

test('the server gets the request as it was made', async () => {
  const { url } = await httpServer(({ method, url: path, headers }, response) =>
    response.end(JSON.stringify({ method, path, headers })),
  )
  const { body } = await bulkHttp().get(new URL(`${url}/a/b?c=d`), { headers: { authorization: 'Bearer t' }, signal })
  expect(JSON.parse(String(await buffer(body)))).toMatchObject({
    method: 'GET',
    path: '/a/b?c=d',
    headers: { authorization: 'Bearer t', host: new URL(url).host },
  })
  await expect(bulkHttp().get(new URL(url), { headers: { a: 'x\r\ny: z' }, signal })).rejects.toThrow(TypeError)
})

test('over TLS it works the same, and an untrusted server gets no request', async () => {
  const authority = await Authority.create(await testFolder())
  const { certPath, keyPath } = await authority.certify('portal', 1)
  const content = randomBytes(3 * MIB)
  let requests = 0
  const server = createTlsServer({ cert: await readFile(certPath), key: await readFile(keyPath) }, (_, response) => {
    requests++
    response.end(content)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  await expect(bulkHttp().get(url, { headers: {}, signal })).rejects.toThrow(/certificate/)
  expect(requests).toBe(0)
  const before = getCACertificates('default')
  onTestFinished(() => setDefaultCACertificates(before))
  setDefaultCACertificates([await readFile(authority.caPath, 'utf8')])
  const { body } = await bulkHttp().get(url, { headers: {}, signal })
  expect((await contentOf(body)).content.equals(content)).toBe(true)
})

test.each([true, false])(
  'a TLS handshake that never completes ends at the connect timeout (bulk: %s)',
  async (isBulk) => {
    const { url } = await rawServer(() => {})
    const http = new NodeHttp({ ...TIMES, ...DIRECT, connectMs: 200 })
    onTestFinished(() => http.close())
    url.protocol = 'https:'
    await expect(http.request(url, { method: 'GET', isBulk, signal })).rejects.toThrow('no connection within 200 ms')
  },
)

test('a slow reader applies back-pressure, and gets all of it later', async () => {
  const content = randomBytes(64 * MIB)
  const { url, sockets } = await httpServer((_, response) => void response.end(content))
  const { body } = await bulkHttp().get(new URL(url), { headers: {}, signal })
  body.once('data', () => body.pause())
  await expect.poll(() => sockets[0]?.bytesWritten).toBeGreaterThan(0)
  await passed(300)
  const before = body.leftBytes
  await passed(300)
  expect(body.leftBytes, 'nothing more comes').toBe(before)
  expect(before).toBeGreaterThan(32 * MIB)
  const read = await contentOf(body)
  expect(read.content.equals(content.subarray(-read.content.length))).toBe(true)
  expect(read.content.length).toBeGreaterThan(32 * MIB)
  expect(body.leftBytes).toBe(0)
})

test('an answer that breaks off breaks its body; without any answer the request fails', async () => {
  const { url } = await rawServer((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf'))
  const { body } = await bulkHttp().get(url, { headers: {}, signal })
  await expect(contentOf(body)).rejects.toThrow('the connection was closed before the end of the content')
  const mute = await rawServer((socket) => socket.end())
  await expect(bulkHttp().get(mute.url, { headers: {}, signal })).rejects.toThrow(
    'the connection was closed before an answer came',
  )
})

test('the signal ends a request, and an answer that has started', async () => {
  const { url, sockets } = await rawServer((socket, head) => {
    if (head.includes('/half')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf')
  })
  const http = bulkHttp()
  for (const path of ['/mute', '/half']) {
    const stop = new AbortController()
    const asking = http.get(new URL(path, url), { headers: {}, signal: stop.signal })
    if (path === '/mute') setTimeout(() => stop.abort(new Error('enough')), 50)
    else {
      const { body } = await asking
      setTimeout(() => stop.abort(new Error('enough')), 50)
      await expect(contentOf(body)).rejects.toThrow('enough')
    }
    if (path === '/mute') await expect(asking).rejects.toThrow('enough')
  }
  await expect.poll(() => sockets.every(({ destroyed }) => destroyed)).toBe(true)
})

const unusual: Record<string, string> = {
  chunked: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n',
  'with both lengths': 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n',
  'with two lengths': 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nbody',
  'without a length': 'HTTP/1.1 200 OK\r\n\r\nbody',
  'of HTTP/1.0': 'HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nbody',
  'with a folded field': 'HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 4\r\n\r\nbody',
  'with bare line feeds': `HTTP/1.1 200 OK\ncontent-length: 4\n\nbody${'\n'.repeat(17_000)}`,
  'with a length that is no number': 'HTTP/1.1 200 OK\r\ncontent-length: +4\r\n\r\nbody',
  'longer than it says': 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody and more',
  'with an endless head': `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(17_000)}\r\n`,
  'that switches protocols': 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n',
}

test.each(Object.entries(unusual))('an answer %s is rejected', async (_, answer) => {
  const { url } = await rawServer((socket) => socket.write(answer))
  await expect(bulkHttp().get(url, { headers: {}, signal })).rejects.toThrow(NotPlainError)
})

test("then Node's client makes the same request and those after it", async () => {
  let plain = 0
  const { url, sockets } = await httpServer((_, response) => {
    plain++
    response.write('body ')
    response.end('in chunks')
  })
  const http = new NodeHttp({ ...TIMES, ...DIRECT })
  onTestFinished(() => http.close())
  for (const wanted of [2, 3]) {
    const { body } = await http.request(new URL(url), { method: 'GET', isBulk: true, signal })
    expect(String(await buffer(body))).toBe('body in chunks')
    expect(plain).toBe(wanted)
  }
  expect(sockets.length).toBe(2)
})

test('a connection with unexpected bytes is not reused, nor one that is about to close', async () => {
  const { url, sockets } = await rawServer((socket, head) => {
    const closing = head.includes('/closing') ? 'connection: close\r\n' : ''
    socket.write(`HTTP/1.1 200 OK\r\n${closing}content-length: 4\r\n\r\nbody`)
    if (head.includes('/more')) setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil'), 20)
  })
  const http = bulkHttp()
  for (const path of ['/more', '/closing', '/plain', '/plain']) {
    const { body } = await http.get(new URL(path, url), { headers: {}, signal })
    expect(String(await buffer(body))).toBe('body')
    await passed(path === '/plain' ? 0 : 200)
  }
  expect(sockets.length).toBe(3)
})
