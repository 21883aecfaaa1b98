/**
 * Taking in one part: the same at the portal and at the receiver.
 *
 * Bytes are hashed as they arrive and gathered into large writes. A part is committed only when every byte of it
 * came and the digest is the one announced; otherwise nothing of it is kept. When `takePart` resolves, the sink
 * has made the part durable.
 */
import { finished, type Readable } from 'node:stream'
import { digestDriver } from '../digests/index.ts'
import { type DigestAlgorithm, Problem } from '../protocol/index.ts'
import { type Floor, FloorWatch } from './floor.ts'
import { release } from './memory.ts'

/** Where the bytes of one part go. Exactly one of `commit` and `discard` is called, once, as the last call. */
export interface PartSink {
  /** Appends. The buffers belong to the sink until the promise resolves. */
  write(buffers: readonly Uint8Array[]): Promise<void>
  /** Makes the part durable, then visible under its number. */
  commit(): Promise<void>
  /** Leaves no trace of the part. Never throws for a part that is already gone. */
  discard(): Promise<void>
}

/** What the part has to be. */
export interface PartExpectation {
  readonly partNumber: number
  readonly lengthBytes: number
  readonly digestAlgorithm: DigestAlgorithm
  /** hex */
  readonly digest: string
}

export interface TakePartOptions {
  /** A source that brings nothing for so long has stalled: the part is given up. */
  readonly idleMs: number
  /** A source that is slower than this is given up, too. */
  readonly floor?: Floor
  readonly signal?: AbortSignal
  /** Nobody else uses what the source brings: its memory is given back as soon as it has been written. */
  readonly isOwner?: boolean
  /** Called with the number of bytes that have just arrived. */
  readonly onBytes?: (byteCount: number) => void
}

const NO_FLOOR: Floor = { bytesPerSecond: 0, windowMs: 0 }
/** Bytes are gathered to about this much before they are written: few system calls, and still in the cache of the processor. */
const GATHER_BYTES = 512 * 1024

/**
 * Reads a part from `source` to its end, verifies it and commits it to the sink.
 *
 * @throws Problem `part-incomplete` when the source ends early, brings too much, breaks or stalls;
 *   `digest-mismatching-value` when the bytes are not those of the digest. Errors of the sink pass through.
 */
export async function takePart(
  source: Readable,
  expected: PartExpectation,
  openSink: () => Promise<PartSink>,
  options: TakePartOptions,
): Promise<void> {
  const { partNumber, lengthBytes } = expected
  const hasher = digestDriver(expected.digestAlgorithm).create()
  const sink = await openSink()
  let gathered: Uint8Array[] = []
  let gatheredBytes = 0
  let arrivedBytes = 0
  // One write may be under way while the next bytes arrive and are hashed.
  let isWriting = false
  let writing: Promise<void> = Promise.resolve()

  const startWriting = (): void => {
    isWriting = true
    writing = write(sink, gathered, options.isOwner === true)
    // A failure is seen by whoever waits for the write next; until then it is not "unhandled".
    writing.then(
      () => {
        isWriting = false
      },
      () => {},
    )
    gathered = []
    gatheredBytes = 0
  }
  const incomplete = (detail: string, cause?: unknown): Problem =>
    new Problem('part-incomplete', { partNumber, arrivedBytes, lengthBytes, detail }, { cause })

  // A slow sink is not a silent source: the time that it takes does not count.
  let isFlushing = false
  const watchdog = setTimeout(() => {
    if (isFlushing) watchdog.refresh()
    else source.destroy(incomplete(`no byte came for ${options.idleMs} ms`))
  }, options.idleMs)
  const floor = options.floor ?? NO_FLOOR
  const tooSlow = `less than ${floor.bytesPerSecond} bytes a second came`
  using floorWatch = new FloorWatch(
    floor,
    () => arrivedBytes,
    () => source.destroy(incomplete(tooSlow)),
  )
  const abort = (): void => {
    source.destroy(incomplete('the transfer was given up', options.signal?.reason))
  }
  options.signal?.addEventListener('abort', abort, { once: true })
  try {
    if (options.signal?.aborted === true) abort()
    const afterWriting = async (): Promise<void> => {
      isFlushing = true
      floorWatch.excuse()
      await writing
      startWriting()
      floorWatch.resume()
      isFlushing = false
      watchdog.refresh()
    }
    await consume(source, incomplete, (bytes) => {
      watchdog.refresh()
      arrivedBytes += bytes.length
      if (arrivedBytes > lengthBytes) throw incomplete('more bytes came than were announced')
      hasher.update(bytes)
      gathered.push(bytes)
      gatheredBytes += bytes.length
      options.onBytes?.(bytes.length)
      if (gatheredBytes < GATHER_BYTES) return undefined
      if (isWriting) return afterWriting()
      startWriting()
      return undefined
    })
    clearTimeout(watchdog)
    floorWatch.excuse()
    if (arrivedBytes < lengthBytes) throw incomplete('the content ended early')
    const actual = hasher.digest()
    if (actual !== expected.digest) {
      throw new Problem('digest-mismatching-value', { partNumber, expected: expected.digest, actual })
    }
    await writing
    if (gatheredBytes > 0) startWriting()
    await writing
    await sink.commit()
  } catch (error) {
    await writing.catch(() => {})
    await sink.discard()
    throw error
  } finally {
    clearTimeout(watchdog)
    options.signal?.removeEventListener('abort', abort)
  }
}

async function write(sink: PartSink, buffers: readonly Uint8Array[], isOwner: boolean): Promise<void> {
  await sink.write(buffers)
  if (isOwner) buffers.forEach(release)
}

/**
 * Shows every run of bytes of a stream to `take`, and holds the stream up while that is at work. The stream outlives a
 * reader that stops early, so that a refusal can still be answered over the connection that the rest of the body comes
 * from.
 *
 * @throws what `take` throws; the failure of the stream, told as an incomplete part
 */
async function consume(
  source: Readable,
  incomplete: (detail: string, cause: unknown) => Problem,
  take: (bytes: Uint8Array) => Promise<void> | undefined,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const stop = (error?: unknown): void => {
      stopWatching()
      source.off('data', onData)
      source.pause()
      // Its failure is nobody's business any more.
      source.on('error', () => {})
      if (error === undefined) resolve()
      else reject(error)
    }
    const onData = (bytes: Uint8Array): void => {
      try {
        const taking = take(bytes)
        if (taking === undefined) return
        source.pause()
        taking.then(() => source.resume(), stop)
      } catch (error) {
        stop(error)
      }
    }
    const stopWatching = finished(source, { writable: false }, (cause) => {
      if (cause === undefined || cause === null) stop()
      else stop(cause instanceof Problem ? cause : incomplete('the connection broke', cause))
    })
    source.on('data', onData)
  })
}
