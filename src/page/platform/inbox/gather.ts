/** One part, gathered in memory: WebCrypto takes a part as a whole. How long a part is, its transfer says and the portal bounds. */
import { FloorWatch } from '../../../hop/index.ts'
import { Problem } from '../../../protocol/index.ts'
import type { ArrivingPart, PartBody, TakeLimits } from '../../../receiver/index.ts'

const NO_FLOOR = { bytesPerSecond: 0, windowMs: 0 }

/**
 * Reads the body to its end.
 *
 * @returns as many bytes as the part has, in memory of their own
 * @throws Problem `part-incomplete` when it ends early, brings too much, breaks or stalls, and when the signal aborts
 */
export async function gather(
  { partNumber, lengthBytes, body }: Pick<ArrivingPart<PartBody>, 'partNumber' | 'lengthBytes' | 'body'>,
  { idleMs, floor = NO_FLOOR, signal }: TakeLimits,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(lengthBytes)
  let arrivedBytes = 0
  const incomplete = (detail: string, cause?: unknown): Problem =>
    new Problem('part-incomplete', { partNumber, arrivedBytes, lengthBytes, detail }, { cause })
  const take = (arrived: Uint8Array): void => {
    if (arrivedBytes + arrived.length > lengthBytes) throw incomplete('more bytes came than were announced')
    bytes.set(arrived, arrivedBytes)
    arrivedBytes += arrived.length
  }
  const stopping = Promise.withResolvers<never>()
  stopping.promise.catch(() => {})
  const stop = (detail: string, cause?: unknown): void => stopping.reject(incomplete(detail, cause))
  const stalled = (): void => stop(`no byte came for ${idleMs} ms`)
  const abort = (): void => stop('the transfer was given up', signal.reason)
  let watchdog = setTimeout(stalled, idleMs)
  using _ = new FloorWatch(
    floor,
    () => arrivedBytes,
    () => stop(`less than ${floor.bytesPerSecond} bytes a second came`),
  )
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  const iterator = body instanceof Uint8Array ? null : body[Symbol.asyncIterator]()
  try {
    if (body instanceof Uint8Array) take(body)
    while (iterator !== null) {
      const next = await Promise.race([nextOf(iterator, incomplete), stopping.promise])
      if (next.done === true) break
      clearTimeout(watchdog)
      watchdog = setTimeout(stalled, idleMs)
      take(next.value)
    }
    if (arrivedBytes < lengthBytes) throw incomplete('the content ended early')
    return bytes
  } finally {
    clearTimeout(watchdog)
    signal.removeEventListener('abort', abort)
    // A read that is under way ends with its connection, which whoever has it gives up.
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
