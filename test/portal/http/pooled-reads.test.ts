/**
 * A server that reads bodies into reused memory is, to its clients, any other server. The same holds where Node lacks what that needs: the
 * connections are then read as Node reads them.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { releaseBuffer } from '../../../src/buffers/index.ts'
import { PooledServer, poolBody } from '../../../src/portal/http/pooled-reads.ts'
import { until } from '../../e2e/harness/world.ts'

const MIB = 1024 * 1024
const SLAB_BYTES = MIB

interface Handle {
  reading: unknown
  _consumed: unknown
}

const handleOf = (socket: unknown): Handle => (socket as { _handle: Handle })._handle

/** As where a handle is not what it is today. */
class OtherHandles extends PooledServer {
  override emit(event: string, ...args: unknown[]): boolean {
    if (event === 'connection') handleOf(args[0]).reading = 1
    return super.emit(event, ...args)
  }
}

/** As where the parser reads from every handle itself. */
class ParserReads extends PooledServer {
  constructor(listener: RequestListener) {
    super({}, listener)
    this.prependListener('connection', (socket: Socket) => {
      handleOf(socket)._consumed = false
    })
  }
}

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function listening(server: PooledServer): Promise<() => Promise<Socket>> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  ends.push(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return async () => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {})
    ends.push(async () => socket.destroy())
    await once(socket, 'connect')
    return socket
  }
}

const head = (lengthBytes: number, more = ''): string =>
  `PUT /part HTTP/1.1\r\nHost: here\r\nContent-Length: ${lengthBytes}\r\n${more}\r\n`

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** The answers' bodies, as lines. */
function linesOf(socket: Socket, count: number): Promise<string[]> {
  let text = ''
  return new Promise((resolve, reject) => {
    socket.on('data', (data) => {
      text += String(data)
      const lines = [...text.matchAll(/^> (.*)$/gm)].map(([, line]) => String(line))
      if (lines.length >= count) resolve(lines)
    })
    socket.once('close', () => reject(new Error(`closed after: ${text}`)))
  })
}

const answer = (response: ServerResponse, line: string): void => void response.end(`> ${line}\n`)

/** What a reader of bodies saw. */
interface Seen {
  slabBytes: number
  ownBytes: number
}

/** Answers with the digest of each body, which it reads after a turn of the event loop, and releases what it has read. */
function hashing(seen: Seen): RequestListener {
  return async (request, response) => {
    await new Promise((resolve) => setImmediate(resolve))
    const hash = createHash('sha256')
    poolBody(request).on('data', (bytes: Buffer) => {
      hash.update(bytes)
      if (bytes.buffer.byteLength > SLAB_BYTES) seen.slabBytes += bytes.length
      else seen.ownBytes += bytes.length
      releaseBuffer(bytes)
    })
    request.once('end', () => answer(response, hash.digest('hex')))
  }
}

const servers: Record<string, { isPooled: boolean; make: (listener: RequestListener) => PooledServer }> = {
  'into reused memory': { isPooled: true, make: (listener) => new PooledServer(listener) },
  'where a handle is unknown': { isPooled: false, make: (listener) => new OtherHandles(listener) },
  'where the parser reads by itself': { isPooled: false, make: (listener) => new ParserReads(listener) },
}

