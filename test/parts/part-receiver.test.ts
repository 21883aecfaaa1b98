/**
 * Receives one part from streams and real connections: a complete part is committed, and nothing of any other stays.
 */
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { PassThrough, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterEach, describe, expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import type { PartExpectation, PartSink } from '../../src/parts/index.ts'
import { receiveNextPart, receivePart } from '../../src/parts/node-part-receiver.ts'
import { Problem } from '../../src/protocol/index.ts'
import { httpServer } from '../suites/http-server.ts'
import { randomBytes, randomInt } from '../suites/random.ts'

const IDLE_MS = 200
const patient = { idleMs: 10_000 }

/** Calls that violated the contract of a sink. */
const violations: string[] = []
afterEach(() => {
  expect(violations.splice(0)).toEqual([])
})

/** A sink that records its calls. */
function recordingSink(behaviour: Partial<PartSink> = {}) {
  const calls: string[] = []
  const written: Buffer[] = []
  let isWriting = false
  const call = async (name: string, act: () => Promise<void> | undefined): Promise<void> => {
    if (calls.includes('commit done') || calls.includes('discard')) violations.push(`${name} after the end`)
    if (isWriting) violations.push(`${name} during a write`)
    calls.push(name)
    await act()
  }
  const sink: PartSink = {
    write: (buffers) =>
      call('write', async () => {
        isWriting = true
        try {
          await behaviour.write?.(buffers)
          // Read only at the end of the write, because the buffers must not change until then.
          written.push(Buffer.concat(buffers))
        } finally {
          isWriting = false
        }
      }),
    commit: () =>
      call('commit', async () => {
        await behaviour.commit?.('')
        calls.push('commit done')
      }),
    discard: () => call('discard', async () => behaviour.discard?.()),
  }
  return { calls, content: () => Buffer.concat(written), open: async () => sink }
}

function expectationOf(bytes: Uint8Array): PartExpectation {
  return {
    partNumber: 3,
    lengthBytes: bytes.length,
    digestAlgorithm: 'sha-256',
    digest: digestOf('sha-256', bytes),
  }
}

/** The bytes in buffers of random size. */
function* slices(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + randomInt(200_000)
    yield bytes.subarray(at, end)
    at = end
  }
}

describe('a complete part', () => {
  test.each([1, 1000, 1024 * 1024, 5 * 1024 * 1024 + 7])('of %d bytes is committed unchanged', async (byteCount) => {
    const bytes = randomBytes(byteCount)
    const sink = recordingSink()
    let arrived = 0
    const onBytes = (count: number): void => {
      arrived += count
    }
    await receivePart(Readable.from(slices(bytes)), expectationOf(bytes), sink.open, { ...patient, onBytes })
    expect(sink.content().equals(bytes)).toBe(true)
    expect(sink.calls.filter((call) => call !== 'write')).toEqual(['commit', 'commit done'])
    expect(arrived).toBe(byteCount)
  })

  test('is acknowledged only when it is durable', async () => {
    const bytes = randomBytes(10)
    const durable = Promise.withResolvers<void>()
    const sink = recordingSink({ commit: () => durable.promise })
    let isTaken = false
    const taken = receivePart(Readable.from([bytes]), expectationOf(bytes), sink.open, patient).then(() => {
      isTaken = true
    })
    while (!sink.calls.includes('commit')) await new Promise((resolve) => setImmediate(resolve))
    expect(isTaken).toBe(false)
    durable.resolve()
    await taken
  })

  test('many small buffers become few large writes', async () => {
    const bytes = randomBytes(2 * 1024 * 1024)
    const sink = recordingSink()
    const small = Readable.from(Array.from({ length: 2048 }, (_, i) => bytes.subarray(1024 * i, 1024 * (i + 1))))
    await receivePart(small, expectationOf(bytes), sink.open, patient)
    expect(sink.calls.filter((call) => call === 'write').length).toBeLessThanOrEqual(5)
    expect(sink.content().equals(bytes)).toBe(true)
  })

  test('for a slow sink may pause longer than the idle timeout', async () => {
    const bytes = randomBytes(3 * 1024 * 1024)
    const slow = () => new Promise<void>((resolve) => setTimeout(resolve, IDLE_MS * 2))
    const sink = recordingSink({ write: slow, commit: slow })
    await receivePart(Readable.from(slices(bytes)), expectationOf(bytes), sink.open, { idleMs: IDLE_MS })
    expect(sink.calls).toContain('commit done')
  })

  test('from a slow source that is never silent is accepted', async () => {
    const bytes = randomBytes(20)
    const source = new PassThrough()
    let sent = 0
    const timer = setInterval(() => {
      source.write(bytes.subarray(sent, sent + 1))
      sent++
      if (sent === bytes.length) {
        clearInterval(timer)
        source.end()
      }
    }, IDLE_MS / 10)
    const sink = recordingSink()
    await receivePart(source, expectationOf(bytes), sink.open, { idleMs: IDLE_MS })
    expect(sink.calls).toContain('commit done')
  })
})

