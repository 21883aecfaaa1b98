/**
 * The hop from sender to portal: announce, send, complete, and act on the first notification.
 *
 * The transfer is in the journal before the portal hears of it. Every request can be repeated under the same transferId, so
 * a lost answer never leads to a second transfer. After an error the sender asks the portal for the state of the transfer
 * and acts on it.
 */
import { isPassing, NoResponseError, RemoteProblem, type RetryPolicy } from '../client/index.ts'
import { manifestDigestOf } from '../digests/index.ts'
import { fileTraitsOf, isWhole, type Notification, Problem, type TransferStatus } from '../protocol/index.ts'
import {
  type ContentKey,
  contentDigestOf,
  metadataClaimOf,
  type PartDigests,
  saltText,
  signManifest,
} from '../trust/index.ts'
import { heldBy, isAboutAccount, isLogged, isLost, isOver, isUnknown, lossOf, refusalOf } from './answers.ts'
import { batchedFile } from './batch-uploads.ts'
import { type Begun, begin, cancelUnstored, type SealedPart } from './begin.ts'
import type { SendContext } from './context.ts'
import { type End, type Expected, type FileState, type FirstHopEnd, noAnswer, type Retry } from './first-hop-end.ts'
import type { JournalEntry } from './journal.ts'
import { digestsInOrder, layoutOf, recordLayoutOf, wireLayoutOf } from './layout.ts'
import { NotificationLog } from './notification-log.ts'
import { cancelForSmallerParts, smallerPartSizeBytes } from './part-size.ts'
import { isContentOf } from './same-content.ts'
import { openRecord, SealConflictError, type SealRecord, TransferMovedError } from './seal-record.ts'
import { PausedError } from './send-slot.ts'
import type { OpenSource, Source } from './source.ts'
import { keepAliveMs, uploadParts } from './upload.ts'
import { UploadCuts, UploadsCutError } from './upload-cuts.ts'

/**
 * Sends one file to the portal. Resumes the transfer of an earlier run if there is one.
 *
 * When the end is `stored`, the transfer stays subscribed to the event stream.
 *
 * @throws Problem `source-unreadable`, `source-not-a-file`, `source-changed` before there is a transfer;
 *   RemoteProblem `credentials-invalid`; the signal's reason
 */
export async function passFirstHop(context: SendContext, source: Source): Promise<FirstHopEnd> {
  const isBatched = source.sizeBytes <= context.limits.wholeSizeBytesMax
  using expected = isBatched ? context.batchUploads.expect() : null
  await using file = await source.open()
  const cuts = new UploadCuts()
  let over: string | null = null
  for (;;) {
    const begun = await begin(context, file, over)
    const { entry, isResumed } = begun
    const hop = new FirstHop(context, file, begun, { cuts, expected })
    const end = await hop.pass()
    if (end !== null) return end
    if (!isResumed && !hop.needsSmallerParts) throw new Error('only a resumed transfer can turn out to be over')
    over = entry.transferId
  }
}

/** How often a transfer is announced again after the portal has lost it. */
const LOSSES_MAX = 3

class FirstHop {
  readonly #context: SendContext
  readonly #file: OpenSource
  readonly #entry: JournalEntry
  readonly #contentKey: ContentKey | null
  readonly #isResumed: boolean
  readonly #sealedPart: SealedPart | null
  readonly #retryPolicy: RetryPolicy
  readonly #log: NotificationLog
  readonly #digests = new Map<number, PartDigests>()
  readonly #retry: Retry = (request) => this.#retryPolicy.retry(request)
  /** Whether the transfer was cancelled so that one with smaller parts can replace it. */
  needsSmallerParts = false
  #isAnnounced = false
  #attempt = 0
  readonly #cuts: UploadCuts
  readonly #expected: Expected

  constructor(context: SendContext, file: OpenSource, begun: Begun, { cuts, expected }: FileState) {
    this.#expected = expected
    const { entry, contentKey, isResumed, sealedPart } = begun
    this.#cuts = cuts
    this.#context = context
    this.#file = file
    this.#entry = entry
    this.#contentKey = contentKey
    this.#isResumed = isResumed
    this.#sealedPart = sealedPart
    this.#retryPolicy = context.retryPolicy(entry.transferId, context)
    this.#log = new NotificationLog(entry, context, file)
    if (!isResumed) {
      this.#log.gapsBefore = context.events.gapCount
      this.#log.check.salt = contentKey === null ? null : saltText(contentKey)
    }
  }

