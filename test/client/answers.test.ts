/** Answers are validated: an answer that does not come from a portal, or is broken, counts as no answer. */
import type { ServerResponse } from 'node:http'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { eventStream } from '../../src/client/event-stream.ts'
import { NoResponseError, PortalClient, RemoteProblem } from '../../src/client/index.ts'
import { nodeTransport } from '../../src/client/node-transport.ts'
import { newTransferId, Problem } from '../../src/protocol/index.ts'
import { httpServer } from '../suites/http-server.ts'

const STALL_MS = 200
const brief = { stallTimeoutMs: STALL_MS }

/** Uses fake timers: time passes only when the test advances it. */
function ownTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
}

/** A client of a server that gives every request the same answer. */
async function clientOf(answer: (response: ServerResponse) => void): Promise<PortalClient> {
  const { url } = await httpServer((request, response) => {
    request.resume().on('end', () => answer(response))
  })
  const transport = nodeTransport(url)
  onTestFinished(() => transport.close())
  return new PortalClient(transport, 'token')
}

function says(status: number, type: string, body: string, headers: Record<string, string> = {}) {
  return (response: ServerResponse) => {
    response.writeHead(status, { 'content-type': type, ...headers })
    response.end(body)
  }
}

test('a good answer is read', async () => {
  const client = await clientOf(says(200, 'application/json', '{"account":"ada","keys":null}'))
  expect(await client.account()).toEqual({ account: 'ada', keys: null })
})

describe('no valid answer is', () => {
  test.each([
    ['JSON that is cut off', says(200, 'application/json', '{"account":')],
    ['JSON of another form', says(200, 'application/json', '{"account":"../x"}')],
    ['nothing where something belongs', says(200, 'application/json', '')],
    ['a page of a proxy', says(502, 'text/html', '<h1>Bad Gateway</h1>')],
    ['a page of a captive portal', says(200, 'text/html', '<h1>Log in</h1>')],
    ['a redirect', says(302, 'text/html', '', { location: 'http://127.0.0.1:1/' })],
    ['an error as bare JSON', says(500, 'application/json', '{"message":"oops"}')],
    ['a problem of another form', says(400, 'application/problem+json', '{"title":"x"}')],
    ['a problem that is not JSON', says(400, 'application/problem+json', 'x')],
    ['a connection that closes', (response: ServerResponse) => response.destroy()],
    [
      'a body that breaks off',
      (response: ServerResponse) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 })
        response.write('{"acc', () => response.destroy())
      },
    ],
  ])('%s', async (_, answer) => {
    const client = await clientOf(answer)
    await expect(client.account(brief)).rejects.toBeInstanceOf(NoResponseError)
  })

  test('a body that never ends', async () => {
    const client = await clientOf(says(200, 'application/json', `"${'x'.repeat(5 * 1024 * 1024)}"`))
    await expect(client.account({ stallTimeoutMs: 90_000 })).rejects.toThrow('the answer is too long')
  })

  test('a body that stalls', async () => {
    const client = await clientOf((response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{"acc')
    })
    await expect(client.account(brief)).rejects.toThrow(`stalled for ${STALL_MS} ms`)
  })

  test.each([
    ['stalls', () => {}, `stalled for ${STALL_MS} ms`],
    ['breaks off', (response: ServerResponse) => response.destroy(), 'the connection broke'],
  ])('a part whose answer ends with %s', async (_, end, message) => {
    const client = await clientOf((response) => {
      response.writeHead(200, { 'content-length': 100 })
      response.write('x', () => end(response))
    })
    const part = { bytes: new Uint8Array(1), digestAlgorithm: 'sha-256', digest: '00'.repeat(32) } as const
    const putting = client.putPart(newTransferId(), 1, part, brief)
    await expect(putting).rejects.toBeInstanceOf(NoResponseError)
    await expect(putting).rejects.toThrow(message)
  })

  test('a stream of another media type', async () => {
    const client = await clientOf(says(200, 'application/json', '{}'))
    await expect(client.watchEvents({}, brief).next()).rejects.toBeInstanceOf(NoResponseError)
  })
})

