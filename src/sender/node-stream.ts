/**
 * The first hop of a stream: parts are sealed and sent as the input comes. A part stays in memory until the portal holds it, so a
 * damaged part, or one that a killed portal lost, is sent again. Nothing else can be: what breaks off is cancelled, and the whole
 * input has to come again.
 *
 * The input is read one byte ahead of each part, because the seal of a part says whether it is the last. An input that ends within
 * the first part has a known size, and is sent like any file.
 */
import { sleep } from '../async/index.ts'
import { AdaptiveConcurrency, isPassing, NoResponseError, RemoteProblem, type RetryPolicy } from '../client/index.ts'
import { manifestDigestOf } from '../digests/index.ts'
import {
  type Notification,
  newTransferId,
  type PartLayout,
  Problem,
  sealTagBytes,
  type TransferStatus,
} from '../protocol/index.ts'
import {
  type ContentKey,
  contentDigestOf,
  metadataClaimOf,
  type PartDigests,
  saltText,
  signManifest,
} from '../trust/index.ts'
import { isAboutAccount, isLogged, isLost, isUnknown, lossOf, refusalOf } from './answers.ts'
import { cancelUnstored } from './begin.ts'
import { BufferPool } from './buffer-pool.ts'
import type { SendContext } from './context.ts'
import type { End } from './first-hop-end.ts'
import type { JournalEntry } from './journal.ts'
import { heldSource, memoryJournal, noSealRecords, sealHeld } from './node-held-content.ts'
import { mediaTypeOfFile } from './node-media-type.ts'
import { type StreamInput, StreamReader } from './node-stream-input.ts'
import { NotificationLog } from './notification-log.ts'
import { smallerPartSizeBytes, streamPartSizeBytes } from './part-size.ts'
import { type FirstHop, sendFirst } from './sending.ts'
import { sealMetadata } from './trust.ts'
import { keepAliveMs, PartUploader, sendPart, type UploadAttempt, UploadProgress } from './upload.ts'
import { UploadCuts, UploadsCutError } from './upload-cuts.ts'

/** Memory for the parts of one stream: two of the usual size. */
const BUFFER_BYTES_MAX = 64 * 1024 * 1024
const BUFFERS_MIN = 2
/** Time for the cancellation of what broke off. Without it the portal deletes the parts after its upload timeout. */
const CANCEL_MS = 5_000

/**
 * Sends a stream to the portal.
 *
 * @param partSizeBytes null for the default. 10,000 such parts bound the stream
 * @throws RemoteProblem `credentials-invalid`; the signal's reason
 */
export async function passStream(
  shared: SendContext,
  input: StreamInput,
  partSizeBytes: number | null,
): Promise<{ context: SendContext; sent: FirstHop }> {
  const context = { ...shared, journal: memoryJournal(), sealRecords: noSealRecords }
  let reader: StreamReader | null = null
  try {
    reader = new StreamReader(input.path, await input.open(context.signal))
    const layout = { sizeBytes: 0, partSizeBytes: streamPartSizeBytes(context, partSizeBytes) }
    const isSealing = context.trust?.isSealing === true
    const first = new Uint8Array(layout.partSizeBytes + (isSealing ? sealTagBytes : 0))
    const filledBytes = await untilAborted(reader.fill(first.subarray(0, layout.partSizeBytes)), context.signal)
    if (await untilAborted(reader.isAtEnd(), context.signal)) {
      const held = heldSource(input, first.subarray(0, filledBytes))
      const sent = await sendFirst(context, held)
      return { context, sent: sent.end === 'no-answer' ? await brokenHeld(context, sent) : sent }
    }
    if (context.limits.streams !== true) throw new Problem('stream-unsupported')
    const hop = await StreamHop.begin(context, input, reader, layout)
    return { context, sent: await hop.pass(first) }
  } catch (error) {
    context.signal.throwIfAborted()
    if (!(error instanceof Problem)) throw error
    return { context, sent: { end: 'unreadable', problem: error.toJSON() } }
  } finally {
    reader?.stop()
  }
}

/** A short stream whose upload got no answer. It cannot be continued by another run either. */
async function brokenHeld(context: SendContext, sent: FirstHop & { readonly end: 'no-answer' }): Promise<FirstHop> {
  await cancelSoon(context, sent.entry.transferId)
  return { ...sent, end: 'lost', problem: broken(sent.reason) }
}

