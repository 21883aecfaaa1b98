/** Requests by the browser's transport, and their results, as data for a test. */
import { type HttpRequest, NoResponseError, PortalClient } from '../../../src/client/index.ts'
import { digestOf } from '../../../src/digests/index.ts'
import { pageTransport } from '../../../src/page/platform/bulk-fetcher.ts'
import { gather } from '../../../src/page/platform/inbox/gather.ts'
import { Problem } from '../../../src/protocol/index.ts'
import type { Asked } from '../asked.ts'

/** The portal of the origin is at this path. */
const transport = pageTransport(new URL(new URLSearchParams(location.search).get('portal') ?? '/', location.href).href)

type Plain = Partial<Pick<HttpRequest, 'method' | 'path' | 'headers' | 'stallTimeoutMs' | 'isBulk'>> & {
  readonly bodyBytes?: number
  /** Reads this many bytes of the response, then cancels it. */
  readonly readBytesMax?: number
  readonly abortAfterMs?: number
  /** The interval of signs of life from another source. */
  readonly aliveEveryMs?: number
}

export async function ask(plain: Plain): Promise<Asked> {
  const { bodyBytes, abortAfterMs, aliveEveryMs, readBytesMax = Number.POSITIVE_INFINITY, ...rest } = plain
  const begunAtMs = performance.now()
  let sentBytes = 0
  let sentTimes = 0
  const controller = new AbortController()
  if (abortAfterMs === 0) controller.abort(new RangeError('enough'))
  else if (abortAfterMs !== undefined) setTimeout(() => controller.abort(new RangeError('enough')), abortAfterMs)
  const told = () => ({ sentBytes, sentTimes, tookMs: performance.now() - begunAtMs })
  try {
    const response = await transport.request({
      method: 'GET',
      path: '/',
      headers: {},
      stallTimeoutMs: 5_000,
      ...rest,
      signal: controller.signal,
      ...(bodyBytes === undefined ? {} : { body: new Uint8Array(bodyBytes) }),
      onSent: (byteCount) => {
        sentBytes += byteCount
        sentTimes++
      },
      ...(aliveEveryMs === undefined
        ? {}
        : {
            elsewhere: (alive) => {
              const timer = setInterval(alive, aliveEveryMs)
              return () => clearInterval(timer)
            },
          }),
    })
    const decoder = new TextDecoder()
    let text = ''
    for await (const bytes of response.body) {
      text += decoder.decode(bytes, { stream: true })
      if (text.length >= readBytesMax) break
    }
    response.discard()
    const { status } = response
    return { status, contentType: response.header('content-type'), etag: response.header('etag'), text, ...told() }
  } catch (error) {
    const { name, message } = error as Error
    return { error: error instanceof NoResponseError ? 'NoResponseError' : name, message, ...told() }
  }
}

/** Collects a part as the inbox does. @returns a description of the bytes, or the code of the problem */
export async function collected(lengthBytes: number, idleMs: number, abortAfterMs?: number): Promise<string> {
  const controller = new AbortController()
  const { signal } = controller
  if (abortAfterMs !== undefined) setTimeout(() => controller.abort(), abortAfterMs)
  const request = { method: 'GET', path: '/', headers: {}, isBulk: true, stallTimeoutMs: 5_000 } as const
  const { body, discard } = await transport.request(request)
  try {
    const bytes = await gather({ partNumber: 1, lengthBytes, body }, { idleMs, signal })
    return `${bytes.length} bytes, of ${[...new Set(bytes)].join()}`
  } catch (error) {
    return error instanceof Problem ? error.code : String(error)
  } finally {
    discard()
  }
}

/** Several requests at once. */
export function askAll(all: readonly Plain[]): Promise<Asked[]> {
  return Promise.all(all.map(ask))
}

/**
 * Sends a file of one part to bob by the typed client.
 *
 * @returns the parts that the portal holds
 */
export async function sendOnePart(token: string, transferId: string, sizeBytes: number): Promise<string> {
  const client = new PortalClient(transport, token)
  const bytes = new Uint8Array(sizeBytes).fill(7)
  const digest = digestOf('sha-256', bytes)
  const layout = { sizeBytes, partSizeBytes: sizeBytes }
  await client.announce(transferId, { to: ['bob'], metadata: { name: 'x' }, digestAlgorithm: 'sha-256', ...layout })
  await client.putPart(transferId, 1, { bytes, digestAlgorithm: 'sha-256', digest })
  return JSON.stringify((await client.transfer(transferId)).parts)
}

/**
 * Waits for the events of a transfer, up to the first one of that type.
 *
 * @returns the types
 */
export async function eventsUntil(token: string, type: string): Promise<string[]> {
  const gone = new AbortController()
  const types: string[] = []
  for await (const event of new PortalClient(transport, token).watchEvents({}, { signal: gone.signal })) {
    types.push(event.type)
    if (event.type === type) break
  }
  gone.abort()
  return types
}