describe('a refusal of the portal', () => {
  test('is passed on unchanged, with members that this client does not know', async () => {
    const problem = { ...new Problem('storage-full', { detail: 'Full.' }).toJSON(), extra: { deep: ['ü'] } }
    const client = await clientOf(says(507, 'application/problem+json; charset=utf-8', JSON.stringify(problem)))
    const refusal = await client.account().catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(RemoteProblem)
    expect(refusal).toMatchObject({ problem, code: 'storage-full', next: 'refused', retryAfterMs: null })
  })

  test.each([
    ['3', 3000],
    ['0', 100],
    ['99999999', 600_000],
    ['1e300', 600_000],
    ['-1', null],
    ['Wed, 21 Oct 2026 07:28:30 GMT', 30_000],
    ['Wed, 21 Oct 2026 07:00:00 GMT', 100],
    ['soon', null],
  ])('with Retry-After: %s', async (field, retryAfterMs) => {
    const body = JSON.stringify(new Problem('unavailable'))
    const headers = { 'retry-after': field, date: 'Wed, 21 Oct 2026 07:28:00 GMT' }
    const client = await clientOf(says(503, 'application/problem+json', body, headers))
    await expect(client.account()).rejects.toMatchObject({ next: 'retry', retryAfterMs })
  })

  test('is recognised on a part and on a stream too', async () => {
    const body = JSON.stringify(new Problem('digest-mismatching-value'))
    const client = await clientOf(says(400, 'application/problem+json', body))
    const part = { bytes: new Uint8Array(10), digestAlgorithm: 'sha-256', digest: '00'.repeat(32) } as const
    const no = { code: 'digest-mismatching-value', next: 'resend' }
    await expect(client.putPart(newTransferId(), 1, part)).rejects.toMatchObject(no)
    await expect(client.watchEvents().next()).rejects.toMatchObject(no)
    const held = {
      leaseId: 'lease',
      heldBytes: 0,
      waitSeconds: 0,
      digestAlgorithm: 'sha-256',
      partBytesMax: 10,
    } as const
    await expect(client.incomingPart(newTransferId(), 1, held)).rejects.toMatchObject(no)
  })
})

