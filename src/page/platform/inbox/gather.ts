/**
 * Collects one part in memory, because WebCrypto needs a part as a whole. The transfer defines the size of a part, and
 * the portal limits it.
 */
import { IdleTimeout } from '../../../async/index.ts'
import { ThroughputWatch } from '../../../parts/index.ts'
import { Problem } from '../../../protocol/index.ts'
import type { ArrivingPart, PartBody, ReceiveLimits } from '../../../receiver/index.ts'

const NO_MIN_THROUGHPUT = { bytesPerSecond: 0, windowMs: 0 }

/** The properties of a part that `gather` uses. */
export type GatheredPart = Pick<ArrivingPart<PartBody>, 'partNumber' | 'lengthBytes'>

/** A body that is in another thread, and collected there. */
export interface GatheredBody {
  /** Like `gather` below. */
  gather(part: GatheredPart, limits: ReceiveLimits): Promise<Uint8Array<ArrayBuffer>>
}

/**
 * Reads the body to its end.
 *
 * @returns exactly the bytes of the part, in a buffer of their own
 * @throws Problem `part-incomplete` when the body ends early, is too long, breaks or stalls, and when the signal aborts
 */
export async function gather(
  { partNumber, lengthBytes, body }: GatheredPart & { readonly body: PartBody | GatheredBody | Uint8Array },
  limits: ReceiveLimits,
): Promise<Uint8Array<ArrayBuffer>> {
  if ('gather' in body) return body.gather({ partNumber, lengthBytes }, limits)
  const { idleMs, minThroughput = NO_MIN_THROUGHPUT, signal } = limits
  const bytes = new Uint8Array(lengthBytes)
  let arrivedBytes = 0
  const incomplete = (detail: string, cause?: unknown): Problem =>
    new Problem('part-incomplete', { partNumber, arrivedBytes, lengthBytes, detail }, { cause })
  const take = (arrived: Uint8Array): void => {
    if (arrivedBytes + arrived.length > lengthBytes) throw incomplete('more bytes arrived than were announced')
    bytes.set(arrived, arrivedBytes)
    arrivedBytes += arrived.length
  }
  const stopping = Promise.withResolvers<never>()
  stopping.promise.catch(() => {})
  const stop = (detail: string, cause?: unknown): void => stopping.reject(incomplete(detail, cause))
  const abort = (): void => stop('the transfer was aborted', signal.reason)
  using idle = new IdleTimeout(idleMs, () => stop(`no byte arrived for ${idleMs} ms`))
  using _ = new ThroughputWatch(
    minThroughput,
    () => arrivedBytes,
    () => stop(`fewer than ${minThroughput.bytesPerSecond} bytes a second arrived`),
  )
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  const iterator = body instanceof Uint8Array ? null : body[Symbol.asyncIterator]()
  try {
    if (body instanceof Uint8Array) take(body)
    while (iterator !== null) {
      const next = await Promise.race([nextOf(iterator, incomplete), stopping.promise])
      if (next.done === true) break
      idle.refresh()
      take(next.value)
    }
    if (arrivedBytes < lengthBytes) throw incomplete('the content ended early')
    return bytes
  } finally {
    signal.removeEventListener('abort', abort)
    // The caller closes the connection, which also ends a pending read.
    iterator?.return?.().catch(() => {})
  }
}

async function nextOf(
  iterator: AsyncIterator<Uint8Array>,
  incomplete: (detail: string, cause: unknown) => Problem,
): Promise<IteratorResult<Uint8Array>> {
  try {
    return await iterator.next()
  } catch (cause) {
    throw cause instanceof Problem ? cause : incomplete('the connection broke', cause)
  }
}
