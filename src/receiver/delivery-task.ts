/**
 * One transfer at the receiver, from its offer to the answer.
 *
 * When it gives each answer: `received` once the file is in the folder, whole and durable, and the portal has said that it is
 * stored; `resend` once the bad parts are deleted; `refused` once everything of the transfer is deleted. When it can give no
 * answer, it keeps the verified parts for the next offer.
 */
import type { Semaphore } from '../async/index.ts'
import { type ConcurrencyBounds, isAboutToken, type PortalClient, RemoteProblem } from '../client/index.ts'
import { digestDriver } from '../digests/index.ts'
import { checkManifest } from '../parts/index.ts'
import { type Offer, type PartRange, Problem, type ProblemJson, type PublicKeys } from '../protocol/index.ts'
import { fingerprintOf, type ReceiptClaims } from '../trust/index.ts'
import { type DispositionBatcher, giveLeaseBack } from './answers.ts'
import { askPerson } from './ask-person.ts'
import type { Decide } from './decision.ts'
import { causeOf, type DeliveryOutcome, DeliveryWithdrawnError, isEnded } from './delivery-end.ts'
import type { ReceiveEvent } from './events.ts'
import { DeliveryFailedError, fetchMissingParts, type Links } from './fetch-parts.ts'
import { type FileHandling, FileRefusedError, type HandledAbout, HandledLaterError } from './handling.ts'
import { type Inbox, type Obstacle, type Published, PublishIncompleteError } from './inbox.ts'
import type { IncomingFile, PartBody, PartialLayout } from './incoming-file.ts'
import { LeasedAnswers } from './leased-answers.ts'
import { LeasedOffer, LeaseExpiredError, type StoredOffer } from './leased-offer.ts'
import { safeName } from './names.ts'
import { requireRoom } from './room.ts'
import { describe, type Shown, shownOf } from './traits.ts'
import {
  type AcceptPolicy,
  endedStream,
  type OpenedOffer,
  openOffer,
  receiptClaims,
  receiptOf,
  requireSigned,
} from './trust.ts'

export interface DeliveryContext<Body extends PartBody> {
  readonly client: PortalClient<Body>
  readonly answers: DispositionBatcher
  readonly inbox: Inbox<Body>
  readonly acceptPolicy: AcceptPolicy
  /** Null to accept everything. */
  readonly decide: Decide | null
  /** Null where nothing is done with the files. */
  readonly handling: FileHandling | null
  /** The semaphore that bounds how many files are fetched at the same time; null for a file that need not wait. */
  readonly placesFor: (sizeBytes: number) => Semaphore | null
  /** How many parts of one transfer may be in flight. */
  readonly partsInFlight: ConcurrencyBounds
  /** Whether files get the time of modification that their sender says. */
  readonly keepsTimes: boolean
  readonly idleMs: number
  readonly links: Links
  readonly onEvent: (event: ReceiveEvent) => void
  /** Called when the whole inbox cannot take files at the moment. */
  readonly onObstacle: (obstacle: Obstacle) => void
  /** Aborts when the receiver stops or stands still. Verified parts are kept. */
  readonly signal: AbortSignal
}

export class DeliveryTask<Body extends PartBody> {
  readonly #context: DeliveryContext<Body>
  readonly #leased: LeasedOffer
  readonly #about: Shown
  readonly #withdrawal = new AbortController()
  readonly #signal: AbortSignal
  #partial: IncomingFile<Body> | null = null
  #published: Published | null = null
  #signedBy: string | null = null
  #hasGivenUp = false
  #isAnnounced = false
  #redirectedBytes = 0
  readonly #answers: LeasedAnswers

  /** @param leasedAtMs the lease did not begin before this, by `performance.now()` */
  constructor(context: DeliveryContext<Body>, offer: Offer, leasedAtMs: number) {
    this.#context = context
    this.#leased = new LeasedOffer(context.client, offer, leasedAtMs, () => this.#heldBytes)
    // The answer follows soon where the content came with the offer.
    this.#answers = new LeasedAnswers(context.client, context.answers, this.#leased, offer.content !== undefined)
    this.#about = shownOf(this.#leased, context.inbox)
    this.#signal = AbortSignal.any([context.signal, this.#withdrawal.signal])
  }

