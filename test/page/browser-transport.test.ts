/** The browser's transport in a real browser, over real connections. It keeps slow connections and ends dead ones. */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import { TestPortal } from '../portal/portal.ts'
import { httpServer } from '../suites/http-server.ts'
import type { Asked } from './asked.ts'
import { type BrowserPage, browserPage } from './harness/browser.ts'

const MODULE = 'test/page/browser/transport.ts'
const STALL_MS = 500
const MIB = 1024 * 1024

let browser: BrowserPage
beforeAll(async () => {
  browser = await browserPage()
})
afterAll(() => browser.close())
beforeEach(() => browser.page.goto(browser.origin.emptyPageUrl))

/** Servers that replace the portal. */
async function answering(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<void> {
  browser.origin.portalUrl = (await httpServer(answer)).url
}

const ask = (plain: object): Promise<Asked> => browser.run<Asked>(MODULE, 'ask', plain)

describe('a request', () => {
  test.each([1_000, 1_000_000])(
    'sends its whole body of %i bytes with its length, and returns the answer',
    async (bodyBytes) => {
      await answering(async (request, response) => {
        const body = await buffer(request)
        response.setHeader('content-type', 'text/plain')
        response.end(`${request.method} ${request.url} ${request.headers['content-length']} ${body.length}`)
      })
      const path = '/v1/transfers/x/parts/1?a=b'
      expect(await ask({ method: 'PUT', path, bodyBytes })).toMatchObject({
        status: 200,
        contentType: 'text/plain',
        etag: null,
        text: `PUT ${path} ${bodyBytes} ${bodyBytes}`,
        sentBytes: bodyBytes,
      })
    },
  )

  test('sends no cookie and no referrer, and bypasses the cache', async () => {
    await answering((request, response) => {
      response.setHeader('set-cookie', 'a=b')
      response.setHeader('cache-control', 'max-age=1000')
      response.end(JSON.stringify(request.headers))
    })
    for (const isBulk of [false, false, true, true]) {
      const { text = '' } = await ask({ isBulk, headers: { authorization: 'Bearer glt_secret' } })
      expect(JSON.parse(text)).toMatchObject({ authorization: 'Bearer glt_secret', 'cache-control': 'no-cache' })
      expect(Object.keys(JSON.parse(text)).filter((name) => /cookie|referer/.test(name))).toEqual([])
    }
  })

  test('without a server fails with NoResponseError', async () => {
    browser.origin.portalUrl = null
    const expected = { error: 'NoResponseError', message: expect.stringMatching(/^no answer: the connection failed/) }
    expect(await ask({})).toMatchObject(expected)
    expect(await ask({ isBulk: true })).toMatchObject(expected)
    expect(await ask({ method: 'PUT', bodyBytes: MIB })).toMatchObject(expected)
  })

  test('to a server that never answers ends at the stall timeout', async () => {
    await answering(() => {})
    const expected = { error: 'NoResponseError', message: `no answer within ${STALL_MS} ms` }
    for (const body of [{}, { isBulk: true }, { method: 'PUT', bodyBytes: MIB }]) {
      const asked = await ask({ stallTimeoutMs: STALL_MS, ...body })
      expect(asked).toMatchObject(expected)
      expect(asked.tookMs).toBeGreaterThanOrEqual(STALL_MS * 0.9)
    }
  })

  test('whose answer never ends is aborted before it fills the memory', async () => {
    let writtenBytes = 0
    await answering(async (request, response) => {
      await buffer(request)
      const bytes = Buffer.alloc(MIB)
      const closed = once(response, 'close')
      while (!response.destroyed) {
        writtenBytes += bytes.length
        if (!response.write(bytes)) await Promise.race([once(response, 'drain'), closed])
      }
    })
    const asked = await ask({ method: 'PUT', bodyBytes: MIB, stallTimeoutMs: 10_000 })
    expect(asked).toMatchObject({ error: 'NoResponseError', message: expect.stringContaining('longer than any') })
    expect(writtenBytes).toBeLessThan(256 * MIB)
  })

  test('does not stall while another source reports that it arrives', async () => {
    await answering((_, response) => void setTimeout(() => response.end('late'), STALL_MS * 3))
    expect(await ask({ stallTimeoutMs: STALL_MS, aliveEveryMs: STALL_MS / 5 })).toMatchObject({
      status: 200,
      text: 'late',
    })
  })

  test('with a body that is sent slowly is not ended however long it takes', async () => {
    // The kernels buffer about twenty megabytes at once and the rest in bursts, so the stall timeout must be longer
    // than the bursts. The server reads the buffered bytes at once at the end.
    const BODY_BYTES = 64 * MIB
    const READ_SLOWLY_BYTES = 40 * MIB
    const SLOW_STALL_MS = 10_000
    const READ_BYTES_PER_MS = 2_250
    await answering((request, response) => {
      const begunAtMs = performance.now()
      let readBytes = 0
      const timer = setInterval(() => {
        const allowedBytes = (performance.now() - begunAtMs) * READ_BYTES_PER_MS
        while (request.readableLength > 0 && (readBytes < allowedBytes || readBytes > READ_SLOWLY_BYTES)) {
          readBytes += (request.read() ?? '').length
        }
      }, 5)
      request.on('readable', () => {})
      request.on('end', () => {
        clearInterval(timer)
        response.end(String(readBytes))
      })
    })
    const asked = await ask({ method: 'PUT', bodyBytes: BODY_BYTES, stallTimeoutMs: SLOW_STALL_MS })
    expect(asked).toMatchObject({ text: String(BODY_BYTES), sentBytes: BODY_BYTES })
    expect(asked.sentTimes).toBeGreaterThan(1)
    expect(asked.tookMs, 'otherwise this shows nothing').toBeGreaterThan(1.5 * SLOW_STALL_MS)
  })

  test('that is refused during its body returns the refusal', async () => {
    await answering((request, response) => {
      request.once('data', () => {
        response.statusCode = 507
        response.end('full')
        request.resume()
      })
    })
    const asked = await ask({ method: 'PUT', bodyBytes: 8 * MIB, stallTimeoutMs: 15_000 })
    expect(asked).toMatchObject({ status: 507, text: 'full' })
  })

  test.each([{}, { isBulk: true }, { method: 'PUT', bodyBytes: MIB }])('follows no redirect: %o', async (body) => {
    const asked: string[] = []
    const elsewhere = await httpServer((request, response) => {
      asked.push(String(request.headers.authorization))
      response.end('caught')
    })
    const headers = { authorization: 'Bearer glt_secret' }
    for (const location of [elsewhere.url, '/here']) {
      await answering((request, response) => {
        if (request.url === '/here') response.end('caught')
        else response.writeHead(307, { location }).end()
      })
      expect(await ask({ headers, ...body })).toMatchObject({ error: 'NoResponseError' })
    }
    expect(asked).toEqual([])
  })
})

describe('a part that is received in a worker', () => {
  const LENGTH = 3 * MIB
  const collect = (abortAfterMs?: number) => browser.run<string>(MODULE, 'collected', LENGTH, STALL_MS, abortAfterMs)

  test('arrives complete', async () => {
    await answering((_, response) => void response.end(Buffer.alloc(LENGTH, 7)))
    expect(await collect()).toBe(`${LENGTH} bytes, of 7`)
  })

  test.each([
    ['ends early', (response: ServerResponse) => response.end(Buffer.alloc(LENGTH - 1))],
    ['is too long', (response: ServerResponse) => response.end(Buffer.alloc(LENGTH + 1))],
    ['stalls', (response: ServerResponse) => response.write(Buffer.alloc(MIB))],
  ])('is incomplete when it %s, and its connection ends', async (_, answer) => {
    const closed = Promise.withResolvers<void>()
    await answering((_, response) => {
      response.on('close', closed.resolve)
      answer(response)
    })
    expect(await collect()).toBe('part-incomplete')
    await closed.promise
  })

  test('is incomplete when it breaks', async () => {
    await answering((_, response) => {
      response.writeHead(200, { 'content-length': LENGTH })
      response.write(Buffer.alloc(MIB), () => response.destroy())
    })
    expect(await collect()).toBe('part-incomplete')
  })

  test('is aborted with the transfer, and its connection ends', async () => {
    const closed = Promise.withResolvers<void>()
    await answering((_, response) => {
      response.on('close', closed.resolve)
      response.write(Buffer.alloc(MIB))
    })
    expect(await collect(STALL_MS / 5)).toBe('part-incomplete')
    await closed.promise
  })
})

describe('aborting', () => {
  test.each([0, 100])('after %i ms throws the abort reason, not NoResponseError', async (abortAfterMs) => {
    await answering(() => {})
    for (const body of [{}, { isBulk: true }, { method: 'PUT', bodyBytes: MIB }]) {
      expect(await ask({ abortAfterMs, ...body })).toMatchObject({ error: 'RangeError', message: 'enough' })
    }
  })

  test.each([false, true])('an answer ends its connection (in a worker: %s)', async (isBulk) => {
    const closed = Promise.withResolvers<void>()
    await answering((_, response) => {
      response.on('close', closed.resolve)
      response.writeHead(200)
      response.write('first')
    })
    expect(await ask({ isBulk, readBytesMax: 1 })).toMatchObject({ status: 200, text: 'first' })
    await closed.promise
  })
})

test('at most three parts are in flight, and waiting for a permit does not count as stalling', async () => {
  // Long, so that a busy machine does not stall it.
  const stallTimeoutMs = 6 * STALL_MS
  let underway = 0
  let most = 0
  await answering(async (request, response) => {
    most = Math.max(most, ++underway)
    await buffer(request)
    setTimeout(() => {
      underway--
      response.end('x')
    }, stallTimeoutMs * 0.6)
  })
  const part = { method: 'PUT', path: '/v1/transfers/x/parts/1', bodyBytes: 1_000, stallTimeoutMs }
  const asked = await browser.run<Asked[]>(MODULE, 'askAll', Array(9).fill(part))
  expect(asked.map(({ text }) => text)).toEqual(Array(9).fill('x'))
  expect(most).toBe(3)
})

describe('at a portal', () => {
  test('a part of any size arrives, and its events come', async () => {
    const portal = await TestPortal.start()
    browser.origin.portalUrl = portal.url
    const events = browser.run<string[]>(MODULE, 'eventsUntil', portal.token('alice'), 'current')
    const held = await browser.run<string>(MODULE, 'sendOnePart', portal.token('alice'), newTransferId(), 5 * MIB)
    expect(JSON.parse(held)).toMatchObject([{ partNumber: 1 }])
    expect(await events).toContain('current')
  })

  test('the event stream reports a part that arrives slowly, because a page sees no interim response', async () => {
    const portal = await TestPortal.start()
    const transferId = await portal.announce(Buffer.alloc(64 * 1024))
    browser.origin.portalUrl = portal.url
    const events = browser.run<string[]>(MODULE, 'eventsUntil', portal.token('alice'), 'arriving')
    const socket = await portal.connect()
    let answered = ''
    socket.on('data', (bytes) => {
      answered += bytes
    })
    const request = portal.request('PUT', `/v1/transfers/${transferId}/parts/1`, {
      token: portal.token('alice'),
      headers: {
        'sec-fetch-site': 'same-origin',
        'content-length': String(64 * 1024),
        'content-digest': `sha-256=:${Buffer.alloc(32).toString('base64')}:`,
      },
    })
    socket.write(request)
    const timer = setInterval(() => socket.write('x'), 100)
    expect(await events).toContain('arriving')
    clearInterval(timer)
    expect(answered).toBe('')
    socket.destroy()
    await once(socket, 'close')
  })
})