/** The end of a stream that cannot be sent again. @param more what the next try is to do differently */
function broken(reason: string, more: { readonly partSizeBytes?: number } = {}): Problem {
  return new Problem('stream-broken', { detail: reason, ...more })
}

class StreamHop {
  readonly #context: SendContext
  readonly #reader: StreamReader
  readonly #entry: JournalEntry
  readonly #contentKey: ContentKey | null
  readonly #retryPolicy: RetryPolicy
  readonly #log: NotificationLog
  readonly #digests: PartDigests[] = []
  readonly #stop = new AbortController()
  #sizeBytes = 0
  #mayBeKnown = false
  #isAnnounced = false

  private constructor(context: SendContext, reader: StreamReader, entry: JournalEntry, contentKey: ContentKey | null) {
    this.#context = context
    this.#reader = reader
    this.#entry = entry
    this.#contentKey = contentKey
    this.#retryPolicy = context.retryPolicy(entry.transferId, context)
    this.#log = new NotificationLog(entry, context)
    this.#log.gapsBefore = context.events.gapCount
    this.#log.check.salt = contentKey === null ? null : saltText(contentKey)
  }

  static async begin(
    context: SendContext,
    { path, name }: StreamInput,
    reader: StreamReader,
    { partSizeBytes }: PartLayout,
  ): Promise<StreamHop> {
    const { trust, account, portalUrl, receiverKeys, to, digestAlgorithm } = context
    const transferId = newTransferId(context.idTimeMs())
    const isSealed = trust?.isSealing === true
    const mediaType = mediaTypeOfFile(name, null, { withTimes: false })
    const metadata = mediaType === undefined ? { name } : { name, mediaType }
    const sealed =
      trust?.isSealing === true
        ? await sealMetadata({ transferId, from: account, keys: trust.keys, receiverKeys }, metadata)
        : null
    const entry: JournalEntry = {
      ...{ portalUrl, account, place: path, name, to, isSealed, transferId, partSizeBytes, digestAlgorithm },
      metadata: sealed?.metadata ?? metadata,
      sealedFor: null,
      source: { sizeBytes: partSizeBytes },
      createdAt: new Date().toISOString(),
      onlyPartDigest: null,
    }
    return new StreamHop(context, reader, entry, sealed?.contentKey ?? null)
  }

