/**
 * Receives one part, at the portal and at the receiver.
 *
 * Bytes are hashed as they arrive and gathered into large writes. A part is committed only when all of its bytes came and
 * have the announced digest; otherwise nothing of it is kept. When `receivePart` resolves, the sink has made the part durable.
 */
import { finished, type Readable } from 'node:stream'
import { IdleTimeout } from '../async/index.ts'
import { releaseBuffer } from '../buffers/index.ts'
import { digestDriver, type Hasher } from '../digests/index.ts'
import { Problem } from '../protocol/index.ts'
import { type MinThroughput, ThroughputWatch } from './min-throughput.ts'
import type { PartExpectation, PartSink } from './part-sink.ts'

export interface ReceivePartOptions {
  /** The part fails when no byte arrives for this time. */
  readonly idleMs: number
  /** The part also fails when the source is slower than this. */
  readonly minThroughput?: MinThroughput
  readonly signal?: AbortSignal
  /** True when `receivePart` owns the buffers of the source. It then frees their memory once they are written. */
  readonly transfersOwnership?: boolean
  /** Called with the number of bytes that have just arrived. An error that it throws ends the part. */
  readonly onBytes?: (byteCount: number) => void
  /** Gets every byte of the part in order, for a digest over more than one part. */
  readonly extraHasher?: Pick<Hasher, 'update'> | null
  /** The beginning of the part, if an earlier source has brought it. It counts in the length and the digest of the part. */
  readonly head?: PartHead | null
}

/** The beginning of a part that an earlier source has brought. */
export interface PartHead {
  readonly lengthBytes: number
  /** Its bytes, read once. The reader owns them. @throws what ends the part */
  bytes(): AsyncIterable<Uint8Array>
}

const NO_MIN_THROUGHPUT: MinThroughput = { bytesPerSecond: 0, windowMs: 0 }
/** About this many bytes are gathered for one write: few system calls, and the bytes are still in the processor's cache. */
const GATHER_BYTES = 1024 * 1024

/**
 * Reads a part from `source` to its end, verifies it and commits it to the sink.
 *
 * @throws Problem `part-incomplete` when the source ends early, brings too much, breaks or stalls;
 *   `digest-mismatching-value` when the bytes are not those of the digest. Errors of the sink pass through.
 */
export async function receivePart(
  source: Readable,
  expected: PartExpectation,
  openSink: () => Promise<PartSink>,
  options: ReceivePartOptions,
): Promise<void> {
  const { partNumber, lengthBytes, digest } = expected
  await receive(source, expected, openSink, options, {
    hasMore: false,
    check: (arrivedBytes, actual, incomplete) => {
      if (arrivedBytes < lengthBytes) throw incomplete('the content ended early')
      if (actual() === digest) return true
      throw new Problem('digest-mismatching-value', { partNumber, expected: digest, actual: actual() })
    },
  })
}

/** A part that was received without a digest to compare with. */
export interface ReceivedPart {
  readonly lengthBytes: number
  /** hex */
  readonly digest: string
}

/**
 * Reads the next part of a source that brings several parts one after another, and leaves the following bytes in the source.
 * The digests of these parts are not known: the caller verifies the content as a whole.
 *
 * @param limits `lengthBytes` is the most that one part takes
 * @returns a part shorter than `lengthBytes` only at the end of the source; null, and nothing is committed, when the source had ended before
 * @throws Problem `part-incomplete` when the source breaks or stalls. Errors of the sink pass through.
 */
export async function receiveNextPart(
  source: Readable,
  limits: Omit<PartExpectation, 'digest'>,
  openSink: () => Promise<PartSink>,
  options: ReceivePartOptions,
): Promise<ReceivedPart | null> {
  if (source.readableEnded && options.head == null) return null
  const { lengthBytes, digest } = await receive(source, limits, openSink, options, {
    hasMore: true,
    check: (arrivedBytes) => arrivedBytes > 0,
  })
  return lengthBytes === 0 ? null : { lengthBytes, digest }
}

/** The expected length and digest of a part. */
interface Demand {
  /** Whether the source may bring more than this part. What follows stays in it. */
  readonly hasMore: boolean
  /** @returns false when there is nothing to commit. @throws Problem for wrong bytes */
  check(arrivedBytes: number, actual: () => string, incomplete: (detail: string) => Problem): boolean
}