describe.each(Object.entries(servers))('%s', (_name, { isPooled, make }) => {
  test('bodies of one connection arrive as they were sent, and so do the requests behind them', async () => {
    const seen: Seen = { slabBytes: 0, ownBytes: 0 }
    const client = await (await listening(make(hashing(seen))))()
    const bodies = [randomBytes(5 * MIB + 1), randomBytes(10), Buffer.alloc(0), randomBytes(MIB), randomBytes(8 * MIB)]
    const lines = linesOf(client, bodies.length)
    // All at once: the end of a body and the next head travel together.
    client.write(Buffer.concat(bodies.flatMap((body) => [Buffer.from(head(body.length)), body])))
    expect(await lines).toEqual(bodies.map(digestOf))
    const allBytes = bodies.reduce((sum, { length }) => sum + length, 0)
    expect(seen.slabBytes + seen.ownBytes).toBe(allBytes)
    if (isPooled) expect(seen.slabBytes).toBeGreaterThan(allBytes / 2)
    else expect(seen.slabBytes).toBe(0)
  })

  test('a body that comes in little pieces arrives as it was sent', async () => {
    const client = await (await listening(make(hashing({ slabBytes: 0, ownBytes: 0 }))))()
    const body = randomBytes(300_000)
    const lines = linesOf(client, 1)
    const bytes = Buffer.concat([Buffer.from(head(body.length)), body])
    for (let at = 0, step = 1; at < bytes.length; at += step, step = (step * 7) % 9973) {
      await new Promise((resolve) => client.write(bytes.subarray(at, at + step), resolve))
    }
    expect(await lines).toEqual([digestOf(body)])
  })

  test('a reader that pauses makes its client wait, and gets the rest later', async () => {
    const requests: IncomingMessage[] = []
    const hash = createHash('sha256')
    const server = make((request, response) => {
      requests.push(poolBody(request))
      request.once('data', (bytes) => {
        hash.update(bytes)
        request.pause()
      })
      request.once('end', () => answer(response, hash.digest('hex')))
    })
    const client = await (await listening(server))()
    const body = randomBytes(64 * MIB)
    const lines = linesOf(client, 1)
    client.write(head(body.length))
    let hasLeft = false
    client.write(body, () => (hasLeft = true))
    await until(async () => requests[0]?.readableFlowing === false, 'the reader pauses')
    // Until nothing more moves.
    for (let before = -1; before !== client.bytesWritten - client.writableLength; ) {
      before = client.bytesWritten - client.writableLength
      for (let turns = 0; turns < 1000; turns++) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(hasLeft).toBe(false)
    expect(requests[0]?.readableLength).toBeLessThan(2 * SLAB_BYTES)
    requests[0]?.on('data', (bytes) => hash.update(bytes))
    requests[0]?.resume()
    expect(await lines).toEqual([digestOf(body)])
  })

  test('a body that nobody wants is read to its end, and the connection serves the next request', async () => {
    const server = make((request, response) => {
      poolBody(request).resume()
      answer(response, 'no')
    })
    const client = await (await listening(server))()
    const lines = linesOf(client, 2)
    client.write(head(8 * MIB))
    client.write(randomBytes(8 * MIB))
    client.write(head(0))
    expect(await lines).toEqual(['no', 'no'])
  })

  test('a client that disappears ends its request, again and again, and the connections are counted', async () => {
    let endedCount = 0
    const server = make((request) => {
      poolBody(request).resume()
      request.on('error', () => endedCount++)
    })
    const open = await listening(server)
    for (let round = 1; round <= 20; round++) {
      const client = await open()
      client.write(head(8 * MIB))
      client.write(randomBytes(MIB), () => client.resetAndDestroy())
      await until(async () => endedCount === round, 'the request ends')
    }
    const count = (): Promise<number> =>
      new Promise((resolve, reject) => server.getConnections((error, open) => (error ? reject(error) : resolve(open))))
    await until(async () => (await count()) === 0, 'no connection is left')
  })

  test('of more bodies than are pooled at a time, each arrives as it was sent', async () => {
    const seen: Seen = { slabBytes: 0, ownBytes: 0 }
    const open = await listening(make(hashing(seen)))
    const body = randomBytes(2 * MIB)
    const clients = await Promise.all(Array.from({ length: 40 }, open))
    for (const client of clients) client.write(head(body.length))
    await Promise.all(
      clients.map(async (client) => {
        const lines = linesOf(client, 1)
        client.write(body)
        expect(await lines).toEqual([digestOf(body)])
      }),
    )
    if (isPooled) expect(seen.slabBytes).toBeGreaterThan(0)
  })

  test('a body in chunks, and one behind `Expect: 100-continue`, arrive as they were sent', async () => {
    const client = await (await listening(make(hashing({ slabBytes: 0, ownBytes: 0 }))))()
    const body = randomBytes(MIB)
    const lines = linesOf(client, 2)
    client.write('PUT /part HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n')
    for (let at = 0; at < MIB; at += MIB / 4) {
      client.write(`${(MIB / 4).toString(16)}\r\n`)
      client.write(body.subarray(at, at + MIB / 4))
      client.write('\r\n')
    }
    client.write('0\r\n\r\n')
    client.write(head(body.length, 'Expect: 100-continue\r\n'))
    client.on('data', (data) => String(data).includes('100 Continue') && client.write(body))
    expect(await lines).toEqual([digestOf(body), digestOf(body)])
  })
})

test('the memory of bodies is reused', async () => {
  const client = await (await listening(new PooledServer(hashing({ slabBytes: 0, ownBytes: 0 }))))()
  const body = randomBytes(8 * MIB)
  let mostBytes = 0
  const { arrayBuffers: beforeBytes } = process.memoryUsage()
  for (let count = 0; count < 32; count++) {
    const lines = linesOf(client, 1)
    client.write(head(body.length))
    client.write(body)
    await lines
    client.removeAllListeners('data').removeAllListeners('close')
    mostBytes = Math.max(mostBytes, process.memoryUsage().arrayBuffers - beforeBytes)
  }
  expect(mostBytes).toBeLessThan(24 * MIB)
})
