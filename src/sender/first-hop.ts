/**
 * The hop from sender to portal: announce, send, complete, and act on the first notification.
 *
 * The transfer is in the journal before the portal hears of it. Every request can be repeated, and is, under the same
 * transferId: a lost answer never makes a second transfer. What the sender does not know it asks the portal for, and
 * acts on the state that it finds.
 */
import { type CallOptions, NoAnswer, type Patience, RemoteProblem } from '../client/index.ts'
import { manifestDigestOf } from '../digests/index.ts'
import {
  isWhole,
  type Notification,
  Problem,
  type ProblemJson,
  partCount,
  type TransferStatus,
} from '../protocol/index.ts'
import { type ContentKey, contentDigestOf, metadataClaimOf, signManifest } from '../trust/index.ts'
import { heldBy, isAboutAccount, isLost, isOver, isVerdict, lossOf } from './answers.ts'
import { type Begun, begin, cancelUnstored, type SealedPart } from './begin.ts'
import type { SendContext } from './context.ts'
import type { JournalEntry } from './journal.ts'
import { layoutOf, recordLayoutOf, wireLayoutOf } from './layout.ts'
import { NotificationLog } from './notification-log.ts'
import { isLogged, refusalOf } from './refusal.ts'
import { isContentOf } from './same-content.ts'
import { openRecord, SealedOtherwise, type SealRecord } from './seal-record.ts'
import type { OpenSource, PartDigests, Source } from './source.ts'
import { saltText } from './trust.ts'
import { Resting } from './turn.ts'
import { presenceMs, uploadParts } from './upload.ts'

type End =
  | { readonly end: 'stored' }
  | { readonly end: 'refused'; readonly problem: ProblemJson }
  /** The sender must assume that the portal does not have the file. */
  | { readonly end: 'no-answer'; readonly reason: string }

/** How the first hop ended, and for which transfer. */
export type FirstHopEnd = End & { readonly entry: JournalEntry; readonly log: NotificationLog }

/**
 * Sends one file to the portal, going on with the transfer of an earlier run where there is one.
 *
 * The transfer stays subscribed to the event stream when the end is `stored`.
 *
 * @throws Problem `source-unreadable`, `source-not-a-file`, `source-changed` when there is no transfer yet;
 *   RemoteProblem `credentials-invalid`; the signal's reason
 */
export async function passFirstHop(context: SendContext, source: Source): Promise<FirstHopEnd> {
  await using file = await source.open()
  let over: string | null = null
  for (;;) {
    const begun = await begin(context, file, over)
    const { entry, isResumed } = begun
    const end = await new FirstHop(context, file, begun).pass()
    if (end !== null) return end
    if (!isResumed) throw new Error('only a resumed transfer can turn out to be over')
    over = entry.transferId
  }
}

class FirstHop {
  readonly #context: SendContext
  readonly #file: OpenSource
  readonly #entry: JournalEntry
  readonly #contentKey: ContentKey | null
  readonly #isResumed: boolean
  readonly #sealedPart: SealedPart | null
  readonly #patience: Patience
  readonly #log: NotificationLog
  readonly #digests = new Map<number, PartDigests>()
  #isAnnounced = false

  constructor(context: SendContext, file: OpenSource, { entry, contentKey, isResumed, sealedPart }: Begun) {
    this.#context = context
    this.#file = file
    this.#entry = entry
    this.#contentKey = contentKey
    this.#isResumed = isResumed
    this.#sealedPart = sealedPart
    this.#patience = context.patience(entry.transferId, context)
    this.#log = new NotificationLog(entry, context)
    if (!isResumed) {
      this.#log.gapsBefore = context.events.gapCount
      this.#log.check.salt = contentKey === null ? null : saltText(contentKey)
    }
  }

