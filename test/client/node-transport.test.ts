/** The transport over real connections: slow requests continue, dead ones end. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { NoResponseError } from '../../src/client/index.ts'
import { nodeTransport } from '../../src/client/node-transport.ts'
import { httpServer } from '../suites/http-server.ts'
import { randomBytes } from '../suites/random.ts'

const STALL_MS = 400

function transportTo(url: string) {
  const transport = nodeTransport(url)
  onTestFinished(() => transport.close())
  return transport
}

describe('a request', () => {
  test('sends its whole body with its length, and returns the answer', async () => {
    const { url } = await httpServer(async (request, response) => {
      const body = await buffer(request)
      response.setHeader('content-type', 'text/plain')
      response.end(`${request.method} ${request.url} ${request.headers['content-length']} ${body.length}`)
    })
    const body = randomBytes(1_000_000)
    let sentBytes = 0
    const response = await transportTo(`${url}/prefix/`).request({
      method: 'PUT',
      path: '/v1/x?a=b',
      headers: {},
      body,
      stallTimeoutMs: STALL_MS,
      onSent: (byteCount) => {
        sentBytes += byteCount
      },
    })
    expect(response.status).toBe(200)
    expect(response.header('content-type')).toBe('text/plain')
    expect(response.header('etag')).toBeNull()
    expect(String(await buffer(response.body))).toBe('PUT /prefix/v1/x?a=b 1000000 1000000')
    expect(sentBytes).toBe(1_000_000)
  })

  test('is repeated when its kept connection is dead', async () => {
    const asked: string[] = []
    // Like tinyproxy: HTTP/1.1 without `Connection: close`, and closed after each answer.
    const server = createServer((socket) => {
      socket.on('error', () => {})
      let leftBytes = 0
      socket.on('data', (bytes) => {
        const [head = '', ...body] = String(bytes).split('\r\n\r\n')
        if (leftBytes === 0) {
          asked.push(head.split('\r\n', 1)[0] ?? '')
          leftBytes = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0) - body.join('').length
        } else leftBytes -= bytes.length
        if (leftBytes > 0) return
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      })
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const transport = transportTo(`http://127.0.0.1:${address.port}`)
    const body = Buffer.alloc(1_000_000, 'x')
    let sentBytes = 0
    const onSent = (byteCount: number): void => {
      sentBytes += byteCount
    }
    for (let number = 0; number < 20; number++) {
      const asking = { path: `/${number}`, headers: {}, stallTimeoutMs: 90_000 }
      const answer = await transport.request(
        number % 2 === 0 ? { ...asking, method: 'PUT', body, onSent } : { ...asking, method: 'GET' },
      )
      expect(String(await buffer(answer.body))).toBe('ok')
    }
    expect(sentBytes, 'each byte is reported once').toBe(10 * body.length)
    expect(new Set(asked).size).toBe(20)
  })

  test('without a server fails with NoResponseError', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    server.close()
    await once(server, 'close')
    const asking = transportTo(`http://127.0.0.1:${address.port}`).request({
      method: 'GET',
      path: '/',
      headers: {},
      stallTimeoutMs: STALL_MS,
    })
    await expect(asking).rejects.toThrow(NoResponseError)
    await expect(asking).rejects.toThrow('ECONNREFUSED')
  })

  test('over TLS to a server without TLS says so', async () => {
    const { url } = await httpServer((_, response) => response.end())
    const asking = transportTo(url.replace('http:', 'https:')).request({
      method: 'GET',
      path: '/',
      headers: {},
      stallTimeoutMs: 90_000,
    })
    await expect(asking).rejects.toThrow('no answer: the other side does not speak TLS')
  })

  test('over plain http loads nothing of TLS', async () => {
    const { url } = await httpServer((_, response) => response.end('x'))
    const module = new URL('../../src/client/node-transport.ts', import.meta.url).href
    const script = `import { nodeTransport } from ${JSON.stringify(module)}
      const transport = nodeTransport(${JSON.stringify(url)})
      const { status } = await transport.request({ method: 'GET', path: '/', headers: {}, stallTimeoutMs: 5000 })
      await transport.close()
      const loaded = process.moduleLoadList.filter((name) => /^NativeModule (?:https?|tls|internal\\/deps\\/undici.*)$/.test(name))
      console.log(status, ...loaded)`
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
    expect(stdout).toBe('200 NativeModule http\n')
  })

  test('to a server that never answers ends at the stall timeout', async () => {
    const { url } = await httpServer(() => {})
    const startedMs = performance.now()
    const asking = transportTo(url).request({ method: 'GET', path: '/', headers: {}, stallTimeoutMs: STALL_MS })
    await expect(asking).rejects.toThrow(`no answer within ${STALL_MS} ms`)
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(STALL_MS * 0.9)
  })

  test('to a server that reads nothing of a large body ends at the stall timeout', async () => {
    const { url } = await httpServer((request) => {
      request.socket.pause()
    })
    const asking = transportTo(url).request({
      method: 'PUT',
      path: '/',
      headers: {},
      body: Buffer.alloc(64 * 1024 * 1024),
      stallTimeoutMs: STALL_MS,
    })
    await expect(asking).rejects.toBeInstanceOf(NoResponseError)
  })

  test('with a body that is sent slowly is not ended however long it takes', async () => {
    // The kernel accepts some megabytes at once, so progress comes in steps. The stall timeout must be longer than a step.
    const SIZE_BYTES = 24 * 1024 * 1024
    const SLOW_STALL_MS = 3_000
    const PACE_BYTES_PER_MS = SIZE_BYTES / (1.6 * SLOW_STALL_MS)
    const READ_EVERY_MS = 9
    const { url } = await httpServer((request, response) => {
      let readBytes = 0
      const begunAtMs = performance.now()
      // A late timer reads more, so that the rate stays the same on a busy machine.
      const timer = setInterval(() => {
        while (readBytes < (performance.now() - begunAtMs) * PACE_BYTES_PER_MS) {
          const bytes = request.read()
          if (bytes === null) break
          readBytes += bytes.length
        }
      }, READ_EVERY_MS)
      request.on('readable', () => {})
      request.on('end', () => {
        clearInterval(timer)
        response.end(String(readBytes))
      })
    })
    const startedMs = performance.now()
    const response = await transportTo(url).request({
      method: 'PUT',
      path: '/',
      headers: {},
      body: Buffer.alloc(SIZE_BYTES),
      stallTimeoutMs: SLOW_STALL_MS,
    })
    expect(String(await buffer(response.body))).toBe(String(SIZE_BYTES))
    expect(performance.now() - startedMs, 'otherwise this shows nothing').toBeGreaterThan(1.5 * SLOW_STALL_MS)
  })

  test('that is refused during its body returns the refusal', async () => {
    const { url } = await httpServer((request, response) => {
      request.once('data', () => {
        response.statusCode = 507
        response.end('full')
        request.resume()
      })
    })
    const response = await transportTo(url).request({
      method: 'PUT',
      path: '/',
      headers: {},
      body: Buffer.alloc(8 * 1024 * 1024),
      stallTimeoutMs: 5000,
    })
    expect(response.status).toBe(507)
    expect(String(await buffer(response.body))).toBe('full')
  })
})

describe('aborting', () => {
  test.each(['before', 'during'])('%s the request throws the abort reason, not NoResponseError', async (when) => {
    const controller = new AbortController()
    const reason = new Error('enough')
    if (when === 'before') controller.abort(reason)
    const { url } = await httpServer(() => controller.abort(reason))
    const { signal } = controller
    const asking = transportTo(url).request({ method: 'GET', path: '/', headers: {}, stallTimeoutMs: 5000, signal })
    await expect(asking).rejects.toBe(reason)
  })

  test('during the answer ends its body', async () => {
    const { url } = await httpServer((_, response) => {
      response.writeHead(200)
      response.write('first')
    })
    const controller = new AbortController()
    const { signal } = controller
    const response = await transportTo(url).request({
      method: 'GET',
      path: '/',
      headers: {},
      stallTimeoutMs: 5000,
      signal,
    })
    const reading = (async () => {
      for await (const _ of response.body) controller.abort(new Error('enough'))
    })()
    await expect(reading).rejects.toThrow()
  })

  test('discarding an answer ends its connection only', async () => {
    const closed = Promise.withResolvers<void>()
    const { url } = await httpServer((request, response) => {
      response.on('close', () => {
        if (request.url === '/endless') closed.resolve()
      })
      response.writeHead(200)
      response.write('first')
      if (request.url !== '/endless') response.end()
    })
    const transport = transportTo(url)
    const endless = await transport.request({ method: 'GET', path: '/endless', headers: {}, stallTimeoutMs: 5000 })
    endless.discard()
    await closed.promise
    endless.discard()
    const next = await transport.request({ method: 'GET', path: '/', headers: {}, stallTimeoutMs: 5000 })
    expect(String(await buffer(next.body))).toBe('first')
    next.discard()
  })

  test('one signal does not accumulate listeners over many requests', async () => {
    const { url } = await httpServer((_, response) => response.end('x'))
    const transport = transportTo(url)
    const { signal } = new AbortController()
    let listeners = 0
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (...parameters: Parameters<typeof add>) => {
      listeners++
      add(...parameters)
    }
    signal.removeEventListener = (...parameters: Parameters<typeof remove>) => {
      listeners--
      remove(...parameters)
    }
    for (let i = 0; i < 20; i++) {
      const { body } = await transport.request({ method: 'GET', path: '/', headers: {}, stallTimeoutMs: 5000, signal })
      const closed = once(body, 'close')
      await buffer(body)
      await closed
    }
    expect(listeners).toBe(0)
  })
})