describe('a part that differs from its announcement', () => {
  const bytes = randomBytes(2_500_000)
  const flipped = Buffer.from(bytes)
  flipped[1_234_567] = (flipped[1_234_567] ?? 0) ^ 1

  test.each([
    ['ends early', () => [bytes.subarray(0, -1)], 'part-incomplete'],
    ['has no byte at all', () => [], 'part-incomplete'],
    ['has a byte too many', () => [bytes, Buffer.alloc(1)], 'part-incomplete'],
    ['has one bit flipped', () => [flipped], 'digest-mismatching-value'],
    ['has its bytes in another order', () => [bytes.subarray(10), bytes.subarray(0, 10)], 'digest-mismatching-value'],
  ])('because it %s is discarded', async (_, content, code) => {
    const sink = recordingSink()
    const taking = receivePart(Readable.from(content()), expectationOf(bytes), sink.open, patient)
    await expect(taking).rejects.toMatchObject({ code, next: 'resend', details: { partNumber: 3 } })
    expect(sink.calls.filter((call) => call !== 'write')).toEqual(['discard'])
  })

  test('names the expected and the actual digest', async () => {
    const taking = receivePart(Readable.from([flipped]), expectationOf(bytes), recordingSink().open, patient)
    await expect(taking).rejects.toMatchObject({
      details: { expected: digestOf('sha-256', bytes), actual: digestOf('sha-256', flipped) },
    })
  })

  test('in an unknown algorithm opens no sink', async () => {
    let isOpened = false
    const open = async () => {
      isOpened = true
      return recordingSink().open()
    }
    const expected: PartExpectation = JSON.parse(
      JSON.stringify({ ...expectationOf(bytes), digestAlgorithm: 'of-the-future' }),
    )
    const taking = receivePart(Readable.from([bytes]), expected, open, patient)
    await expect(taking).rejects.toMatchObject({ code: 'digest-unsupported-algorithm' })
    expect(isOpened).toBe(false)
  })
})

describe('a source that fails', () => {
  test('leaves nothing, and the error contains the cause', async () => {
    const cause = new Error('reset by peer')
    const source = Readable.from(
      (async function* () {
        yield Buffer.alloc(10)
        throw cause
      })(),
    )
    const sink = recordingSink()
    const taking = receivePart(source, expectationOf(Buffer.alloc(20)), sink.open, patient)
    await expect(taking).rejects.toMatchObject({ code: 'part-incomplete', cause })
    expect(sink.calls).toEqual(['discard'])
  })

  test('before the start counts as an incomplete part too', async () => {
    const source = new PassThrough()
    source.on('error', () => {})
    source.destroy(new Error('broken before'))
    const sink = recordingSink()
    const taking = receivePart(source, expectationOf(Buffer.alloc(20)), sink.open, patient)
    await expect(taking).rejects.toMatchObject({ code: 'part-incomplete' })
    expect(sink.calls).toEqual(['discard'])
  })

  test('by stalling is aborted after the idle timeout', async () => {
    const source = new PassThrough()
    source.write(Buffer.alloc(10))
    const sink = recordingSink()
    const startedMs = performance.now()
    const taking = receivePart(source, expectationOf(Buffer.alloc(20)), sink.open, { idleMs: IDLE_MS })
    await expect(taking).rejects.toMatchObject({
      code: 'part-incomplete',
      details: { arrivedBytes: 10, lengthBytes: 20 },
    })
    expect(performance.now() - startedMs).toBeGreaterThan(IDLE_MS * 0.9)
    expect(sink.calls).toEqual(['discard'])
  })

  test.each(['before it begins', 'in the middle'])('by an abort %s leaves nothing', async (when) => {
    const source = new PassThrough()
    source.write(Buffer.alloc(10))
    const controller = new AbortController()
    if (when === 'before it begins') controller.abort(new Error('enough'))
    const sink = recordingSink()
    const taking = receivePart(source, expectationOf(Buffer.alloc(20)), sink.open, {
      ...patient,
      signal: controller.signal,
      onBytes: () => controller.abort(new Error('enough')),
    })
    await expect(taking).rejects.toMatchObject({ code: 'part-incomplete', cause: { message: 'enough' } })
    expect(sink.calls).toEqual(['discard'])
    expect(source.destroyed).toBe(true)
  })

  test('while the sink still writes waits for the write before it discards', async () => {
    const source = Readable.from(
      (async function* () {
        yield randomBytes(1_500_000)
        throw new Error('reset by peer')
      })(),
    )
    const sink = recordingSink({ write: () => new Promise((resolve) => setTimeout(resolve, 50)) })
    const taking = receivePart(source, expectationOf(Buffer.alloc(2_000_000)), sink.open, patient)
    await expect(taking).rejects.toMatchObject({ code: 'part-incomplete' })
    expect(sink.calls).toEqual(['write', 'discard'])
  })

  test('by a cut connection leaves nothing', async () => {
    const sink = recordingSink()
    const outcome = Promise.withResolvers<unknown>()
    const bytes = randomBytes(3_000_000)
    const { url, sockets } = await httpServer((incoming) => {
      receivePart(incoming, expectationOf(bytes), sink.open, {
        ...patient,
        onBytes: () => sockets[0]?.destroy(),
      }).then(() => outcome.resolve(null), outcome.resolve)
    })
    const sending = request(url, { method: 'PUT', headers: { 'content-length': bytes.length } })
    sending.on('error', () => {})
    sending.end(bytes)
    expect(await outcome.promise).toMatchObject({ code: 'part-incomplete' })
    expect(sink.calls.at(-1)).toBe('discard')
    expect(sink.calls).not.toContain('commit')
  })
})

