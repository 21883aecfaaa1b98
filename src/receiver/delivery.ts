/**
 * One transfer at the receiver, from its offer to the answer.
 *
 * The answers and what stands behind each: `received` once the file is in the folder, whole and durable, and not
 * before the portal said that it is stored; `resend` once what was bad is deleted; `refused` once everything of the
 * transfer is deleted. Where no answer can be given, what is verified is kept for the next offer.
 */

import { type InFlightBounds, type PortalClient, RemoteProblem } from '../client/index.ts'
import { digestDriver } from '../digests/index.ts'
import { judge, type Places } from '../hop/index.ts'
import {
  conforms,
  type Offer,
  type PartRange,
  Problem,
  ProblemBody,
  type ProblemCode,
  type ProblemJson,
  type PublicKeys,
} from '../protocol/index.ts'
import { fingerprintOf } from '../trust/index.ts'
import { type Decide, declined } from './decision.ts'
import type { ReceiveEvent } from './events.ts'
import { DeliveryFailed, fetchMissingParts } from './fetch-parts.ts'
import { type Inbox, NotDurableYet, type Published } from './inbox.ts'
import type { IncomingFile, PartBody, PartialLayout } from './incoming-file.ts'
import type { Links } from './links.ts'
import { safeName } from './names.ts'
import { OfferLapsed, StandingOffer, type StoredOffer } from './standing-offer.ts'
import { type Acceptance, type OpenedOffer, openOffer, receiptClaims, receiptOf, requireSigned } from './trust.ts'

export interface DeliveryContext<Body extends PartBody> {
  readonly client: PortalClient<Body>
  readonly inbox: Inbox<Body>
  readonly acceptance: Acceptance
  /** Null to accept everything. */
  readonly decide: Decide | null
  /** Where to wait until content may be fetched; null for a file that need not. */
  readonly placesFor: (sizeBytes: number) => Places | null
  /** Of one transfer. */
  readonly partsInFlight: InFlightBounds
  readonly idleMs: number
  readonly links: Links
  readonly onEvent: (event: ReceiveEvent) => void
  /** Aborts when the receiver stops: what is verified is kept. */
  readonly signal: AbortSignal
}

/** How a delivery left this receiver. Without an answer (`open`) the portal will offer it again. */
export type DeliveryOutcome = 'received' | 'refused' | 'withdrawn' | 'open'

const ENDED: ReadonlySet<string> = new Set<ProblemCode>(['delivery-ended', 'not-found', 'cancelled', 'expired'])

/** The portal has ended the delivery; it wants no answer. */
class DeliveryWithdrawn extends Error {
  override readonly name = 'DeliveryWithdrawn'
  readonly problem: ProblemJson

  constructor(problem: ProblemJson) {
    super(problem.title)
    this.problem = problem
  }
}

