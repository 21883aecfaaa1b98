/**
 * One attempt to upload the content: every part is read and hashed, and the parts that the portal lacks are sent.
 *
 * Reading is one part ahead of sending. The hashed bytes are sent from the same buffer, so the digests are those of the sent
 * bytes even if the file changes meanwhile.
 */
import {
  AdaptiveConcurrency,
  type ConcurrencyBounds,
  NoResponseError,
  type PartInFlight,
  RemoteProblem,
  type RetryPolicy,
} from '../client/index.ts'
import { type Limits, type PartLayout, partCount, partSpan } from '../protocol/index.ts'
import type { ContentKey, PartDigests } from '../trust/index.ts'
import { BufferPool } from './buffer-pool.ts'
import type { SendContext } from './context.ts'
import type { JournalEntry } from './journal.ts'
import { layoutOf, sealOf, wireLayoutOf } from './layout.ts'
import type { SealRecord } from './seal-record.ts'
import type { OpenSource } from './source.ts'
import type { UploadCuts } from './upload-cuts.ts'

/** After this many damaged arrivals of a part the sender gives up. */
const PART_TRIES_MAX = 5

export interface UploadAttempt {
  readonly context: SendContext
  readonly entry: JournalEntry
  readonly file: OpenSource
  readonly retryPolicy: RetryPolicy
  /** The digests of parts read by earlier attempts of this run, by part number. Parts that are read now are added. */
  readonly digests: Map<number, PartDigests>
  /** Null where the transfer is not sealed. */
  readonly seal: Seal | null
  readonly cuts: UploadCuts
}

/** The key that seals the parts, and the record of what it has sealed. */
export interface Seal {
  readonly contentKey: ContentKey
  readonly record: SealRecord
}

/**
 * Sends every part that the portal does not hold with this file's digest. When it resolves, the portal holds all parts,
 * `digests` is complete, and the file is unchanged since it was read.
 *
 * @param held the parts that the portal holds: part number -> digest in hex
 * @throws Problem `source-changed`, `source-unreadable`; SealConflictError; UploadsCutError; NoResponseError when silence lasted too
 *   long or a part never arrives undamaged; RemoteProblem that no retry can solve; the signal's reason
 */
export async function uploadParts(upload: UploadAttempt, held: ReadonlyMap<number, string>): Promise<void> {
  const { context, entry, file, digests, seal } = upload
  const layout = layoutOf(entry)
  const wireLayout = wireLayoutOf(entry)
  const progress = new UploadProgress(upload)
  const pool = poolOf(context, wireLayout)
  const uploader = new PartUploader(
    context,
    new AdaptiveConcurrency(boundsOf(context, pool), () => context.client.roundTrips.shortestMs),
  )
  const keepAlive = new KeepAlive(upload)
  try {
    for (let partNumber = 1; partNumber <= partCount(layout); partNumber++) {
      const { offsetBytes, lengthBytes } = partSpan(layout, partNumber)
      const known = digests.get(partNumber)
      if (known !== undefined && known.digest === held.get(partNumber)) {
        progress.skipped(lengthBytes)
        continue
      }
      const buffer = await pool.take()
      if (uploader.isStopped) break
      const bytes = buffer.subarray(0, partSpan(wireLayout, partNumber).lengthBytes)
      const partSeal = seal === null ? null : sealOf(entry, seal.contentKey, partNumber)
      const read = await file.readPart(bytes, offsetBytes, entry.digestAlgorithm, partSeal)
      digests.set(partNumber, read)
      const { digest } = read
      progress.hashed(lengthBytes)
      if (held.get(partNumber) === digest) {
        progress.acknowledged(partNumber, lengthBytes)
        pool.give(buffer)
        await keepAlive.askIfDue()
        continue
      }
      const part = { partNumber, bytes, lengthBytes, digest, progress, signal: uploader.partSignal() }
      await uploader.add((inFlight) => sendPart(upload, { ...part, inFlight }).finally(() => pool.give(buffer)))
      keepAlive.requested()
    }
  } catch (error) {
    uploader.fail(error)
  }
  await uploader.done()
  await file.assertUnchanged(() => keepAlive.askIfDue())
}

/** How many keep-alive requests are made within the portal's upload timeout. */
const QUESTIONS_PER_UPLOAD_TIMEOUT = 3