  /** @param first the first part, which is full and is not the last */
  async pass(first: Uint8Array): Promise<FirstHop> {
    const { events, onEvent } = this.#context
    const { transferId, place, to, isSealed } = this.#entry
    const flags = { isSealed, isResumed: false, isSizeKnown: false, tree: null } as const
    onEvent({ type: 'started', transferId, path: place, sizeBytes: 0, to, ...flags })
    const unheard = events.onHeard(this.#retryPolicy.markAlive)
    events.subscribe(this.#log)
    try {
      const end = await this.#pass(first).catch((error: unknown) => this.#endFor(error))
      if (end.end === 'stored') this.#log.firstIsKnown()
      else events.unsubscribe(this.#log)
      return { ...end, entry: this.#entry, log: this.#log }
    } finally {
      unheard()
    }
  }

  async #pass(first: Uint8Array): Promise<End> {
    const { transferId, to, metadata, digestAlgorithm } = this.#entry
    const { client } = this.#context
    const announcement = { to: [...to], metadata, sizeBytes: null, partSizeBytes: this.#wireBytes, digestAlgorithm }
    this.#mayBeKnown = true
    await this.#retryPolicy.retry((options) => client.announce(transferId, announcement, options))
    this.#isAnnounced = true
    await this.#upload(first)
    this.#context.onEvent({ type: 'sized', transferId, sizeBytes: this.#sizeBytes })
    const notification = await this.#complete()
    if (notification.notification === 'resend') throw broken(notification.problem.title)
    this.#log.tell(notification)
    return notification.notification === 'refused'
      ? { end: 'refused', problem: notification.problem }
      : { end: 'stored' }
  }

  /** The length of a full part as it travels. */
  get #wireBytes(): number {
    return this.#entry.partSizeBytes + this.#tagBytes
  }

  get #tagBytes(): number {
    return this.#contentKey === null ? 0 : sealTagBytes
  }

  /** Sends the whole input. When it resolves, the portal holds all of it. */
  async #upload(first: Uint8Array): Promise<void> {
    const { partSizeBytes } = this.#entry
    const { partsInFlight } = this.#context
    const affordable = Math.max(BUFFERS_MIN, Math.floor(BUFFER_BYTES_MAX / partSizeBytes))
    const pool = new BufferPool(Math.min(partsInFlight.max + 1, affordable), this.#wireBytes, [first])
    // All of them may be in flight: while the portal makes one durable, the other one travels.
    const bounds = { min: Math.min(partsInFlight.min, pool.count), max: Math.min(partsInFlight.max, pool.count) }
    const roundTripMs = () => this.#context.client.roundTrips.shortestMs
    const uploader = new PartUploader(this.#context, new AdaptiveConcurrency(bounds, roundTripMs))
    const upload = {
      ...{ context: this.#context, entry: this.#entry, retryPolicy: this.#retryPolicy },
      ...{ cuts: new UploadCuts(), seal: null },
    }
    const progress = new UploadProgress(upload)
    uploader.stopped.addEventListener('abort', () => this.#stop.abort(uploader.stopped.reason))
    try {
      let filledBytes = partSizeBytes
      let isLast = false
      for (let partNumber = 1; !isLast; partNumber++) {
        const buffer = await pool.take()
        if (uploader.isStopped) break
        const plain = buffer.subarray(0, partSizeBytes)
        if (partNumber > 1) filledBytes = await this.#read(() => this.#reader.fill(plain))
        isLast = await this.#read(() => this.#reader.isAtEnd())
        await this.#send({ upload, uploader, progress, pool }, { buffer, filledBytes, partNumber, isLast })
      }
    } catch (error) {
      uploader.fail(error)
    }
    await uploader.done()
  }

  async #send(
    { upload, uploader, progress, pool }: Uploading,
    { buffer, filledBytes, partNumber, isLast }: FilledPart,
  ): Promise<void> {
    const { transferId, digestAlgorithm } = this.#entry
    const bytes = buffer.subarray(0, filledBytes + this.#tagBytes)
    const key = this.#contentKey
    const seal = key === null ? null : { partKey: key.partKey, position: { transferId, partNumber, isLast } }
    const digests = await sealHeld(bytes, filledBytes, digestAlgorithm, seal)
    this.#digests.push(digests)
    this.#sizeBytes += filledBytes
    progress.hashed(filledBytes)
    const signal = uploader.partSignal()
    const part = { partNumber, bytes, lengthBytes: filledBytes, digest: digests.digest, progress, signal }
    await uploader.add((inFlight) => sendPart(upload, { ...part, inFlight }).finally(() => pool.give(buffer)))
  }

  /**
   * Waits for the input. As long as none comes, it keeps the transfer alive at the portal.
   *
   * @throws Problem `source-unreadable`; the error of a part that could not be sent meanwhile
   */
  async #read<Result>(read: () => Promise<Result>): Promise<Result> {
    const reading = read()
    const signal = AbortSignal.any([this.#context.signal, this.#stop.signal])
    for (;;) {
      const pausing = new AbortController()
      const pause = sleep(keepAliveMs(this.#context.limits), AbortSignal.any([signal, pausing.signal]))
      try {
        const isRead = await Promise.race([reading.then(() => true), pause.then(() => false)])
        if (isRead) return await reading
      } finally {
        pausing.abort()
        pause.catch(() => {})
        reading.catch(() => {})
      }
      const status = await this.#status()
      if (status.state !== 'receiving') throw new TransferOverError(status)
    }
  }

  async #complete(): Promise<Notification> {
    const { trust, account, client } = this.#context
    const { transferId, to, metadata, digestAlgorithm } = this.#entry
    const contentDigests = this.#digests.map(({ contentDigest }) => contentDigest)
    this.#log.check.contentDigest = contentDigestOf(
      digestAlgorithm,
      this.#contentKey?.contentSalt ?? null,
      contentDigests,
    )
    const manifestDigest = manifestDigestOf(
      digestAlgorithm,
      this.#digests.map(({ digest }) => digest),
    )
    const sizeBytes = this.#sizeBytes + this.#digests.length * this.#tagBytes
    const completion = { manifestDigest, attempt: 1, sizeBytes }
    if (trust === null) return this.#retryPolicy.retry((options) => client.complete(transferId, completion, options))
    const about = { transferId, from: account, to: [...to].sort(), digestAlgorithm, manifestDigest, sizeBytes }
    const claims = { ...about, partSizeBytes: this.#wireBytes, metadata: await metadataClaimOf(metadata) }
    this.#log.check.manifest = claims
    const manifest = await signManifest(claims, trust.keys)
    return this.#retryPolicy.retry((options) => client.complete(transferId, { ...completion, manifest }, options))
  }

  /** @throws the error itself when it concerns more than this transfer */
  async #endFor(error: unknown): Promise<End> {
    const { signal } = this.#context
    if (signal.aborted || (error instanceof RemoteProblem && isAboutAccount(error))) {
      await this.#abandon()
      signal.throwIfAborted()
      throw error
    }
    if (error instanceof Problem) {
      await this.#abandon()
      return error.code === 'stream-broken'
        ? { end: 'lost', problem: error }
        : { end: 'refused', problem: error.toJSON() }
    }
    if (error instanceof UploadsCutError) return this.#brokenOff(error.message, this.#smallerParts())
    if (error instanceof NoResponseError) return this.#brokenOff(error.message)
    if (error instanceof TransferOverError) return this.#closed(error.status)
    if (!(error instanceof RemoteProblem)) {
      await this.#abandon()
      throw error
    }
    if (error.next === 'retry') return this.#brokenOff(error.message)
    const refusal = refusalOf(this.#entry.transferId, error.problem)
    if (isLogged(refusal) || !this.#isAnnounced) {
      if (isLogged(refusal)) this.#log.tell(refusal)
      else this.#context.onEvent({ type: 'notification', notification: refusal })
      return { end: 'refused', problem: error.problem }
    }
    // The state of the transfer tells why the portal takes no more of it.
    const status = await this.#status().catch((cause: unknown) => {
      if (isUnknown(cause) || isPassing(cause)) return null
      throw cause
    })
    return status === null ? this.#brokenOff(error.message) : this.#closed(status)
  }

  /** The end of a transfer that accepts no more content. */
  async #closed(status: TransferStatus): Promise<End> {
    const loss = isLost(status) ? lossOf(status) : null
    if (loss === null || loss.code === 'upload-timeout') return this.#brokenOff(loss?.title ?? 'the portal lost parts')
    for (const notification of status.notifications) this.#log.tell(notification)
    return { end: 'refused', problem: loss }
  }

  async #brokenOff(reason: string, more: { readonly partSizeBytes?: number } = {}): Promise<End> {
    await this.#abandon()
    return { end: 'lost', problem: broken(reason, more) }
  }

  /** Remembers which parts may get through, for this process, and names them for the next one. */
  #smallerParts(): { readonly partSizeBytes?: number } {
    const { limits, way } = this.#context
    const partSizeBytes = smallerPartSizeBytes(this.#entry, limits)
    if (partSizeBytes === null) return {}
    way.partSizeBytesMax = Math.min(way.partSizeBytesMax, partSizeBytes)
    return { partSizeBytes }
  }

  /** Cancels the transfer, because nothing more will be sent, so that the portal deletes the parts. */
  async #abandon(): Promise<void> {
    // The notification "cancelled" that follows is not reported.
    this.#context.events.unsubscribe(this.#log)
    if (this.#mayBeKnown) await cancelSoon(this.#context, this.#entry.transferId)
  }

  #status(): Promise<TransferStatus> {
    return this.#retryPolicy.retry((options) => this.#context.client.transfer(this.#entry.transferId, options))
  }
}

/** The portal has ended the transfer. */
class TransferOverError extends Error {
  readonly status: TransferStatus

  constructor(status: TransferStatus) {
    super('the portal has ended the transfer')
    this.status = status
  }
}

interface Uploading {
  readonly upload: Omit<UploadAttempt, 'file' | 'digests'>
  readonly uploader: PartUploader
  readonly progress: UploadProgress
  readonly pool: BufferPool
}

interface FilledPart {
  readonly buffer: Uint8Array
  readonly filledBytes: number
  readonly partNumber: number
  readonly isLast: boolean
}

/** Tries for a moment to cancel, also when the caller has aborted. */
async function cancelSoon({ client }: SendContext, transferId: string): Promise<void> {
  await cancelUnstored({ client, signal: AbortSignal.timeout(CANCEL_MS) }, transferId).catch(() => {})
}

async function untilAborted<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    promise.catch(() => {})
    signal.removeEventListener('abort', abort)
  }
}