  /** @returns null when a transfer that was to be resumed turns out to be over: the file needs a new one */
  async pass(): Promise<FirstHopEnd | null> {
    const { events, onEvent } = this.#context
    const { transferId, source, to } = this.#entry
    onEvent({
      type: 'started',
      transferId,
      path: this.#file.source.path,
      sizeBytes: source.sizeBytes,
      to,
      isSealed: this.#contentKey !== null,
      isResumed: this.#isResumed,
    })
    const unheard = events.onHeard(this.#patience.heard)
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
    if (whole !== null) return whole
    const status = await this.#announce()
    if (status === null) return null
    this.#isAnnounced = true
    try {
      return await this.#send(status)
    } catch (error) {
      if (error instanceof SealedOtherwise) {
        // Nothing about the file says so, but it is another one. What is begun anew takes a new key.
        if (!this.#isResumed) throw this.#file.changed('it was written to', error)
        await this.#abandon()
        return null
      }
      if (!(error instanceof RemoteProblem) || error.next === 'retry' || isAboutAccount(error)) throw error
      if (this.#isResumed && error.code === 'part-conflict') {
        // The file has other content than the earlier run sent, though everything about it looks the same.
        await this.#abandon()
        return null
      }
      // The portal does not want what it was sent. Its state says why: somebody cancelled, it expired, it broke.
      const now = await this.#status()
      if (now.state === 'receiving') throw error
      return await this.#closed(now)
    }
  }

  /** Sends a small file in one request. @returns null where it has to go the long way, or did not get there by the short one */
  async #passWhole(): Promise<End | null> {
    const { client, limits, signal, onEvent } = this.#context
    const { transferId, to, metadata, digestAlgorithm, source } = this.#entry
    const layout = wireLayoutOf(this.#entry)
    const isSmall = isWhole(layout, limits.wholeSizeBytesMax)
    // What is refused for want of a seal should not have travelled without one.
    const isWanted = !limits.sealedOnly || this.#contentKey !== null
    if (this.#isResumed || limits.wholeSizeBytesMax === 0 || !isSmall || !isWanted) return null
    const content = await this.#readOnlyPart(layout.sizeBytes)
    await this.#file.assertUnchanged()
    const manifestDigest = this.#manifestDigest()
    const manifest = await this.#manifest(manifestDigest)
    const completion = { manifestDigest, ...(manifest === undefined ? {} : { manifest }) }
    const whole = { to: [...to], metadata, ...layout, digestAlgorithm, ...completion }
    try {
      const notification = await client.putWhole(transferId, whole, content, {
        stallMs: this.#patience.stallMs,
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
      // The long way finds out what became of it, and goes on from there.
      const isOpen = error instanceof RemoteProblem && (error.next === 'retry' || error.next === 'resend')
      if (error instanceof NoAnswer || isOpen) return null
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

  /** @returns null when the transfer was to be resumed and is over */
  async #announce(): Promise<TransferStatus | null> {
    const { transferId, to, metadata, digestAlgorithm } = this.#entry
    const announcement = { to: [...to], metadata, ...wireLayoutOf(this.#entry), digestAlgorithm }
    try {
      const status = await this.#insist((options) => this.#context.client.announce(transferId, announcement, options))
      return this.#isResumed && isLost(status) ? null : status
    } catch (error) {
      if (this.#isResumed && error instanceof RemoteProblem && isOver(error)) return null
      throw error
    }
  }

  /** Sends what the portal lacks, attempt by attempt, until it gives its verdict. */
  async #send(announced: TransferStatus): Promise<End | null> {
    await using record = await this.#sealRecord(announced)
    let status = announced
    // An earlier attempt that came to nothing while nobody was there to be told.
    for (const notification of status.notifications) {
      if (notification.attempt === status.attempt - 1) this.#repeat(notification)
    }
    for (let attempts = 1; attempts <= this.#context.limits.attemptsMax; attempts++) {
      while (status.state === 'receiving' && !(await this.#upload(status, record))) status = await this.#rest()
      if (status.state !== 'receiving') return this.#closed(status)
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
          throw new NoAnswer(`the portal answered the upload with "${notification.notification}"`)
      }
    }
    throw new NoAnswer('the portal asks for the file again more often than its own limit allows')
  }

  /** @returns false when the transfer is to rest before all is there */
  async #upload(status: TransferStatus, record: SealRecord | null): Promise<boolean> {
    const held = heldBy(status)
    const { turn, signal } = this.#context
    const context =
      turn === null ? this.#context : { ...this.#context, signal: AbortSignal.any([signal, turn.pause.signal]) }
    const upload = { context, entry: this.#entry, file: this.#file, patience: this.#patience }
    const seal = record === null || this.#contentKey === null ? null : { contentKey: this.#contentKey, record }
    try {
      await uploadParts({ ...upload, digests: this.#digests, seal }, held)
    } catch (error) {
      if (error instanceof Resting) return false
      throw error
    }
    await this.#file.assertUnchanged()
    return true
  }

  /** Leaves its turn to others, until it has another one. Meanwhile the portal must not take the sender for gone. */
  async #rest(): Promise<TransferStatus> {
    const { turn, limits, signal } = this.#context
    turn?.end()
    while (turn !== null && !(await turn.beginWithin(presenceMs(limits), signal))) {
      const status = await this.#look()
      if (status !== null && status.state !== 'receiving') return status
    }
    return this.#status()
  }

  /** @returns null where the portal cannot tell just now */
  async #look(): Promise<TransferStatus | null> {
    const { client, signal } = this.#context
    try {
      return await client.transfer(this.#entry.transferId, { stallMs: this.#patience.stallMs, signal })
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof NoAnswer || (error instanceof RemoteProblem && error.next === 'retry')) return null
      throw error
    }
  }

  /** @returns null where nothing is to be sealed */
  async #sealRecord(status: TransferStatus): Promise<SealRecord | null> {
    if (this.#contentKey === null || status.state !== 'receiving') return null
    return openRecord(this.#context.sealRecords, this.#entry, recordLayoutOf(this.#entry), heldBy(status))
  }

  /** Of all parts, which have been read; a receipt is checked by what they hold. */
  #manifestDigest(): string {
    const { digestAlgorithm } = this.#entry
    const digests = [...this.#digestsInOrder()]
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

  /** The manifest, signed; undefined where this account signs nothing. */
  async #manifest(manifestDigest: string): Promise<string | undefined> {
    const { trust, account } = this.#context
    if (trust === null) return undefined
    const { transferId, to, metadata, digestAlgorithm } = this.#entry
    const about = { transferId, from: account, to: [...to].sort(), digestAlgorithm, manifestDigest }
    const claims = { ...about, ...wireLayoutOf(this.#entry), metadata: await metadataClaimOf(metadata) }
    this.#log.check.manifest = claims
    return signManifest(claims, trust.keys)
  }

  /** Ends an attempt. An answer that got lost is looked for in the portal's log before it is asked for again. */
  async #complete(attempt: number, manifestDigest: string): Promise<Notification> {
    const { client } = this.#context
    const manifest = await this.#manifest(manifestDigest)
    const { transferId } = this.#entry
    let isRepeat = false
    return this.#insist(async (options) => {
      if (isRepeat) {
        const { notifications } = await client.transfer(transferId, options)
        const told = notifications.find((notification) => isVerdict(notification) && notification.attempt === attempt)
        if (told !== undefined) return told
      }
      isRepeat = true
      return client.complete(
        transferId,
        { manifestDigest, attempt, ...(manifest === undefined ? {} : { manifest }) },
        options,
      )
    })
  }

  #repeat(notification: Notification): void {
    if (notification.notification !== 'resend') return
    this.#log.tell(notification)
    const { transferId, wanted, problem } = notification
    this.#context.onEvent({ type: 'repeating', transferId, wanted, problem })
  }

  /**
   * What the portal has recorded of a transfer that takes no more content.
   *
   * @returns null where that is not the content of this file, which is to be another transfer
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
      // What was asked for again once has no meaning any more.
      if (notification.notification !== 'resend') this.#log.tell(notification)
    }
    return isLost(status) ? { end: 'refused', problem: lossOf(status) } : { end: 'stored' }
  }

  /** @throws the error itself where it is not the end of this transfer alone */
  async #endFor(error: unknown): Promise<End> {
    const { signal } = this.#context
    signal.throwIfAborted()
    if (error instanceof NoAnswer) return { end: 'no-answer', reason: error.message }
    if (error instanceof Problem) {
      await this.#abandon()
      return { end: 'refused', problem: error.toJSON() }
    }
    if (!(error instanceof RemoteProblem) || isAboutAccount(error)) throw error
    if (error.next === 'retry') return { end: 'no-answer', reason: error.message }
    await this.#abandon()
    this.#tellRefusal(refusalOf(this.#entry.transferId, error.problem))
    return { end: 'refused', problem: error.problem }
  }

  #tellRefusal(notification: ReturnType<typeof refusalOf>): void {
    if (isLogged(notification)) this.#log.tell(notification)
    else this.#context.onEvent({ type: 'notification', notification })
  }

  /** Nothing more will be sent: the portal need not keep what it has. */
  async #abandon(): Promise<void> {
    if (!this.#isAnnounced) return
    // That the portal then says "cancelled" is no news.
    this.#context.events.unsubscribe(this.#log)
    await cancelUnstored(this.#context, this.#entry.transferId)
  }

  #status(): Promise<TransferStatus> {
    return this.#insist((options) => this.#context.client.transfer(this.#entry.transferId, options))
  }

  #insist<Result>(request: (options: CallOptions) => Promise<Result>): Promise<Result> {
    const { signal } = this.#context
    return this.#patience.insist(() => request({ stallMs: this.#patience.stallMs, signal }))
  }

  *#digestsInOrder(): Generator<PartDigests> {
    const count = partCount(layoutOf(this.#entry))
    for (let partNumber = 1; partNumber <= count; partNumber++) {
      const digest = this.#digests.get(partNumber)
      if (digest === undefined) throw new Error(`part ${partNumber} was not read`)
      yield digest
    }
  }
}