export class Delivery<Body extends PartBody> {
  readonly #context: DeliveryContext<Body>
  readonly #standing: StandingOffer
  /** Name and size are those of the file itself, as soon as they are known. */
  readonly #about: {
    readonly transferId: string
    readonly from: string
    name: string
    sizeBytes: number
    readonly isSealed: boolean
    readonly isStored: boolean
  }
  readonly #withdrawal = new AbortController()
  readonly #signal: AbortSignal
  #partial: IncomingFile<Body> | null = null
  #published: Published | null = null
  #signedBy: string | null = null
  #hasGivenUp = false
  #isAnnounced = false
  #redirectedBytes = 0
  /** While answers are under way, what the portal says to them tells how the delivery stands. */
  #answering = 0

  /** @param leasedAtMs the lease did not begin before this, by `performance.now()` */
  constructor(context: DeliveryContext<Body>, offer: Offer, leasedAtMs: number) {
    const { transferId, from, metadata, sizeBytes } = offer
    this.#context = context
    this.#standing = new StandingOffer(context.client, offer, leasedAtMs, () => this.#heldBytes)
    const standing = this.#standing
    this.#about = {
      ...{ transferId, from, name: 'name' in metadata ? metadata.name : '', sizeBytes },
      isSealed: 'sealed' in metadata,
      get isStored() {
        return standing.offer.state === 'stored'
      },
    }
    this.#signal = AbortSignal.any([context.signal, this.#withdrawal.signal])
  }

  /**
   * The portal offers the transfer anew while this runs.
   *
   * @returns false when this has given up already, and is only tidying: the offer is for whoever comes after it
   */
  offered(offer: Offer, leasedAtMs: number): boolean {
    if (this.#hasGivenUp) return false
    this.#standing.renew(offer, leasedAtMs)
    return true
  }

  /** The portal withdraws the offer while this runs. */
  withdrawn(problem: ProblemJson): void {
    if (this.#answering === 0) this.#withdrawal.abort(new DeliveryWithdrawn(problem))
  }

  /**
   * Runs until the delivery has left this receiver.
   *
   * @throws RemoteProblem `credentials-invalid`; Error for a mistake in the program
   */
  async run(): Promise<DeliveryOutcome> {
    const keeping = new AbortController()
    const keeper = this.#standing.keep(AbortSignal.any([this.#signal, keeping.signal]), (error) => {
      // While a person is waited for no other request is made that would find out.
      if (isEnded(error)) this.withdrawn(causeOf(error.problem))
    })
    try {
      return await this.#deliver()
    } catch (error) {
      return await this.#end(error)
    } finally {
      keeping.abort()
      await this.#partial?.close()
      await keeper
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
      // The name that a sealed offer gives is not needed any more.
      if (this.#about.name === '') this.#about.name = this.#published.name
      onEvent({ type: 'offered', isResumed: true, ...this.#about })
      return this.#answerReceived(this.#published)
    }
    const { partial, opened, layout, name } = await this.#prepare()
    const leave = await this.#context.placesFor(layout.sizeBytes)?.take(this.#signal)
    const stored = await this.#complete(partial, opened, layout).finally(leave)
    const { acceptance } = this.#context
    await requireSigned(acceptance, opened, stored, this.#askKeys)
    if (opened.senderKeys !== null) this.#signedBy = await fingerprintOf(opened.senderKeys)
    this.#signal.throwIfAborted()
    const { trust } = acceptance
    const { digestAlgorithm } = layout
    const receipt = trust === null ? null : receiptClaims(trust, opened, stored, partial, digestAlgorithm)
    const finished = partial.finish()
    try {
      const record = { manifestDigest: stored.manifestDigest, receipt }
      this.#published = await inbox.commit(transferId, name, record, finished, this.#signal)
    } finally {
      // However that ended: nobody may close or delete what is still being written.
      await finished.catch(() => {})
    }
    return this.#answerReceived(this.#published)
  }

  /** Everything that can be refused before a byte has travelled; then what is there already of the file. */
  async #prepare(): Promise<{ partial: IncomingFile<Body>; opened: OpenedOffer; layout: PartialLayout; name: string }> {
    const { inbox, onEvent, acceptance } = this.#context
    const { transferId } = this.#about
    const { offer } = this.#standing
    try {
      const digestAlgorithm = digestDriver(offer.digestAlgorithm).name
      const layout = { sizeBytes: offer.sizeBytes, partSizeBytes: offer.partSizeBytes, digestAlgorithm }
      const opened = await openOffer(acceptance, offer, this.#askKeys)
      const { sizeBytes, partSizeBytes } = opened.layout
      this.#about.sizeBytes = sizeBytes
      this.#about.name = opened.metadata.name
      const { name } = safeName(this.#about.name)
      if (!(await inbox.hasBegun(transferId))) await this.#askPerson()
      const partial = await inbox.open(transferId, { sizeBytes, partSizeBytes, digestAlgorithm }, this.#signal)
      this.#partial = partial
      onEvent({ type: 'offered', isResumed: partial.heldBytes > 0, ...this.#about })
      this.#isAnnounced = true
      const neededBytes = sizeBytes - partial.heldBytes
      const freeBytes = await inbox.freeBytes()
      if (neededBytes > freeBytes) {
        const detail = `the receiver has room for ${freeBytes} bytes, and ${neededBytes} are needed`
        throw new Problem('disk-full', { neededBytes, freeBytes, detail })
      }
      return { partial, opened, layout, name }
    } catch (error) {
      if (!this.#isAnnounced && !this.#signal.aborted) onEvent({ type: 'offered', isResumed: false, ...this.#about })
      throw error
    }
  }

  /**
   * Asks for a decision, where somebody is there to decide. What has begun was accepted by an earlier run.
   *
   * @throws Problem `declined`; DeliveryWithdrawn when the portal ends the delivery meanwhile
   */
  async #askPerson(): Promise<void> {
    const { decide, onEvent } = this.#context
    if (decide === null) return
    onEvent({ type: 'asking', ...this.#about })
    this.#standing.onStored = () => onEvent({ type: 'asking', ...this.#about })
    this.#isAnnounced = true
    const ending = Promise.withResolvers<never>()
    const end = (): void => ending.reject(this.#signal.reason)
    this.#signal.addEventListener('abort', end, { once: true })
    try {
      this.#signal.throwIfAborted()
      const decision = await Promise.race([decide({ ...this.#about }, this.#signal), ending.promise])
      if (decision !== 'accept') throw declined(decision.refuse)
    } finally {
      this.#standing.onStored = null
      this.#signal.removeEventListener('abort', end)
    }
  }

  /** By which keys the portal says that an account is known. */
  readonly #askKeys = async (account: string): Promise<PublicKeys | null> => {
    const { client } = this.#context
    try {
      return (await this.#standing.insist(() => client.accountOf(account, { signal: this.#signal }), this.#signal)).keys
    } catch (error) {
      if (error instanceof RemoteProblem && error.code === 'receiver-unknown') return null
      throw error
    }
  }

  /**
   * Fetches until the parts make up the file that the sender announced.
   *
   * @param layout the sizes of what travels
   */
  async #complete(
    partial: IncomingFile<Body>,
    { contentKey }: OpenedOffer,
    layout: PartialLayout,
  ): Promise<StoredOffer> {
    const { client, partsInFlight, idleMs, links, onEvent } = this.#context
    const onHeld = () => {
      const redirectedBytes = this.#redirectedBytes
      onEvent({ type: 'fetching', heldBytes: partial.heldBytes, redirectedBytes, ...this.#about })
    }
    const onRedirected = (byteCount: number) => {
      this.#redirectedBytes += byteCount
    }
    const onLinkFailed = (reason: string) => onEvent({ type: 'link-failed', reason, ...this.#about })
    const onRepeat = (problem: Problem) => onEvent({ type: 'repeating', problem: problem.toJSON(), ...this.#about })
    const askAgain = (problem: Problem, wanted: readonly PartRange[]) => this.#askAgain(problem, wanted)
    const standing = this.#standing
    while (true) {
      await fetchMissingParts(
        {
          ...{ client, standing, partial, layout, contentKey, partsInFlight, idleMs, links },
          ...{ onHeld, onRedirected, onLinkFailed, onRepeat, askAgain },
        },
        this.#signal,
      )
      const stored = await standing.stored(this.#signal)
      const verdict = judge(layout, layout.digestAlgorithm, partial.held, stored.manifestDigest)
      if (verdict.disposition === 'received') return stored
      await partial.startOver()
      onRepeat(verdict.problem)
      await this.#askAgain(verdict.problem, verdict.wanted)
    }
  }

  /** @throws DeliveryFailed when the portal does not want to send it again */
  async #askAgain(problem: Problem, wanted: readonly PartRange[]): Promise<void> {
    const state = await this.#answer({
      disposition: 'resend',
      problem: problem.toJSON(),
      wanted: wanted.map(([first, last]) => [first, last]),
    })
    // `waiting` means that it will be offered anew; the next request finds the lease lost and waits for that.
    if (state !== 'offered' && state !== 'waiting') throw new DeliveryFailed(problem)
  }

  async #answerReceived({ name, manifestDigest, receipt: claims }: Published): Promise<DeliveryOutcome> {
    const { inbox, onEvent, acceptance } = this.#context
    const receipt = await receiptOf(acceptance.trust, claims)
    const answer = receipt === undefined ? { manifestDigest } : { manifestDigest, receipt }
    const state = await this.#answer({ disposition: 'received', ...answer })
    if (state !== 'delivered') throw new DeliveryWithdrawn(new Problem('delivery-ended').toJSON())
    await inbox.answered(this.#about.transferId)
    const path = inbox.whereIs(name)
    onEvent({ type: 'received', path, isRenamed: name !== this.#about.name, signedBy: this.#signedBy, ...this.#about })
    return 'received'
  }

  async #refuse(problem: Problem): Promise<DeliveryOutcome> {
    await this.#delete()
    try {
      await this.#answer({ disposition: 'refused', problem: problem.toJSON() })
    } catch (error) {
      // A delivery that has ended otherwise meanwhile needs no answer; to the user it is the same.
      if (!isEnded(error)) throw error
    }
    this.#context.onEvent({ type: 'refused', problem: problem.toJSON(), ...this.#about })
    return 'refused'
  }

  /** Gives an answer, until it has been heard. @returns the state of the delivery afterwards */
  async #answer(
    answer:
      | { disposition: 'received'; manifestDigest: string; receipt?: string }
      | { disposition: 'resend'; problem: ProblemJson; wanted: [number, number][] }
      | { disposition: 'refused'; problem: ProblemJson },
  ) {
    const { client } = this.#context
    this.#answering++
    try {
      const { state } = await this.#standing.insist(
        ({ transferId, leaseId }) => client.disposition(transferId, { leaseId, ...answer }, { signal: this.#signal }),
        this.#signal,
      )
      return state
    } finally {
      this.#answering--
    }
  }

  /** What an error means for the delivery. */
  async #end(error: unknown): Promise<DeliveryOutcome> {
    if (this.#context.signal.aborted) return 'open'
    if (error instanceof OfferLapsed) return this.#giveUp(error.message)
    if (error instanceof DeliveryWithdrawn) return this.#endWithdrawn(error.problem)
    if (isEnded(error)) return this.#endWithdrawn(causeOf(error.problem))
    // One request that the portal finds wrong must not end the other deliveries; a token that is not valid does.
    if (error instanceof RemoteProblem && error.code !== 'credentials-invalid') return this.#giveUp(error.message)
    if (error instanceof DeliveryFailed) {
      await this.#delete()
      this.#context.onEvent({ type: 'refused', problem: error.problem.toJSON(), ...this.#about })
      return 'refused'
    }
    // The file is in the folder, or there is only no room to work at the moment: nothing that the sender should hear.
    if (error instanceof NotDurableYet) return this.#giveUp(error.message)
    const problem = this.#context.inbox.meaningOf(error)
    if (problem === 'later') return this.#giveUp(error instanceof Error ? error.message : String(error))
    if (problem === null) throw error
    if (this.#published !== null) return this.#giveUp(problem.message)
    try {
      return await this.#refuse(problem)
    } catch (unanswered) {
      return this.#end(unanswered)
    }
  }

  #giveUp(reason: string): DeliveryOutcome {
    this.#hasGivenUp = true
    this.#context.onEvent({ type: 'given-up', reason, ...this.#about })
    return 'open'
  }

  async #endWithdrawn(problem: ProblemJson): Promise<DeliveryOutcome> {
    await this.#delete()
    // What is in the folder is the user's. The portal ended the delivery before it heard of that.
    const detail = 'the delivery had ended before the portal was told, and the file has been kept'
    const told = this.#published === null ? problem : { ...problem, detail }
    this.#context.onEvent({ type: 'withdrawn', problem: told, ...this.#about })
    return 'withdrawn'
  }

  /** Deletes what there is of the transfer, except a file in the folder. */
  async #delete(): Promise<void> {
    await this.#partial?.close()
    this.#partial = null
    await this.#context.inbox.discard(this.#about.transferId)
  }
}

/**
 * Whether the portal says that there is no delivery any more that could be answered. Other refusals are about the
 * request, or about the portal's own trouble: no reason to delete what is verified.
 */
function isEnded(error: unknown): error is RemoteProblem {
  return error instanceof RemoteProblem && ENDED.has(error.code)
}

/** Why a delivery has ended: `delivery-ended` carries the problem that ended it. */
function causeOf(problem: ProblemJson): ProblemJson {
  const cause = problem.problem
  return conforms(ProblemBody, cause) ? cause : problem
}