  /**
   * The portal offers the transfer again while this task runs.
   *
   * @returns false when this task has given up and is only cleaning up: the caller gives the offer to the next task
   */
  offered(offer: Offer, leasedAtMs: number): boolean {
    if (this.#hasGivenUp) return false
    this.#leased.renew(offer, leasedAtMs)
    return true
  }

  /** The portal withdraws the offer while this task runs. */
  withdrawn(problem: ProblemJson): void {
    if (!this.#answers.isUnderWay) this.#withdrawal.abort(new DeliveryWithdrawnError(problem))
  }

  /**
   * Runs until this receiver is done with the delivery.
   *
   * @throws RemoteProblem `credentials-invalid`; Error for a mistake in the program
   */
  async run(): Promise<DeliveryOutcome> {
    const lease = this.#leased.keep((error) => {
      // While a person decides, no other request would notice that the delivery has ended.
      if (isEnded(error)) this.withdrawn(causeOf(error.problem))
    })
    try {
      return await this.#deliver()
    } catch (error) {
      return await this.#end(error)
    } finally {
      this.#answers.expectNone()
      await this.#partial?.close()
      await lease[Symbol.asyncDispose]()
    }
  }

  get #heldBytes(): number {
    return this.#published === null ? (this.#partial?.heldBytes ?? 0) : this.#about.sizeBytes
  }

  async #deliver(): Promise<DeliveryOutcome> {
    const { inbox, onEvent } = this.#context
    const { transferId } = this.#about
    this.#published = await inbox.published(transferId, this.#signal)
    if (this.#published !== null) {
      // An earlier run has published the file, so the sealed name is not opened again.
      if (this.#about.name === '') this.#about.name = this.#published.name
      onEvent({ type: 'offered', isResumed: true, ...this.#about })
      // A portal that was restored from a backup may be receiving the file again.
      await this.#leased.stored(this.#signal)
      return this.#conclude(this.#published)
    }
    const { partial, opened: offered, layout, name } = await this.#prepare()
    // A stream may pause for hours, and others would wait for its place.
    const places = layout.isSizeKnown === false ? null : this.#context.placesFor(layout.sizeBytes)
    const leave = await places?.acquire(this.#signal)
    const { stored, opened } = await this.#complete(partial, offered, layout).finally(leave)
    const { acceptPolicy, handling } = this.#context
    await requireSigned(acceptPolicy, opened, stored, this.#askKeys)
    if (opened.senderKeys !== null) this.#signedBy = await fingerprintOf(opened.senderKeys)
    this.#signal.throwIfAborted()
    const { trust } = acceptPolicy
    const receipt = trust === null ? null : receiptClaims(trust, opened, stored, partial, layout.digestAlgorithm)
    const finished = partial.finish()
    try {
      const record = { manifestDigest: stored.manifestDigest, receipt, signedBy: this.#signedBy }
      if (handling !== null) {
        await finished
        await handling.begin(await this.#handledAbout(receipt))
      }
      this.#published = await inbox.commit(transferId, name, record, finished, this.#signal)
    } finally {
      // Waits even after an error, because the file must not be closed or deleted while a write runs.
      await finished.catch(() => {})
      this.#tellRenamed(partial)
    }
    const leftOut = partial.tree?.linksLeftOut
    if (leftOut !== undefined && leftOut.linkCount > 0) {
      this.#context.onEvent({ type: 'links-left-out', ...leftOut, ...this.#about })
    }
    return this.#conclude(this.#published)
  }

  /** Refuses what can be refused before any byte travels, and then opens the partial file. */
  async #prepare(): Promise<{ partial: IncomingFile<Body>; opened: OpenedOffer; layout: PartialLayout; name: string }> {
    const { inbox, onEvent, acceptPolicy, decide, keepsTimes } = this.#context
    const { transferId } = this.#about
    const { offer } = this.#leased
    try {
      const digestAlgorithm = digestDriver(offer.digestAlgorithm).name
      const isStream = offer.isSizeKnown === false
      const unsized = isStream ? { isSizeKnown: false as const } : {}
      const layout = { sizeBytes: offer.sizeBytes, partSizeBytes: offer.partSizeBytes, digestAlgorithm, ...unsized }
      const opened = await openOffer(acceptPolicy, offer, this.#askKeys)
      const { sizeBytes, partSizeBytes } = opened.layout
      this.#about.sizeBytes = isStream ? 0 : sizeBytes
      const { shown, kept } = describe(opened.metadata, {
        unpacksTrees: inbox.unpacksTrees && !isStream,
        keepsTimes,
      })
      Object.assign(this.#about, shown)
      const { name } = safeName(this.#about.name)
      if (decide !== null && !(await inbox.hasBegun(transferId))) await this.#askPerson(decide)
      const partial = await inbox.open(transferId, { ...layout, sizeBytes, partSizeBytes }, this.#signal, kept)
      this.#partial = partial
      onEvent({ type: 'offered', isResumed: partial.heldBytes > 0, ...this.#about })
      this.#isAnnounced = true
      requireRoom(partial, isStream ? partial.heldBytes + partSizeBytes : sizeBytes, await inbox.freeBytes())
      return { partial, opened, layout, name }
    } catch (error) {
      if (!this.#isAnnounced && !this.#signal.aborted) onEvent({ type: 'offered', isResumed: false, ...this.#about })
      throw error
    }
  }

  /** Asks for a decision. @throws like `askPerson` */
  async #askPerson(decide: Decide): Promise<void> {
    const { onEvent } = this.#context
    this.#isAnnounced = true
    const tellAsking = () => onEvent({ type: 'asking', ...this.#about })
    await askPerson(decide, { leased: this.#leased, tellAsking, offer: () => ({ ...this.#about }) }, this.#signal)
  }

  /** Asks the portal for the keys of an account. */
  readonly #askKeys = async (account: string): Promise<PublicKeys | null> => {
    const { client } = this.#context
    try {
      return (await this.#leased.retry(() => client.accountOf(account, { signal: this.#signal }), this.#signal)).keys
    } catch (error) {
      if (error instanceof RemoteProblem && error.code === 'receiver-unknown') return null
      throw error
    }
  }

  /**
   * Fetches parts until they make up the file that the sender announced.
   *
   * @param layout the sizes of the parts as they travel, sealed or not
   */
  async #complete(
    partial: IncomingFile<Body>,
    opened: OpenedOffer,
    layout: PartialLayout,
  ): Promise<{ stored: StoredOffer; opened: OpenedOffer }> {
    const { contentKey } = opened
    const { client, partsInFlight, idleMs, links, onEvent } = this.#context
    const onHeld = () => {
      const redirectedBytes = this.#redirectedBytes
      const unpacked = partial.tree?.progress ?? null
      onEvent({ type: 'fetching', heldBytes: partial.heldBytes, redirectedBytes, unpacked, ...this.#about })
      this.#tellRenamed(partial)
    }
    const onRedirected = (byteCount: number) => {
      this.#redirectedBytes += byteCount
    }
    const onLinkFailed = (reason: string) => onEvent({ type: 'link-failed', reason, ...this.#about })
    const onRepeat = (problem: Problem) => onEvent({ type: 'repeating', problem: problem.toJSON(), ...this.#about })
    const leased = this.#leased
    while (true) {
      await fetchMissingParts(
        {
          ...{ client, leased, partial, layout, contentKey, partsInFlight, idleMs, links },
          ...{ onHeld, onRedirected, onLinkFailed, onRepeat, askAgain: this.#askAgain },
        },
        this.#signal,
      )
      const stored = await leased.stored(this.#signal)
      if (layout.isSizeKnown === false) {
        ;({ layout, opened } = endedStream(opened, layout, stored.sizeBytes))
        await this.#sized(partial, opened.layout.sizeBytes)
        continue
      }
      const verdict = checkManifest(layout, layout.digestAlgorithm, partial.held, stored.manifestDigest)
      if (verdict.disposition === 'received') return { stored, opened }
      await partial.startOver()
      onRepeat(verdict.problem)
      await this.#askAgain(verdict.problem, verdict.wanted)
    }
  }

  #tellRenamed({ tree }: IncomingFile<Body>): void {
    const renamed = tree?.takeRenamed() ?? []
    if (renamed.length > 0) this.#context.onEvent({ type: 'entries-renamed', renamed, ...this.#about })
  }

  /** A stream has ended at the portal. */
  async #sized(partial: IncomingFile<Body>, sizeBytes: number): Promise<void> {
    await partial.sized?.(sizeBytes)
    this.#about.sizeBytes = sizeBytes
    delete this.#about.isSizeKnown
  }

  /** @throws DeliveryFailedError when the portal will not send the parts again */
  readonly #askAgain = async (problem: Problem, wanted: readonly PartRange[]): Promise<void> => {
    const answer = { problem: problem.toJSON(), wanted: wanted.map(([first, last]): [number, number] => [first, last]) }
    const state = await this.#answers.send({ disposition: 'resend', ...answer }, this.#signal)
    // `waiting` means that it will be offered again; the next request finds the lease lost and waits for the new offer.
    if (state !== 'offered' && state !== 'waiting') throw new DeliveryFailedError(problem)
  }

  /** Does what is to be done with the file in the folder, and answers. */
  async #conclude(published: Published): Promise<DeliveryOutcome> {
    const { inbox, handling } = this.#context
    try {
      await handling?.published(await this.#handledAbout(published.receipt), published, this.#signal)
    } catch (error) {
      if (!(error instanceof FileRefusedError)) throw error
      this.#published = null
      throw error.problem
    }
    await inbox.keeps?.(this.#about.transferId)
    return this.#answerReceived(published)
  }

  async #handledAbout(claims: ReceiptClaims | null): Promise<HandledAbout> {
    const receipt = (await receiptOf(this.#context.acceptPolicy.trust, claims)) ?? null
    const { isStored: _, isSizeKnown: __, ...about } = this.#about
    return { ...about, signedBy: this.#signedBy, receipt }
  }

  async #answerReceived({ name, manifestDigest, receipt: claims }: Published): Promise<DeliveryOutcome> {
    const { inbox, onEvent, acceptPolicy } = this.#context
    const receipt = await receiptOf(acceptPolicy.trust, claims)
    const proof = receipt === undefined ? {} : { receipt }
    const state = await this.#answers.send({ disposition: 'received', manifestDigest, ...proof }, this.#signal)
    if (state !== 'delivered') throw new DeliveryWithdrawnError(new Problem('delivery-ended').toJSON())
    await inbox.answered(this.#about.transferId)
    const isRenamed = name !== this.#about.name
    onEvent({ type: 'received', path: inbox.whereIs(name), isRenamed, signedBy: this.#signedBy, ...this.#about })
    return 'received'
  }

  async #refuse(problem: Problem): Promise<DeliveryOutcome> {
    await this.#delete()
    try {
      await this.#answers.send({ disposition: 'refused', problem: problem.toJSON() }, this.#signal)
    } catch (error) {
      // A delivery that has ended for another reason needs no answer. The user sees a refusal in both cases.
      if (!isEnded(error)) throw error
    }
    this.#context.onEvent({ type: 'refused', problem: problem.toJSON(), ...this.#about })
    return 'refused'
  }

  /** Ends the delivery as the error requires. */
  async #end(error: unknown): Promise<DeliveryOutcome> {
    if (this.#context.signal.aborted) return this.#leave()
    if (error instanceof LeaseExpiredError) return this.#giveUp(error.message)
    if (error instanceof DeliveryWithdrawnError) return this.#endWithdrawn(error.problem)
    if (isEnded(error)) return this.#endWithdrawn(causeOf(error.problem))
    // A request that the portal finds wrong ends this delivery only. An invalid token ends all of them.
    if (error instanceof RemoteProblem && !isAboutToken(error)) return this.#giveUp(error.message)
    if (error instanceof DeliveryFailedError) {
      await this.#delete()
      this.#context.onEvent({ type: 'refused', problem: error.problem.toJSON(), ...this.#about })
      return 'refused'
    }
    // The file is in the folder already, or there is a shortage at the moment. Neither concerns the sender.
    if (error instanceof PublishIncompleteError || error instanceof HandledLaterError)
      return this.#giveUp(error.message)
    const problem = await this.#meaningOf(error)
    if (this.#context.signal.aborted) return this.#leave()
    if (problem === 'later') return this.#giveUp(error instanceof Error ? error.message : String(error))
    if (problem === null) throw error
    if (this.#published !== null) return this.#giveUp(problem.message)
    try {
      return await this.#refuse(problem)
    } catch (unanswered) {
      return this.#end(unanswered)
    }
  }

  /** The receiver stops. It keeps the lease only for a next run that has something of the file. */
  async #leave(): Promise<DeliveryOutcome> {
    const isKept = this.#published !== null || (this.#context.inbox.keepsParts && this.#heldBytes > 0)
    this.#answers.expectNone()
    if (!isKept) await giveLeaseBack(this.#context.answers, this.#leased.offer)
    return 'open'
  }

  /** What an error of the inbox means for this file. Calls `onObstacle` when it concerns the whole inbox. */
  async #meaningOf(error: unknown): Promise<Problem | 'later' | null> {
    const { inbox, onObstacle } = this.#context
    const meaning = inbox.meaningOf(error)
    if (meaning === null || error instanceof Problem) return meaning
    const obstacle = await inbox.obstacle(error)
    if (obstacle === null) return meaning
    onObstacle(obstacle)
    return 'later'
  }

  #giveUp(reason: string): DeliveryOutcome {
    this.#hasGivenUp = true
    this.#context.onEvent({ type: 'given-up', reason, ...this.#about })
    return 'open'
  }

  async #endWithdrawn(problem: ProblemJson): Promise<DeliveryOutcome> {
    if (this.#context.handling?.isUndecided(this.#about.transferId) === true) this.#published = null
    await this.#delete()
    // The portal ended the delivery before it heard that the file is in the folder. The file belongs to the user and stays.
    const detail = 'the delivery had ended before the portal was told, and the file has been kept'
    const told = this.#published === null ? problem : { ...problem, detail }
    this.#context.onEvent({ type: 'withdrawn', problem: told, ...this.#about })
    return 'withdrawn'
  }

  /** Deletes everything of the transfer, except a file that was published in the folder. */
  async #delete(): Promise<void> {
    await this.#partial?.close()
    this.#partial = null
    await this.#context.inbox.discard(this.#about.transferId)
  }
}
