/**
 * Taking in one part: the same at the portal and at the receiver.
 *
 * Bytes are hashed as they arrive and gathered into large writes. A part is committed only when every byte of it
 * came and the digest is the one announced; otherwise nothing of it is kept. When `takePart` resolves, the sink
 * has made the part durable.
 */
import { finished, type Readable } from 'node:stream'
import { digestDriver, type Hasher } from '../digests/index.ts'
import { Problem } from '../protocol/index.ts'
import { type Floor, FloorWatch } from './floor.ts'
import { release } from './memory.ts'
import type { PartExpectation, PartSink } from './part-sink.ts'

export interface TakePartOptions {
  /** A source that brings nothing for so long has stalled: the part is given up. */
  readonly idleMs: number
  /** A source that is slower than this is given up, too. */
  readonly floor?: Floor
  readonly signal?: AbortSignal
  /** Nobody else uses what the source brings: its memory is given back as soon as it has been written. */
  readonly isOwner?: boolean
  /** Called with the number of bytes that have just arrived. What it throws ends the part. */
  readonly onBytes?: (byteCount: number) => void
  /** Is shown every byte that is taken, in order: for a digest over more than one part. */
  readonly beside?: Pick<Hasher, 'update'> | null
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
  const { partNumber, lengthBytes, digest } = expected
  await take(source, expected, openSink, options, {
    goesOn: false,
    judge: (arrivedBytes, actual, incomplete) => {
      if (arrivedBytes < lengthBytes) throw incomplete('the content ended early')
      if (actual() === digest) return true
      throw new Problem('digest-mismatching-value', { partNumber, expected: digest, actual: actual() })
    },
  })
}

/** What was taken of a source that nobody knew the digest of before. */
export interface TakenPart {
  readonly lengthBytes: number
  /** hex */
  readonly digest: string
}

/**
 * Reads the next part of a source that brings several, one after another, and leaves what follows in the source. Nothing
 * says what the bytes should be: whoever asks for them has to verify them as a whole.
 *
 * @param limits `lengthBytes` is the most that is taken
 * @returns less than `lengthBytes` only where the source has ended; null, and nothing is committed, where it had ended before
 * @throws Problem `part-incomplete` when the source breaks or stalls. Errors of the sink pass through.
 */
export async function takeNextPart(
  source: Readable,
  limits: Omit<PartExpectation, 'digest'>,
  openSink: () => Promise<PartSink>,
  options: TakePartOptions,
): Promise<TakenPart | null> {
  if (source.readableEnded) return null
  const { lengthBytes, digest } = await take(source, limits, openSink, options, {
    goesOn: true,
    judge: (arrivedBytes) => arrivedBytes > 0,
  })
  return lengthBytes === 0 ? null : { lengthBytes, digest }
}

/** What is asked of the bytes once they are there. */
interface Demand {
  /** Whether more than this part may come. */
  readonly goesOn: boolean
  /** @returns false where there is nothing to commit. @throws Problem for bytes that are not those that were meant */
  judge(arrivedBytes: number, actual: () => string, incomplete: (detail: string) => Problem): boolean
}

async function take(
  source: Readable,
  { partNumber, lengthBytes, digestAlgorithm }: Omit<PartExpectation, 'digest'>,
  openSink: () => Promise<PartSink>,
  options: TakePartOptions,
  demand: Demand,
): Promise<TakenPart> {
  const hasher = digestDriver(digestAlgorithm).create()
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
    await consume(source, incomplete, (arrived) => {
      watchdog.refresh()
      const bytes = demand.goesOn ? arrived.subarray(0, lengthBytes - arrivedBytes) : arrived
      arrivedBytes += bytes.length
      if (arrivedBytes > lengthBytes) throw incomplete('more bytes came than were announced')
      hasher.update(bytes)
      options.beside?.update(bytes)
      gathered.push(bytes)
      gatheredBytes += bytes.length
      options.onBytes?.(bytes.length)
      if (demand.goesOn && arrivedBytes === lengthBytes) return { rest: arrived.subarray(bytes.length) }
      if (gatheredBytes < GATHER_BYTES) return undefined
      if (isWriting) return afterWriting()
      startWriting()
      return undefined
    })
    clearTimeout(watchdog)
    floorWatch.excuse()
    let digest: string | null = null
    const actual = (): string => {
      digest ??= hasher.digest()
      return digest
    }
    const isWanted = demand.judge(arrivedBytes, actual, incomplete)
    await writing
    if (gatheredBytes > 0) startWriting()
    await writing
    if (isWanted) await sink.commit(actual())
    else await sink.discard()
    return { lengthBytes: arrivedBytes, digest: actual() }
  } catch (error) {
    await writing.catch(() => {})
    await sink.discard()
    throw error
  } finally {
    clearTimeout(watchdog)
    options.signal?.removeEventListener('abort', abort)
  }
}

const ignore = (): void => {}

async function write(sink: PartSink, buffers: readonly Uint8Array[], isOwner: boolean): Promise<void> {
  await sink.write(buffers)
  if (isOwner && sink.isKeeping !== true) buffers.forEach(release)
}

/**
 * Shows every run of bytes of a stream to `take`, and holds the stream up while that is at work. The stream outlives a
 * reader that stops early, so that a refusal can still be answered over the connection that the rest of the body comes
 * from. What `take` leaves as `rest` goes back into the stream, for the next who reads it.
 *
 * @throws what `take` throws; the failure of the stream, told as an incomplete part
 */
async function consume(
  source: Readable,
  incomplete: (detail: string, cause: unknown) => Problem,
  take: (bytes: Uint8Array) => Promise<void> | { readonly rest: Uint8Array } | undefined,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const stop = (error?: unknown): void => {
      stopWatching()
      source.off('data', onData)
      source.pause()
      // Its failure is nobody's business any more.
      source.off('error', ignore)
      source.on('error', ignore)
      if (error === undefined) resolve()
      else reject(error)
    }
    const onData = (bytes: Uint8Array): void => {
      try {
        const taking = take(bytes)
        if (taking === undefined) return
        if ('rest' in taking) {
          stop()
          if (taking.rest.length > 0) source.unshift(taking.rest)
          return
        }
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
    // An earlier reader has left it paused.
    source.resume()
  })
}
