/**
 * The portal's half of the second hop: from temporary storage to a receiver, under a lease.
 *
 * Promises kept here: only who holds the present lease can answer for a delivery; the same answer again succeeds;
 * a receiver's problem reaches the sender unchanged.
 */
import { Readable } from 'node:stream'
import { digestDriver, digestOf } from '../digests/index.ts'
import { hasCode } from '../hop/node.ts'
import {
  allParts,
  type Disposition,
  inRanges,
  isDigestAlgorithm,
  type Offer,
  Problem,
  partSpan,
} from '../protocol/index.ts'
import { notTheirs } from './audit.ts'
import { afterMove, isHeldInLedger, type PortalContext } from './context.ts'
import { failOpenDeliveries } from './fail-deliveries.ts'
import type { Account, Delivery, DeliveryChange, Transfer } from './ledger/contract.ts'
import { topics, Waiter } from './signals/index.ts'
import type { PartContent, PartKey } from './store/contract.ts'
import { Transfers } from './transfers.ts'
import { offerOf } from './views.ts'

/** Who asks, under which lease, and how far it has come. */
export interface LeaseClaim {
  readonly account: Account
  readonly transferId: string
  readonly leaseId: string
  /** What the receiver holds, verified; null when it does not say. */
  readonly heldBytes: number | null
}

interface Leased {
  readonly transfer: Transfer
  readonly delivery: Delivery & { readonly state: 'offered' }
}

interface PartHead {
  readonly digestAlgorithm: string
  readonly digest: string
  readonly partBytes: number
}

/** A part for the receiver, with what its head says: the content, or an address to fetch that from. */
export type OutgoingPart =
  | (PartHead & { readonly link: null; readonly content: PartContent })
  | (PartHead & { readonly link: string })

export interface PartOptions {
  readonly waitMs: number
  readonly signal: AbortSignal
  readonly rangeOf: RangeChooser
  /** Whether the receiver would fetch it from the store. */
  readonly wantsLink: boolean
}

export class Deliveries {
  readonly #context: PortalContext
  readonly #transfers: Transfers

  constructor(context: PortalContext) {
    this.#context = context
    this.#transfers = new Transfers(context)
  }

  /**
   * How an offer stands, after waiting up to `waitMs` for the transfer to be stored. Renews the lease.
   *
   * @throws Problem `lease-lost`, `delivery-ended`, `not-found`
   */
  async offer(claim: LeaseClaim, waitMs: number, signal: AbortSignal): Promise<Offer> {
    const { options, signals } = this.#context
    using waiter = new Waiter(signals, topics.transfer(claim.transferId), (partNumber) => partNumber === '')
    const endAtMs = performance.now() + waitMs
    for (let current = claim; ; current = waited(claim)) {
      const { transfer, delivery } = await this.#leased(current)
      const leftMs = endAtMs - performance.now()
      if (transfer.state === 'stored' || leftMs <= 0 || signal.aborted) {
        const offer = offerOf(transfer, delivery, options.leaseMs)
        if (offer === null) throw new Problem('lease-lost')
        return offer
      }
      await waiter.wait(leftMs, signal)
    }
  }

  /**
   * A part, after waiting up to `waitMs` for it to arrive at the portal. Renews the lease.
   *
   * @throws Problem `part-pending` when it has not arrived by then; `lease-lost`, `delivery-ended`, `not-found`,
   *   `part-unknown`
   */
  async part(
    claim: LeaseClaim,
    partNumber: number,
    { waitMs, signal, rangeOf, wantsLink }: PartOptions,
  ): Promise<OutgoingPart> {
    const { store, signals } = this.#context
    const { transferId } = claim
    // To look costs a few requests, and as many wait as parts are in flight: each looks when its own part has come.
    const concerns = (came: string): boolean => came === '' || came === String(partNumber)
    using waiter = new Waiter(signals, topics.transfer(transferId), concerns)
    const endAtMs = performance.now() + waitMs
    for (let current = claim; ; current = waited(claim)) {
      const { transfer } = await this.#leased(current)
      const { lengthBytes } = partSpan(transfer, partNumber)
      if (isHeldInLedger(transfer)) return this.#whole(transfer, rangeOf)
      const place = { transferId, generation: transfer.generation, partNumber }
      const digest = await store.find(place)
      if (digest !== null) {
        const key = { ...place, digest }
        const head = { digestAlgorithm: transfer.digestAlgorithm, digest, partBytes: lengthBytes }
        const link = wantsLink ? await this.#linkTo(key) : null
        if (link !== null) return { link, ...head }
        const content = await this.#read(key, rangeOf(digest, lengthBytes))
        if (content !== null && content.partBytes === lengthBytes) {
          content.stream.once('error', (error) => {
            // That is what it says when the receiver goes before its end.
            if (!hasCode(error, 'ABORT_ERR')) this.#cannotRead(key, error)
          })
          return { link: null, content, ...head }
        }
        content?.stream.destroy()
        // What is not there must not be removed: it may be just coming in again.
        if (content !== null) await this.#giveUp(transfer, key)
      }
      if (transfer.state !== 'receiving') return this.#lost(transfer, partNumber)
      const leftMs = endAtMs - performance.now()
      if (leftMs <= 0 || signal.aborted) throw new Problem('part-pending', { partNumber })
      await waiter.wait(leftMs, signal)
    }
  }