describe('a sink that fails', () => {
  const full = async (): Promise<void> => {
    throw new Problem('storage-full')
  }

  test.each([
    ['write', { write: full }],
    ['commit', { commit: full }],
  ])('to %s passes its problem on and is discarded', async (_, behaviour) => {
    const bytes = randomBytes(4_000_000)
    const sink = recordingSink(behaviour)
    const taking = receivePart(Readable.from(slices(bytes)), expectationOf(bytes), sink.open, patient)
    await expect(taking).rejects.toMatchObject({ code: 'storage-full' })
    expect(sink.calls.filter((call) => call === 'discard')).toHaveLength(1)
    expect(sink.calls.at(-1)).toBe('discard')
    expect(sink.calls).not.toContain('commit done')
  })

  test('to open passes its problem on and leaves the source alone', async () => {
    const source = Readable.from([randomBytes(10)])
    const taking = receivePart(
      source,
      expectationOf(Buffer.alloc(10)),
      () => Promise.reject(new Problem('store-failed')),
      patient,
    )
    await expect(taking).rejects.toMatchObject({ code: 'store-failed' })
    expect(source.destroyed).toBe(false)
  })

  test('leaves the connection usable for the refusal and for the next request', async () => {
    const bytes = randomBytes(8_000_000)
    const rest = Promise.withResolvers<number>()
    const { url, sockets } = await httpServer((incoming, response) => {
      receivePart(incoming, expectationOf(bytes), recordingSink({ write: full }).open, patient).catch((refusal) => {
        response.statusCode = refusal.status
        response.end('no room')
        buffer(incoming).then((unread) => rest.resolve(unread.length), rest.reject)
      })
    })
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (let i = 0; i < 2; i++) {
      const sending = request(url, { method: 'PUT', agent, headers: { 'content-length': bytes.length } })
      sending.end(bytes)
      const [response] = await once(sending, 'response')
      expect(response.statusCode).toBe(507)
      expect(String(await buffer(response))).toBe('no room')
    }
    expect(await rest.promise).toBeGreaterThan(0)
    expect(sockets).toHaveLength(1)
    agent.destroy()
  })
})

describe('a source with several parts', () => {
  const limits = { partNumber: 1, lengthBytes: 300_000, digestAlgorithm: 'sha-256' } as const

  test.each([0, 1, 299_999, 300_000, 300_001, 600_000, 1_000_000])(
    'of %d bytes in total is split',
    async (byteCount) => {
      const bytes = randomBytes(byteCount)
      const source = Readable.from(slices(bytes))
      const parts: Buffer[] = []
      for (;;) {
        const sink = recordingSink()
        const taken = await receiveNextPart(source, limits, sink.open, patient)
        if (taken === null) {
          expect(sink.calls).not.toContain('commit')
          break
        }
        expect(taken).toEqual({ lengthBytes: sink.content().length, digest: digestOf('sha-256', sink.content()) })
        expect(sink.calls).toContain('commit done')
        parts.push(sink.content())
        if (taken.lengthBytes < limits.lengthBytes) break
      }
      expect(Buffer.concat(parts).equals(bytes)).toBe(true)
      expect(parts.slice(0, -1).every(({ length }) => length === limits.lengthBytes)).toBe(true)
    },
  )

  test('that fails leaves no incomplete part', async () => {
    const source = new PassThrough()
    source.write(randomBytes(1000))
    const sink = recordingSink()
    const taking = receiveNextPart(source, limits, sink.open, patient)
    source.destroy(new Error('gone'))
    await expect(taking).rejects.toMatchObject({ code: 'part-incomplete' })
    expect(sink.calls).not.toContain('commit')
    expect(sink.calls).toContain('discard')
  })
})
