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

/** A body that is read into a given buffer, without a copy in between. */
export interface DirectBody {
  /**
   * Reads the next bytes, at least one before the end.
   *
   * @param buffer is detached; its memory comes back with the result
   * @returns no bytes at the end; more bytes than there is room for when the body does not know the buffer before it has them
   */
  readInto(buffer: ArrayBuffer, atByte: number): Promise<{ readonly buffer: ArrayBuffer; readonly readBytes: number }>
}

/**
 * Reads the body to its end.
 *
 * @returns exactly the bytes of the part, in a buffer of their own
 * @throws Problem `part-incomplete` when the body ends early, is too long, breaks or stalls, and when the signal aborts
 */
export async function gather(
  {
    partNumber,
    lengthBytes,
    body,
  }: GatheredPart & { readonly body: PartBody | GatheredBody | DirectBody | Uint8Array },
  limits: ReceiveLimits,
): Promise<Uint8Array<ArrayBuffer>> {
  if ('gather' in body) return body.gather({ partNumber, lengthBytes }, limits)
  const { idleMs, minThroughput = NO_MIN_THROUGHPUT, signal } = limits
  let buffer = new ArrayBuffer(lengthBytes)
  let arrivedBytes = 0
  const incomplete = (detail: string, cause?: unknown): Problem =>
    new Problem('part-incomplete', { partNumber, arrivedBytes, lengthBytes, detail }, { cause })
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
  const iterator = 'readInto' in body || body instanceof Uint8Array ? null : body[Symbol.asyncIterator]()
  const direct = 'readInto' in body ? body : copying(iterator ?? onlyOf(body as Uint8Array))
  try {
    for (;;) {
      const isFull = arrivedBytes === lengthBytes
      // After the last byte of the part only the end may come.
      const reading = isFull ? direct.readInto(new ArrayBuffer(1), 0) : direct.readInto(buffer, arrivedBytes)
      const read = await Promise.race([orIncomplete(reading, incomplete), stopping.promise])
      if (read.readBytes === 0) break
      idle.refresh()
      if (isFull || arrivedBytes + read.readBytes > lengthBytes) {
        throw incomplete('more bytes arrived than were announced')
      }
      buffer = read.buffer
      arrivedBytes += read.readBytes
    }
    if (arrivedBytes < lengthBytes) throw incomplete('the content ended early')
    return new Uint8Array(buffer)
  } finally {
    signal.removeEventListener('abort', abort)
    // The caller closes the connection, which also ends a pending read.
    iterator?.return?.().catch(() => {})
  }
}

/** A body that brings buffers of its own. */
function copying(iterator: AsyncIterator<Uint8Array>): DirectBody {
  return {
    async readInto(buffer, atByte) {
      for (;;) {
        const { done, value } = await iterator.next()
        if (done === true) return { buffer, readBytes: 0 }
        if (value.length === 0) continue
        if (atByte + value.length <= buffer.byteLength) new Uint8Array(buffer).set(value, atByte)
        return { buffer, readBytes: value.length }
      }
    },
  }
}

async function* onlyOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function orIncomplete<Result>(
  reading: Promise<Result>,
  incomplete: (detail: string, cause: unknown) => Problem,
): Promise<Result> {
  try {
    return await reading
  } catch (cause) {
    throw cause instanceof Problem ? cause : incomplete('the connection broke', cause)
  }
}