describe('an event stream', () => {
  const stored = {
    eventId: '7',
    at: '2026-01-01T00:00:00.000Z',
    transferId: newTransferId(),
    attempt: 1,
    notification: 'stored',
  }

  test('yields its messages however they are split, and reports its end', async () => {
    const text = `: heartbeat\n\nevent: notification\nid: 7\ndata: ${JSON.stringify(stored)}\n\nevent: of-the-future\ndata: x\n\nevent: current\ndata:\n\n`
    const client = await clientOf((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const char of text) response.write(char)
      response.end()
    })
    const events: unknown[] = []
    const following = (async () => {
      for await (const event of client.watchEvents()) events.push(event)
    })()
    await expect(following).rejects.toThrow('the portal closed the stream')
    expect(events).toEqual([{ type: 'notification', notification: stored }, { type: 'current' }])
  })

  test('continues after the last event that was received', async () => {
    const asked = Promise.withResolvers<unknown>()
    const { url } = await httpServer((request, response) => {
      asked.resolve([request.url, request.headers['last-event-id'], request.headers.authorization])
      response.destroy()
    })
    const transport = nodeTransport(url)
    onTestFinished(() => transport.close())
    await new PortalClient(transport, 'token')
      .watchEvents({ after: '41' })
      .next()
      .catch(() => {})
    expect(await asked.promise).toEqual(['/v1/events', '41', 'Bearer token'])
  })

  test('with a message of another form is no valid answer', async () => {
    const client = await clientOf(says(200, 'text/event-stream', 'event: notification\ndata: {"eventId":1}\n\n'))
    await expect(client.watchEvents().next()).rejects.toBeInstanceOf(NoResponseError)
  })

  /** A body that the test writes itself. */
  function bodyOf(bytes: AsyncGenerator<Uint8Array>) {
    let isDiscarded = false
    const discarded = Promise.withResolvers<IteratorResult<Uint8Array>>()
    const response = {
      status: 200,
      header: () => null,
      body: {
        [Symbol.asyncIterator]: () => ({ next: () => Promise.race([bytes.next(), discarded.promise]) }),
      },
      discard: () => {
        isDiscarded = true
        discarded.resolve({ done: true, value: undefined })
      },
    }
    return { response, isDiscarded: () => isDiscarded }
  }

  test('that is silent for too long counts as dead, and its connection is closed', async () => {
    const { response, isDiscarded } = bodyOf(
      (async function* () {
        yield Buffer.from('data: 1\n\n')
        await new Promise(() => {})
      })(),
    )
    const stream = eventStream(response, STALL_MS)
    expect(await stream.next()).toMatchObject({ value: { data: '1' } })
    const startedMs = performance.now()
    await expect(stream.next()).rejects.toBeInstanceOf(NoResponseError)
    expect(performance.now() - startedMs).toBeGreaterThan(STALL_MS * 0.9)
    expect(isDiscarded()).toBe(true)
  })

  test('stays open as long as heartbeats come', async () => {
    ownTime()
    const { response } = bodyOf(
      (async function* () {
        for (let i = 0; i < 6; i++) {
          await new Promise((resolve) => setTimeout(resolve, STALL_MS / 2))
          yield Buffer.from(': heartbeat\n\n')
        }
        yield Buffer.from('data: at last\n\n')
      })(),
    )
    const heard = eventStream(response, STALL_MS).next()
    for (let i = 0; i < 6; i++) await vi.advanceTimersByTimeAsync(STALL_MS / 2)
    expect(await heard).toMatchObject({ value: { data: 'at last' } })
  })

  test('does not time out while its reader is busy', async () => {
    ownTime()
    const { response } = bodyOf(
      (async function* () {
        yield Buffer.from('data: 1\n\n')
        yield Buffer.from('data: 2\n\n')
      })(),
    )
    const stream = eventStream(response, STALL_MS)
    await stream.next()
    await vi.advanceTimersByTimeAsync(STALL_MS * 2)
    expect(await stream.next()).toMatchObject({ value: { data: '2' } })
  })

  test('with a message that never ends is closed', async () => {
    const { response } = bodyOf(
      (async function* () {
        yield Buffer.from('data: ')
        while (true) yield Buffer.alloc(100_000, 'x')
      })(),
    )
    await expect(eventStream(response, 10_000).next()).rejects.toBeInstanceOf(NoResponseError)
  })

  test('closes its connection when its reader leaves', async () => {
    const { response, isDiscarded } = bodyOf(
      (async function* () {
        while (true) yield Buffer.from('data: 1\n\n')
      })(),
    )
    for await (const _ of eventStream(response, 10_000)) break
    expect(isDiscarded()).toBe(true)
  })
})

test('limits outside of those of the protocol are clamped', async () => {
  const limits = {
    digestAlgorithms: ['sha-256'],
    ...{ partSizeBytesMin: -1, partSizeBytesMax: 9e15, partsPerTransferMax: 0, transferSizeBytesMax: 9e15 },
    ...{ wholeSizeBytesMax: 9e15, receiversPerTransferMax: 1, attemptsMax: 9e15, sealedOnly: false },
    ...{ uploadTimeoutMs: 0, leaseMs: 9e15, expiryMs: 1, heartbeatMs: -7 },
  }
  const client = await clientOf(says(200, 'application/json', JSON.stringify(limits)))
  expect(await client.limits()).toMatchObject({
    ...{ partSizeBytesMin: 1, partSizeBytesMax: 64 * 1024 * 1024, partsPerTransferMax: 1, attemptsMax: 100 },
    ...{ wholeSizeBytesMax: 256 * 1024, uploadTimeoutMs: 30, leaseMs: 86_400_000, heartbeatMs: 30 },
  })
})