  /** @returns null when the file needs a new transfer, because this one is over or its parts are too large */
  async pass(): Promise<FirstHopEnd | null> {
    const { events, onEvent } = this.#context
    const { transferId, source, to } = this.#entry
    const { path } = this.#file.source
    const flags = { isSealed: this.#contentKey !== null, isResumed: this.#isResumed }
    const { tree } = fileTraitsOf(this.#file.mediaType)
    onEvent({ type: 'started', transferId, path, sizeBytes: source.sizeBytes, to, ...flags, tree })
    const unheard = events.onHeard(this.#retryPolicy.markAlive)
    events.subscribe(this.#log)
    const end = await this.#pass()
      .catch((error) => this.#endFor(error))
      .finally(unheard)
    if (end?.end === 'stored') this.#log.firstIsKnown()
    else events.unsubscribe(this.#log)
    return end === null ? null : { ...end, entry: this.#entry, log: this.#log }
  }

  async #pass(): Promise<End | null> {
    const whole = await this.#passWhole()
    this.#expected?.[Symbol.dispose]()
    if (whole !== null) return whole
    for (let losses = 0; losses <= LOSSES_MAX; losses++) {
      const end = await this.#passParts()
      if (end !== 'lost') return end
    }
    return { end: 'lost', problem: new Problem('transfer-lost') }
  }

  /** @returns `lost` when the portal has lost the transfer, because it was restored from a backup; the caller announces it again */
  async #passParts(): Promise<End | null | 'lost'> {
    const status = await this.#announce()
    if (status === null) return null
    this.#isAnnounced = true
    try {
      return await this.#send(status)
    } catch (error) {
      if (error instanceof UploadsCutError) return await this.#retryWithSmallerParts(error)
      if (error instanceof SealConflictError) {
        // The content changed although size and times did not. Another content needs another key, so a new transfer.
        if (!this.#isResumed) throw this.#file.changed('it was written to', error)
        await this.#abandon()
        return null
      }
      if (!(error instanceof RemoteProblem) || error.next === 'retry' || isAboutAccount(error)) throw error
      if (this.#isResumed && error.code === 'part-conflict') {
        // The file has other content than the earlier run sent, although size and times are the same.
        await this.#abandon()
        return null
      }
      // The portal refused a part. The state of the transfer tells why: it was cancelled, it expired, or storing failed.
      const now = await this.#status().catch((cause: unknown) => {
        if (isUnknown(cause)) return null
        throw cause
      })
      if (now === null || (now.state === 'receiving' && now.attempt < this.#attempt)) return 'lost'
      if (now.state === 'receiving') throw error
      return await this.#closed(now)
    }
  }

  /** @returns null when the file is to be sent again, in smaller parts */
  async #retryWithSmallerParts(cut: UploadsCutError): Promise<End | null> {
    const { events } = this.#context
    const partSizeBytes = smallerPartSizeBytes(this.#entry, this.#context.limits)
    if (partSizeBytes === null) return { end: 'no-answer', reason: cut.message }
    // The notification "cancelled" that follows is not reported.
    events.unsubscribe(this.#log)
    const status = await cancelForSmallerParts(this.#context, this.#entry, { cut, partSizeBytes }, this.#retry)
    this.needsSmallerParts = status === null
    if (status === null) return null
    events.subscribe(this.#log)
    return this.#closed(status)
  }

  /** Sends a small file in one request. @returns null when the file does not qualify, or the request failed: the caller sends it in parts */
  async #passWhole(): Promise<End | null> {
    const { batchUploads, limits, signal, onEvent } = this.#context
    const { transferId, to, metadata, digestAlgorithm, source } = this.#entry
    const layout = wireLayoutOf(this.#entry)
    const isSmall = isWhole(layout, limits.wholeSizeBytesMax)
    // If the portal refuses unsealed transfers, the content must not travel before the refusal.
    const isWanted = !limits.sealedOnly || this.#contentKey !== null
    if (this.#isResumed || limits.wholeSizeBytesMax === 0 || !isSmall || !isWanted) return null
    const content = await this.#readOnlyPart(layout.sizeBytes)
    await this.#file.assertUnchanged()
    const manifestDigest = this.#manifestDigest()
    const manifest = await this.#manifest(manifestDigest)
    const completion = { manifestDigest, ...(manifest === undefined ? {} : { manifest }) }
    const whole = { to: [...to], metadata, ...layout, digestAlgorithm, ...completion }
    try {
      const upload = batchedFile({ transferId, whole, content })
      this.#expected?.[Symbol.dispose]()
      const notification = await batchUploads.send(upload, {
        stallTimeoutMs: this.#retryPolicy.stallTimeoutMs,
        signal,
      })
      const { sizeBytes } = source
      const bytes = { hashedBytes: sizeBytes, sentBytes: sizeBytes, acknowledgedBytes: sizeBytes }
      onEvent({ type: 'uploading', transferId, ...bytes })
      if (notification.notification !== 'stored') return null
      this.#log.tell(notification)
      return { end: 'stored' }
    } catch (error) {
      signal.throwIfAborted()
      // `#passParts` asks for the state and continues from there.
      const isOpen = error instanceof RemoteProblem && (error.next === 'retry' || error.next === 'resend')
      if (error instanceof NoResponseError || isOpen) return null
      throw error
    }
  }

  async #readOnlyPart(sizeBytes: number): Promise<Uint8Array> {
    if (this.#sealedPart !== null) {
      this.#digests.set(1, this.#sealedPart.digests)
      return this.#sealedPart.bytes
    }
    const bytes = new Uint8Array(sizeBytes)
    if (sizeBytes > 0) this.#digests.set(1, await this.#file.readPart(bytes, 0, this.#entry.digestAlgorithm, null))
    return bytes
  }

  /** @returns null when a resumed transfer is over */
  async #announce(): Promise<TransferStatus | null> {
    const { transferId, to, metadata, digestAlgorithm } = this.#entry
    const announcement = { to: [...to], metadata, ...wireLayoutOf(this.#entry), digestAlgorithm }
    try {
      const status = await this.#retry((options) => this.#context.client.announce(transferId, announcement, options))
      return this.#isResumed && isLost(status) ? null : status
    } catch (error) {
      if (this.#isResumed && error instanceof RemoteProblem && isOver(error)) return null
      throw error
    }
  }

  /** Sends the missing parts, attempt by attempt, until the portal answers `stored` or `refused`. */
  async #send(announced: TransferStatus): Promise<End | null> {
    await using record = await this.#sealRecord(announced)
    let status = announced
    // The last attempt may have failed while no sender was connected. Its notification is reported now.
    for (const notification of status.notifications) {
      if (notification.attempt === status.attempt - 1) this.#repeat(notification)
    }
    for (let attempts = 1; attempts <= this.#context.limits.attemptsMax; attempts++) {
      while (status.state === 'receiving' && !(await this.#upload(status, record))) status = await this.#rest()
      if (status.state !== 'receiving') return this.#closed(status)
      this.#attempt = status.attempt
      const notification = await this.#complete(status.attempt, this.#manifestDigest())
      switch (notification.notification) {
        case 'stored':
          this.#log.tell(notification)
          return { end: 'stored' }
        case 'refused':
          this.#log.tell(notification)
          return { end: 'refused', problem: notification.problem }
        case 'resend':
          this.#repeat(notification)
          status = await this.#status()
          break
        default:
          throw new NoResponseError(`the portal answered the upload with "${notification.notification}"`)
      }
    }
    throw new NoResponseError('the portal asks for the file again more often than its own limit allows')
  }

  /** @returns false when the transfer was paused before all parts arrived */
  async #upload(status: TransferStatus, record: SealRecord | null): Promise<boolean> {
    const held = heldBy(status)
    const { slot, signal } = this.#context
    const context =
      slot === null ? this.#context : { ...this.#context, signal: AbortSignal.any([signal, slot.pause.signal]) }
    const upload = { context, entry: this.#entry, file: this.#file, retryPolicy: this.#retryPolicy, cuts: this.#cuts }
    const seal = record === null || this.#contentKey === null ? null : { contentKey: this.#contentKey, record }
    try {
      await uploadParts({ ...upload, digests: this.#digests, seal }, held)
    } catch (error) {
      if (error instanceof PausedError) return false
      throw error
    }
    return true
  }

  /** Gives its slot to other transfers until it gets one again. Meanwhile it keeps the upload alive at the portal. */
  async #rest(): Promise<TransferStatus> {
    const { slot, limits, signal } = this.#context
    slot?.release()
    while (slot !== null && !(await slot.acquireWithin(keepAliveMs(limits), signal))) {
      const status = await this.#look()
      if (status !== null && status.state !== 'receiving') return status
    }
    return this.#status()
  }

  /** @returns null when the portal does not answer at the moment */
  async #look(): Promise<TransferStatus | null> {
    const { client, signal } = this.#context
    try {
      return await client.transfer(this.#entry.transferId, { stallTimeoutMs: this.#retryPolicy.stallTimeoutMs, signal })
    } catch (error) {
      signal.throwIfAborted()
      if (isPassing(error)) return null
      throw error
    }
  }

  /** @returns null when the transfer is not sealed */
  async #sealRecord(status: TransferStatus): Promise<SealRecord | null> {
    if (this.#contentKey === null || status.state !== 'receiving') return null
    return openRecord(this.#context.sealRecords, this.#entry, recordLayoutOf(this.#entry), heldBy(status))
  }

  /** The manifestDigest of all parts, which have been read. Also keeps the content digest, by which receipts are checked. */
  #manifestDigest(): string {
    const { digestAlgorithm } = this.#entry
    const digests = digestsInOrder(this.#digests, layoutOf(this.#entry))
    this.#log.check.contentDigest = contentDigestOf(
      digestAlgorithm,
      this.#contentKey?.contentSalt ?? null,
      digests.map(({ contentDigest }) => contentDigest),
    )
    return manifestDigestOf(
      digestAlgorithm,
      digests.map(({ digest }) => digest),
    )
  }

  /** The signed manifest; undefined where this account has no keys. */
  async #manifest(manifestDigest: string): Promise<string | undefined> {
    const { trust, account } = this.#context
    if (trust === null) return undefined
    const { transferId, to, metadata, digestAlgorithm } = this.#entry
    const about = { transferId, from: account, to: [...to].sort(), digestAlgorithm, manifestDigest }
    const claims = { ...about, ...wireLayoutOf(this.#entry), metadata: await metadataClaimOf(metadata) }
    this.#log.check.manifest = claims
    return signManifest(claims, trust.keys)
  }

  /** Ends an attempt. A repeated request gets the same notification. */
  async #complete(attempt: number, manifestDigest: string): Promise<Notification> {
    const manifest = await this.#manifest(manifestDigest)
    const completion = { manifestDigest, attempt, ...(manifest === undefined ? {} : { manifest }) }
    return this.#retry((options) => this.#context.client.complete(this.#entry.transferId, completion, options))
  }

  #repeat(notification: Notification): void {
    if (notification.notification !== 'resend') return
    this.#log.tell(notification)
    const { transferId, wanted, problem } = notification
    this.#context.onEvent({ type: 'repeating', transferId, wanted, problem })
  }

  /**
   * The end of a transfer that accepts no more content.
   *
   * @returns null when the stored content is not that of this file, which then needs another transfer
   */
  async #closed(status: TransferStatus): Promise<End | null> {
    if (!isLost(status) && !this.#file.isIdentityProof) {
      const parts = { entry: this.#entry, contentKey: this.#contentKey, digests: this.#digests }
      if (!(await isContentOf(status, this.#context, this.#file, parts))) {
        if (!this.#isResumed) throw this.#file.changed('it was written to')
        return null
      }
    }
    for (const notification of status.notifications) {
      // An old request to send parts again has no meaning any more.
      if (notification.notification !== 'resend') this.#log.tell(notification)
    }
    return isLost(status) ? { end: 'refused', problem: lossOf(status) } : { end: 'stored' }
  }

  /** @throws the error itself when it concerns more than this transfer */
  async #endFor(error: unknown): Promise<End> {
    const { signal } = this.#context
    signal.throwIfAborted()
    if (error instanceof NoResponseError || error instanceof TransferMovedError) return noAnswer(error)
    if (error instanceof Problem) {
      await this.#abandon()
      return { end: 'refused', problem: error.toJSON() }
    }
    if (!(error instanceof RemoteProblem) || isAboutAccount(error)) throw error
    if (error.next === 'retry') return noAnswer(error)
    await this.#abandon()
    const notification = refusalOf(this.#entry.transferId, error.problem)
    if (isLogged(notification)) this.#log.tell(notification)
    else this.#context.onEvent({ type: 'notification', notification })
    return { end: 'refused', problem: error.problem }
  }

  /** Cancels the transfer, because nothing more will be sent, so that the portal can delete the parts. */
  async #abandon(): Promise<void> {
    if (!this.#isAnnounced) return
    // The notification "cancelled" that follows is not reported.
    this.#context.events.unsubscribe(this.#log)
    await cancelUnstored(this.#context, this.#entry.transferId)
  }

  #status(): Promise<TransferStatus> {
    return this.#retry((options) => this.#context.client.transfer(this.#entry.transferId, options))
  }
}
