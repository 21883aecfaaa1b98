/** Requests by the browser's transport, and what became of each, as data that a test can look at. */
import { browserTransport } from '../../../src/client/browser-transport.ts'
import { type HttpRequest, NoAnswer, PortalClient } from '../../../src/client/index.ts'
import { digestOf } from '../../../src/digests/index.ts'
import type { Asked } from '../asked.ts'

/** The portal of the origin is at this path. */
const transport = browserTransport(
  new URL(new URLSearchParams(location.search).get('portal') ?? '/', location.href).href,
)

type Plain = Partial<Pick<HttpRequest, 'method' | 'path' | 'headers' | 'stallMs'>> & {
  readonly bodyBytes?: number
  /** Reads only so much of the answer, then discards it. */
  readonly readBytesMax?: number
  readonly abortAfterMs?: number
  /** A sign of life by another way, so often. */
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
      stallMs: 5_000,
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
    return { error: error instanceof NoAnswer ? 'NoAnswer' : name, message, ...told() }
  }
}

/** Several at once. */
export function askAll(all: readonly Plain[]): Promise<Asked[]> {
  return Promise.all(all.map(ask))
}

/** Sends a file of one part to bob as the typed client does. @returns which parts the portal holds */
export async function sendOnePart(token: string, transferId: string, sizeBytes: number): Promise<string> {
  const client = new PortalClient(transport, token)
  const bytes = new Uint8Array(sizeBytes).fill(7)
  const digest = digestOf('sha-256', bytes)
  const layout = { sizeBytes, partSizeBytes: sizeBytes }
  await client.announce(transferId, { to: ['bob'], metadata: { name: 'x' }, digestAlgorithm: 'sha-256', ...layout })
  await client.putPart(transferId, 1, { bytes, digestAlgorithm: 'sha-256', digest })
  return JSON.stringify((await client.transfer(transferId)).parts)
}

/** Waits for the events of a transfer, until the one of that type. @returns the types */
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