/** The interval of keep-alive requests for a transfer of which nothing is sent at the moment. */
export function keepAliveMs({ uploadTimeoutMs }: Limits): number {
  return uploadTimeoutMs / QUESTIONS_PER_UPLOAD_TIMEOUT
}

/**
 * While the sender reads a large file again, it sends nothing, and the portal would give the upload up. So the sender asks for the
 * state of the transfer from time to time.
 */
class KeepAlive {
  readonly #upload: UploadAttempt
  readonly #everyMs: number
  #requestedAtMs = performance.now()

  constructor(upload: UploadAttempt) {
    this.#upload = upload
    this.#everyMs = keepAliveMs(upload.context.limits)
  }

  /** Notes that a request was made. */
  requested(): void {
    this.#requestedAtMs = performance.now()
  }

  /** Makes a keep-alive request if the last request is long enough ago. */
  async askIfDue(): Promise<void> {
    if (performance.now() - this.#requestedAtMs < this.#everyMs) return
    const { context, entry, retryPolicy } = this.#upload
    const { client, signal } = context
    await retryPolicy.retry(() =>
      client.transfer(entry.transferId, { stallTimeoutMs: retryPolicy.stallTimeoutMs, signal }),
    )
    this.requested()
  }
}

/** Sends several parts at the same time. The first failure stops the others. */
export class PartUploader {
  readonly #context: SendContext
  readonly #concurrency: AdaptiveConcurrency
  readonly #stop = new AbortController()
  readonly #uploads = new Set<Promise<void>>()
  readonly #failures: unknown[] = []

  constructor(context: SendContext, concurrency: AdaptiveConcurrency) {
    this.#context = context
    this.#concurrency = concurrency
  }

  get isStopped(): boolean {
    return this.#context.signal.aborted || this.#stop.signal.aborted
  }

  /** Aborts when a part has failed. */
  get stopped(): AbortSignal {
    return this.#stop.signal
  }