  /**
   * Takes the receiver's notification.
   *
   * @returns the state of the delivery afterwards; `offered` means: ask for the parts again, under the same lease
   * @throws Problem `lease-lost`, `delivery-ended`, `not-found`, `manifest-mismatching`
   */
  async dispose(account: Account, transferId: string, answer: Disposition): Promise<Delivery['state']> {
    while (true) {
      const found = await this.#context.ledger.delivery(transferId, account.accountId)
      if (found === null) throw await this.#notFound(transferId)
      const { transfer, delivery } = found
      if (isRepetition(delivery, answer)) return delivery.state
      const state = await this.#answered(requireLease(transfer, delivery, answer.leaseId), answer)
      if (state !== null) return state
      // Somebody else was faster, this very answer at another portal perhaps: look again, and say what the ledger says.
    }
  }

  /** @returns null when the lease has ended meanwhile */
  #answered(leased: Leased, answer: Disposition): Promise<Delivery['state'] | null> {
    const { transfer } = leased
    switch (answer.disposition) {
      case 'received':
        if (transfer.state !== 'stored') {
          throw new Problem('request-invalid', { detail: 'nothing can be received before it is stored' })
        }
        if (transfer.manifestDigest !== answer.manifestDigest) {
          throw new Problem('manifest-mismatching', { expected: transfer.manifestDigest })
        }
        return this.#move(leased, { state: 'delivered', receipt: answer.receipt ?? null })
      case 'refused':
        return this.#move(leased, { state: 'failed', problem: answer.problem })
      case 'resend':
        return this.#askedAgain(leased, answer)
    }
  }

  /** The lease of an offer ran out: the receiver has nothing, and is offered it again after a pause. */
  async leaseRanOut(due: { transferId: string; receiverId: number; leaseId: string; offers: number }): Promise<void> {
    const { ledger, options } = this.#context
    const { transferId, receiverId, leaseId, offers } = due
    const offerInMs = Math.min(options.offerPauseMsMax, options.offerPauseMsMin * 2 ** Math.min(offers - 1, 30))
    const from = { state: 'offered', leaseId } as const
    const moved = await ledger.moveDelivery(transferId, receiverId, from, { state: 'waiting', offerInMs })
    if (moved !== null) afterMove(this.#context, moved)
  }

  /** Another receiver's delivery looks as if it did not exist. */
  async #notFound(transferId: string): Promise<Problem> {
    const isThere = (await this.#context.ledger.transfer(transferId)) !== null
    return isThere ? notTheirs(transferId) : new Problem('not-found')
  }

  /** @throws Problem unless the claim is that of the present lease, which is renewed */
  async #leased({ account, transferId, leaseId, heldBytes }: LeaseClaim): Promise<Leased> {
    const { ledger, options, signals } = this.#context
    const found = await ledger.delivery(transferId, account.accountId)
    if (found === null) throw await this.#notFound(transferId)
    const leased = requireLease(found.transfer, found.delivery, leaseId)
    const fetchedBytes = heldBytes === null ? null : Math.min(heldBytes, found.transfer.sizeBytes)
    await ledger.renewLease(transferId, account.accountId, leaseId, { leaseMs: options.leaseMs, fetchedBytes })
    if (fetchedBytes !== null) {
      const message = JSON.stringify({ transferId, receiver: account.name, fetchedBytes })
      signals.publish(topics.progress(found.transfer.senderId), message)
    }
    return leased
  }

  /** The only part of a small file. */
  async #whole(transfer: Transfer, rangeOf: RangeChooser): Promise<OutgoingPart> {
    const whole = await this.#context.ledger.content(transfer.transferId)
    if (whole === null) return this.#lost(transfer, 1)
    const { digest, content } = whole
    const partBytes = content.length
    const range = rangeOf(digest, partBytes)
    const bytes = range === undefined ? content : content.subarray(range.startByte, range.endByte + 1)
    const stream = Readable.from([bytes])
    const { digestAlgorithm } = transfer
    return { link: null, content: { lengthBytes: bytes.length, partBytes, stream }, digestAlgorithm, digest, partBytes }
  }

  /** Where the store gives the part to anybody for a while; null where it does not, or the operator does not want it. */
  async #linkTo(key: PartKey): Promise<string | null> {
    const { store, options, log } = this.#context
    if (!options.redirectDownloads || store.linkTo === null) return null
    try {
      return await store.linkTo(key, { lifetimeMs: options.linkMs })
    } catch (error) {
      // It only saves a way: the part can be had here as well.
      log.warn({ err: error, transferId: key.transferId }, 'the store gave no address of a part')
      return null
    }
  }

  async #isWholeSound({ transferId, digestAlgorithm }: Transfer): Promise<boolean> {
    const whole = await this.#context.ledger.content(transferId)
    return (
      whole !== null && isDigestAlgorithm(digestAlgorithm) && digestOf(digestAlgorithm, whole.content) === whole.digest
    )
  }

  /** A part that cannot be read now may be readable later: that is no reason for the receiver to give up. */
  async #read(key: PartKey, range: { startByte: number; endByte: number } | undefined): Promise<PartContent | null> {
    try {
      return await this.#context.store.read(key, range)
    } catch (cause) {
      this.#context.log.error({ err: cause, ...key }, 'a part could not be read')
      throw new Problem('unavailable', {}, { cause })
    }
  }

  /** The storage broke off in the middle of a part: unless it can be read after all, it is no longer held. */
  #cannotRead(key: PartKey, error: Error): void {
    const { log, ledger } = this.#context
    log.error({ err: error, ...key }, 'a part broke off while it was read')
    const look = async (): Promise<void> => {
      const transfer = await ledger.transfer(key.transferId)
      if (transfer === null || (await this.#isSound(transfer, key))) return
      await this.#giveUp(transfer, key)
    }
    look().catch((cause: unknown) => log.error({ err: cause, ...key }, 'a part could not be looked at'))
  }

  /** The receiver deleted bad content and wants it again: unless the portal's own copy is bad, it gets it. */
  async #askedAgain(
    leased: Leased,
    answer: Disposition & { disposition: 'resend' },
  ): Promise<Delivery['state'] | null> {
    const { options, store } = this.#context
    const { transfer, delivery } = leased
    const { transferId, generation } = transfer
    if (isHeldInLedger(transfer) && !(await this.#isWholeSound(transfer))) {
      return this.#move(leased, { state: 'failed', problem: goneBad(1).toJSON() })
    }
    for (const [partNumber, digest] of await store.list({ transferId, generation })) {
      if (!inRanges(answer.wanted, partNumber)) continue
      const key = { transferId, generation, partNumber, digest }
      if (await this.#isSound(transfer, key)) continue
      if ((await this.#giveUp(transfer, key)) === 'stored') {
        return this.#move(leased, { state: 'failed', problem: goneBad(partNumber).toJSON() })
      }
      // All of that attempt is gone then.
      if (store.traits.isShared) break
    }
    if (delivery.resends + 1 >= options.attemptsMax) {
      return this.#move(leased, { state: 'failed', problem: answer.problem })
    }
    return this.#move(leased, { state: 'offered', leaseMs: options.leaseMs })
  }

  /**
   * Whether what is stored of a part is what was sent. Looks twice before it says no: storage may be far away, and what was
   * damaged on the way from there is whole there.
   *
   * @throws Problem `unavailable` when it cannot be told now: the storage says no, or nothing
   */
  async #isSound(transfer: Transfer, key: PartKey): Promise<boolean> {
    return (await this.#looksSound(transfer, key)) || (await this.#looksSound(transfer, key))
  }

  async #looksSound({ digestAlgorithm }: Transfer, key: PartKey): Promise<boolean> {
    if (!isDigestAlgorithm(digestAlgorithm)) return false
    const content = await this.#read(key, undefined)
    if (content === null) return false
    const hasher = digestDriver(digestAlgorithm).create()
    try {
      for await (const bytes of content.stream) hasher.update(bytes)
    } catch (error) {
      this.#context.log.error({ err: error, ...key }, 'a part could not be read to its end')
      if (error instanceof Problem) throw new Problem('unavailable', {}, { cause: error })
      return false
    }
    return hasher.digest() === key.digest
  }

  /**
   * The copy of a part is bad: it is removed, so that it is asked for again. Where others have the store, too, the whole attempt
   * ends with it: under its name the same part will come again, and nobody knows how late a removal takes effect there, or
   * which portal has just found the transfer whole.
   *
   * @returns the state of the transfer afterwards; of one that is stored by then, nothing more can be asked
   */
  async #giveUp(transfer: Transfer, key: PartKey): Promise<Transfer['state'] | undefined> {
    const { store, ledger, turns } = this.#context
    const { transferId } = transfer
    if (store.traits.isShared) {
      const problem = new Problem('parts-missing', { wanted: allParts(transfer), detail: 'the storage damaged a part' })
      await this.#transfers.attemptFailed(transfer, problem, true)
      return (await ledger.transfer(transferId))?.state
    }
    // In its turn: it may be about to be judged whether the transfer is whole.
    return turns.take(transferId, async () => {
      await store.removePart(key)
      return (await ledger.transfer(transferId))?.state
    })
  }

  /** A stored transfer lacks a part: the storage broke its promise, and nobody can be given the file any more. */
  async #lost(transfer: Transfer, partNumber: number): Promise<never> {
    this.#context.log.error({ transferId: transfer.transferId, partNumber }, 'a stored part is gone')
    const problem = goneBad(partNumber)
    await failOpenDeliveries(this.#context, transfer.transferId, () => problem)
    throw new Problem('delivery-ended', { problem: problem.toJSON() })
  }

  /** @returns null when the lease has ended meanwhile */
  async #move({ transfer, delivery }: Leased, change: DeliveryChange): Promise<Delivery['state'] | null> {
    const { ledger, metrics } = this.#context
    const { transferId } = transfer
    const from = { state: 'offered', leaseId: delivery.lease.leaseId } as const
    const moved = await ledger.moveDelivery(transferId, delivery.receiverId, from, change)
    if (moved === null) return null
    if (change.state === 'delivered' || change.state === 'failed') {
      metrics.notifications.inc({ notification: change.state })
      afterMove(this.#context, moved)
    }
    return change.state
  }
}

/** Chooses the bytes of a part that are wanted, once its digest and length are known; undefined for all of it. */
export type RangeChooser = (digest: string, partBytes: number) => { startByte: number; endByte: number } | undefined

/** A claim after a wait: what the receiver held when it asked is old by then. */
function waited(claim: LeaseClaim): LeaseClaim {
  return { ...claim, heldBytes: null }
}

function requireLease(transfer: Transfer, delivery: Delivery, leaseId: string): Leased {
  if (delivery.state === 'delivered') throw new Problem('delivery-ended')
  if (delivery.state === 'failed') throw new Problem('delivery-ended', { problem: delivery.problem })
  if (delivery.state !== 'offered' || delivery.lease.leaseId !== leaseId) throw new Problem('lease-lost')
  return { transfer, delivery }
}

/** The answer that ended this delivery, once more: its first answer may have been lost. */
function isRepetition(delivery: Delivery, { disposition, leaseId }: Disposition): boolean {
  if (delivery.state === 'delivered') return disposition === 'received' && delivery.leaseId === leaseId
  if (delivery.state === 'failed') return disposition !== 'received' && delivery.leaseId === leaseId
  return false
}

function goneBad(partNumber: number): Problem {
  return new Problem('stored-part-corrupt', { partNumber })
}