async function receive(
  source: Readable,
  { partNumber, lengthBytes, digestAlgorithm }: Omit<PartExpectation, 'digest'>,
  openSink: () => Promise<PartSink>,
  options: ReceivePartOptions,
  demand: Demand,
): Promise<ReceivedPart> {
  const hasher = digestDriver(digestAlgorithm).create()
  const sink = await openSink()
  let gathered: Uint8Array[] = []
  let gatheredBytes = 0
  let arrivedBytes = 0
  /** Whether the part ended because of its source. What came before that may be kept. */
  let isBroken = false
  // One write may run while the next bytes arrive and are hashed.
  let isWriting = false
  let writing: Promise<void> = Promise.resolve()

  const startWriting = (): void => {
    isWriting = true
    writing = write(sink, gathered, options.transfersOwnership === true)
    // The next wait for the write throws its error; until then it is not "unhandled".
    writing.then(
      () => {
        isWriting = false
      },
      () => {},
    )
    gathered = []
    gatheredBytes = 0
  }
  const incomplete = (detail: string, cause?: unknown): Problem => {
    isBroken = true
    return new Problem('part-incomplete', { partNumber, arrivedBytes, lengthBytes, detail }, { cause })
  }

  using idle = new IdleTimeout(options.idleMs, () => {
    source.destroy(incomplete(`no byte arrived for ${options.idleMs} ms`))
  })
  const minThroughput = options.minThroughput ?? NO_MIN_THROUGHPUT
  const tooSlow = `fewer than ${minThroughput.bytesPerSecond} bytes a second arrived`
  using throughputWatch = new ThroughputWatch(
    minThroughput,
    () => arrivedBytes,
    () => source.destroy(incomplete(tooSlow)),
  )
  const abort = (): void => {
    source.destroy(incomplete('the transfer was aborted', options.signal?.reason))
  }
  options.signal?.addEventListener('abort', abort, { once: true })
  try {
    if (options.head != null) {
      // Reading the head is no silence of the source. An error of the source meanwhile is found when it is read.
      idle.pause()
      throughputWatch.excuse()
      source.on('error', ignore)
      for await (const bytes of options.head.bytes()) {
        arrivedBytes += bytes.length
        hasher.update(bytes)
        await write(sink, [bytes], options.transfersOwnership === true)
      }
      throughputWatch.resume()
      idle.refresh()
    }
    if (options.signal?.aborted === true) abort()
    const afterWriting = async (): Promise<void> => {
      // The time that a slow sink takes does not count as silence of the source.
      idle.pause()
      throughputWatch.excuse()
      await writing
      startWriting()
      throughputWatch.resume()
      idle.refresh()
    }
    await consume(source, incomplete, (arrived) => {
      idle.refresh()
      // The same object where possible: only that can be released.
      const isCut = demand.hasMore && arrived.length > lengthBytes - arrivedBytes
      const bytes = isCut ? arrived.subarray(0, lengthBytes - arrivedBytes) : arrived
      arrivedBytes += bytes.length
      if (arrivedBytes > lengthBytes) throw incomplete('more bytes arrived than were announced')
      hasher.update(bytes)
      options.extraHasher?.update(bytes)
      gathered.push(bytes)
      gatheredBytes += bytes.length
      options.onBytes?.(bytes.length)
      if (demand.hasMore && arrivedBytes === lengthBytes) return { rest: arrived.subarray(bytes.length) }
      if (gatheredBytes < GATHER_BYTES) return undefined
      if (isWriting) return afterWriting()
      startWriting()
      return undefined
    })
    idle[Symbol.dispose]()
    throughputWatch.excuse()
    let digest: string | null = null
    const actual = (): string => {
      digest ??= hasher.digest()
      return digest
    }
    const isWanted = demand.check(arrivedBytes, actual, incomplete)
    await writing
    if (gatheredBytes > 0) startWriting()
    await writing
    if (isWanted) await sink.commit(actual())
    else await sink.discard()
    return { lengthBytes: arrivedBytes, digest: actual() }
  } catch (error) {
    const isWritten = await writing.then(
      () => true,
      () => false,
    )
    const keep = isBroken && isWritten ? sink.keep?.bind(sink) : undefined
    if (keep === undefined) await sink.discard()
    else {
      // Bytes that had arrived and were not read yet.
      for (const bytes of restOf(source, lengthBytes - arrivedBytes)) {
        arrivedBytes += bytes.length
        hasher.update(bytes)
        gathered.push(bytes)
        gatheredBytes += bytes.length
      }
      if (gatheredBytes > 0) startWriting()
      await writing
      await keep(hasher.digest())
    }
    throw error
  } finally {
    options.signal?.removeEventListener('abort', abort)
  }
}

/** What a stream that broke still has in its buffer, up to some bytes. */
function* restOf(source: Readable, bytesMax: number): Generator<Uint8Array> {
  let leftBytes = bytesMax
  while (leftBytes > 0) {
    const bytes: Uint8Array | null = source.read()
    if (bytes === null) return
    yield bytes.subarray(0, leftBytes)
    leftBytes -= bytes.length
  }
}

const ignore = (): void => {}

async function write(sink: PartSink, buffers: readonly Uint8Array[], transfersOwnership: boolean): Promise<void> {
  await sink.write(buffers)
  if (transfersOwnership && sink.retainsBuffers !== true) buffers.forEach(releaseBuffer)
}

/**
 * Gives the bytes of a stream to `take`, and pauses the stream while `take` works. The stream stays open when the reader stops
 * early, because a refusal is still sent over the connection on which the rest of the body arrives. Bytes that `take` leaves
 * as `rest` go back into the stream for the next reader.
 *
 * @throws what `take` throws; an incomplete part when the stream fails
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
      // Later errors of this stream are ignored.
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
    // An earlier reader may have left it paused.
    source.resume()
  })
}