  /** A signal that aborts when the uploader stops. Each part gets its own, so that listeners do not pile up on one. */
  partSignal(): AbortSignal {
    return AbortSignal.any([this.#context.signal, this.#stop.signal])
  }

  /** Starts sending a part as soon as another one may be in flight. Never rejects. */
  async add(send: (part: PartInFlight) => Promise<void>): Promise<void> {
    while (this.#uploads.size >= this.#concurrency.allowed) await Promise.race(this.#uploads)
    const sending = send(this.#concurrency.started())
      .catch((error) => this.fail(error))
      .finally(() => this.#uploads.delete(sending))
    this.#uploads.add(sending)
  }

  fail(error: unknown): void {
    this.#failures.push(error)
    this.#stop.abort(new Error('another part of the same transfer failed'))
  }

  /** Resolves when nothing uses a buffer any more. @throws the first failure, or the reason of the caller's signal */
  async done(): Promise<void> {
    await Promise.all(this.#uploads)
    this.#context.signal.throwIfAborted()
    if (this.#failures.length > 0) throw this.#failures[0]
  }
}

interface PartOnItsWay {
  readonly partNumber: number
  readonly bytes: Uint8Array
  /** The length in the file. A sealed part is longer. */
  readonly lengthBytes: number
  readonly digest: string
  readonly progress: UploadProgress
  readonly inFlight: PartInFlight
  readonly signal: AbortSignal
}

/** Sends one part until the portal holds it. */
export async function sendPart(
  upload: Omit<UploadAttempt, 'file' | 'digests'>,
  { partNumber, bytes, lengthBytes, digest, progress, inFlight, signal }: PartOnItsWay,
): Promise<void> {
  const { context, entry, retryPolicy, seal, cuts } = upload
  const { transferId, digestAlgorithm } = entry
  await seal?.record.note(partNumber, digest)
  // Load balancers drop interim answers, so the portal also reports arriving bytes by the event stream.
  const elsewhere = (alive: () => void) => context.events.onArriving(transferId, partNumber, alive)
  let furthestBytes = 0
  let isFirstTry = true
  const put = async (): Promise<void> => {
    if (!isFirstTry) inFlight.disturbed()
    isFirstTry = false
    let sentBytes = 0
    const onSent = (byteCount: number): void => {
      sentBytes += byteCount
      progress.sent(partNumber, Math.min(sentBytes, lengthBytes))
      // Bytes that leave this process may get no further than the kernel. So only bytes beyond those of earlier tries count as a
      // sign of life. Otherwise the sender would wait without end for a portal that accepts connections and never reads.
      if (sentBytes <= furthestBytes) return
      furthestBytes = sentBytes
      retryPolicy.markAlive()
    }
    const beganAtMs = performance.now()
    try {
      await context.client.putPart(
        transferId,
        partNumber,
        { bytes, digestAlgorithm, digest },
        { stallTimeoutMs: retryPolicy.stallTimeoutMs, signal, onSent, onAlive: retryPolicy.markAlive, elsewhere },
      )
      cuts.forget()
    } catch (error) {
      await cuts.check(error, { upload, partNumber, beganAtMs, signal })
      throw error
    }
  }
  for (let tries = 1; ; tries++) {
    try {
      await retryPolicy.retry(put)
      inFlight.ended(bytes.length)
      return progress.acknowledged(partNumber, lengthBytes)
    } catch (error) {
      progress.sent(partNumber, 0)
      if (!(error instanceof RemoteProblem) || error.next !== 'resend') throw error
      retryPolicy.markAlive()
      if (tries >= PART_TRIES_MAX) {
        const reason = `part ${partNumber} did not arrive whole in ${tries} tries: ${error.message}`
        throw new NoResponseError(reason, { cause: error })
      }
      context.onEvent({ type: 'repeating', transferId, wanted: [[partNumber, partNumber]], problem: error.problem })
    }
  }
}

function poolOf({ bufferBytesMax, partsInFlight }: SendContext, layout: PartLayout): BufferPool {
  const sizeBytes = Math.min(layout.partSizeBytes, layout.sizeBytes)
  const count = Math.min(partsInFlight.max + 1, Math.floor(bufferBytesMax / Math.max(1, sizeBytes)))
  return new BufferPool(Math.max(1, count), sizeBytes)
}

/** The bounds for parts in flight: one buffer stays free for the part that is being read. */
function boundsOf({ partsInFlight: { min, max } }: SendContext, pool: BufferPool): ConcurrencyBounds {
  const most = Math.max(1, Math.min(max, pool.count - 1))
  return { min: Math.min(min, most), max: most }
}

/** A stream has no file. */
type ReportedUpload = Pick<UploadAttempt, 'context' | 'entry'> & Partial<Pick<UploadAttempt, 'file'>>

/** Counts hashed, sent and acknowledged bytes over the whole file, and reports them. */
export class UploadProgress {
  readonly #upload: ReportedUpload
  readonly #onTheirWay = new Map<number, number>()
  #hashedBytes = 0
  #acknowledgedBytes = 0

  constructor(upload: ReportedUpload) {
    this.#upload = upload
  }

  /** Counts bytes that the portal holds from an earlier attempt. */
  skipped(byteCount: number): void {
    this.#hashedBytes += byteCount
    this.#acknowledgedBytes += byteCount
    this.#tell()
  }

  hashed(byteCount: number): void {
    this.#hashedBytes += byteCount
    this.#tell()
  }

  /** @param sentBytes how much of the part has left in the current try */
  sent(partNumber: number, sentBytes: number): void {
    this.#onTheirWay.set(partNumber, sentBytes)
    this.#tell()
  }

  acknowledged(partNumber: number, byteCount: number): void {
    this.#onTheirWay.delete(partNumber)
    this.#acknowledgedBytes += byteCount
    this.#tell()
  }

  #files(): { readonly files?: { readonly done: number; readonly path: string } } {
    const { file } = this.#upload
    if (file?.treeProgress === undefined) return {}
    const { path } = file.treeProgress(this.#hashedBytes)
    return { files: { done: file.treeProgress(this.#acknowledgedBytes).done, path } }
  }

  #tell(): void {
    let sentBytes = this.#acknowledgedBytes
    for (const byteCount of this.#onTheirWay.values()) sentBytes += byteCount
    this.#upload.context.onEvent({
      type: 'uploading',
      transferId: this.#upload.entry.transferId,
      hashedBytes: this.#hashedBytes,
      sentBytes,
      acknowledgedBytes: this.#acknowledgedBytes,
      ...this.#files(),
    })
  }
}
