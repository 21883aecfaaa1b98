/**
 * The portal's half of the second hop: from temporary storage to a receiver, under a lease.
 *
 * Promises kept here: only the holder of the current lease can answer for a delivery; a repeated answer succeeds; a
 * receiver's problem reaches the sender unchanged.
 */
import { Readable } from 'node:stream'
import { KeyedMutex, never } from '../../async/index.ts'
import { digestOf } from '../../digests/index.ts'
import { hasCode } from '../../fs/index.ts'
import {
  allParts,
  type Disposition,
  isDigestAlgorithm,
  type Offer,
  type PartRange,
  Problem,
  partsIn,
} from '../../protocol/index.ts'
import { requestsOf } from '../accounts/guests.ts'
import { afterMove, isHeldInLedger, type PortalContext } from '../context.ts'
import type { Account, Delivery, DeliveryChange, Transfer } from '../ledger/contract.ts'
import { notTheirs } from '../monitoring/audit.ts'
import { topics, Waiter } from '../signals/index.ts'
import type { PartContent, PartKey } from '../store/contract.ts'
import { knownPart } from '../uploads/streams.ts'
import { Transfers } from '../uploads/transfers.ts'
import { offerOf } from '../views.ts'
import { failOpenDeliveries } from './fail-deliveries.ts'
import { HeldRecorder } from './held-recorder.ts'
import {
  isRepetition,
  type LeaseClaim,
  type Leased,
  leaseEnded,
  requireLease,
  requireManifestDigest,
  waited,
} from './leases.ts'
import { PartVerifier } from './part-verifier.ts'

/** How long the portal checks its own copy of the parts that a receiver wants again. Clients wait longer than this for an answer. */
const VERIFY_MS_MAX = 10_000

interface PartHead {
  readonly digestAlgorithm: string
  readonly digest: string
  readonly partBytes: number
  /** Whether another part follows. */
  readonly hasNext: boolean
}

/** A part for the receiver: its content, or the address to fetch the content from, and the data for the header of the answer. */
export type OutgoingPart =
  | (PartHead & { readonly link: null; readonly content: PartContent })
  | (PartHead & { readonly link: string })

export interface PartOptions {
  readonly waitMs: number
  readonly signal: AbortSignal
  readonly rangeOf: RangeChooser
  /** Whether the receiver accepts an address in the store instead of the content. */
  readonly wantsLink: boolean
}

export class Deliveries {
  readonly #context: PortalContext
  readonly #transfers: Transfers
  readonly #verifier: PartVerifier
  /** By delivery: requests that ask for parts again are handled one at a time. */
  readonly #resends = new KeyedMutex()
  readonly #heldRecorder: HeldRecorder

  constructor(context: PortalContext) {
    this.#context = context
    this.#transfers = new Transfers(context)
    this.#verifier = new PartVerifier(context.log, (key) => this.#read(key, undefined))
    this.#heldRecorder = new HeldRecorder(context)
  }

  /** Writes the last reported progress of receivers to the ledger. */
  async flush(): Promise<void> {
    await this.#heldRecorder.flush()
  }

  /**
   * The current state of an offer, after waiting up to `waitMs` until the transfer is stored. Renews the lease.
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
        const requests = await requestsOf(this.#context, [transfer])
        const offer = offerOf(transfer, delivery, { leaseMs: options.leaseMs, requests })
        if (offer === null) throw new Problem('lease-lost')
        return offer
      }
      await waiter.wait(leftMs, signal)
    }
  }

  /**
   * A part, after waiting up to `waitMs` until it has arrived at the portal. Renews the lease.
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
    // Each waiting request looks only when its own part has arrived, because a look costs a few requests to ledger and store.
    const concerns = (came: string): boolean => came === '' || came === String(partNumber)
    using waiter = new Waiter(signals, topics.transfer(transferId), concerns)
    const endAtMs = performance.now() + waitMs
    for (let current = claim; ; current = waited(claim)) {
      const { transfer } = await this.#leased(current)
      const known = knownPart(transfer, partNumber)
      if (isHeldInLedger(transfer)) return this.#inlinePart(transfer, rangeOf)
      const place = { transferId, generation: transfer.generation, partNumber }
      const digest = known === null ? null : await store.find(place)
      if (digest !== null && known !== null) {
        const { lengthBytes, hasNext } = known
        const key = { ...place, digest }
        const head = { digestAlgorithm: transfer.digestAlgorithm, digest, partBytes: lengthBytes, hasNext }
        const link = wantsLink ? await this.#linkTo(key) : null
        if (link !== null) return { link, ...head }
        const content = await this.#read(key, rangeOf(digest, lengthBytes))
        if (content !== null && content.partBytes === lengthBytes) {
          content.stream.once('error', (error) => {
            // ABORT_ERR means that the receiver has disconnected.
            if (!hasCode(error, 'ABORT_ERR')) this.#cannotRead(key, error)
          })
          return { link: null, content, ...head }
        }
        content?.stream.destroy()
        // A part that is missing must not be removed, because it may be arriving again.
        if (content !== null) await this.#giveUp(transfer, key)
      }
      if (transfer.state !== 'receiving') return this.#lost(transfer, partNumber)
      const leftMs = endAtMs - performance.now()
      if (leftMs <= 0 || signal.aborted) throw new Problem('part-pending', { partNumber })
      await waiter.wait(leftMs, signal)
    }
  }

  /**
   * Handles the receiver's answer.
   *
   * @param signal aborts when the receiver does not wait for the response any more. Its answer still counts
   * @returns the state of the delivery afterwards. `offered` means that the receiver fetches the parts again under the same lease
   * @throws Problem `lease-lost`, `delivery-ended`, `not-found`, `manifest-mismatching`
   */
  dispose(
    account: Account,
    transferId: string,
    answer: Disposition,
    signal: AbortSignal = never,
  ): Promise<Delivery['state']> {
    if (answer.disposition !== 'resend') return this.#dispose(account, transferId, answer, signal)
    // Checking parts takes long, and asking is cheap. So a second request waits until the first one has been counted.
    return this.#resends.run(`${transferId} ${account.accountId}`, async () =>
      signal.aborted ? 'offered' : this.#dispose(account, transferId, answer, signal),
    )
  }

  async #dispose(
    account: Account,
    transferId: string,
    answer: Disposition,
    signal: AbortSignal,
  ): Promise<Delivery['state']> {
    while (true) {
      const found = await this.#context.ledger.delivery(transferId, account.accountId)
      if (found === null) throw await this.#notFound(transferId)
      const { transfer, delivery } = found
      if (isRepetition(transfer, delivery, answer)) return delivery.state
      const state = await this.#answered(requireLease(transfer, delivery, answer.leaseId), answer, signal)
      if (state !== null) return state
      // Another request was faster, perhaps the same answer at another portal. Reads the ledger again and answers by that.
    }
  }

  /** @returns null when the lease has ended meanwhile */
  #answered(leased: Leased, answer: Disposition, signal: AbortSignal): Promise<Delivery['state'] | null> {
    const { transfer } = leased
    switch (answer.disposition) {
      case 'received':
        if (transfer.state !== 'stored') {
          throw new Problem('request-invalid', { detail: 'the transfer is not stored yet, so it cannot be received' })
        }
        requireManifestDigest(transfer, answer.manifestDigest)
        return this.#move(leased, { state: 'delivered', receipt: answer.receipt ?? null })
      case 'refused':
        return this.#move(leased, { state: 'failed', problem: answer.problem })
      case 'resend':
        return this.#askedAgain(leased, answer, signal)
      case 'released':
        return leaseEnded(this.#context, {
          ...leased.delivery,
          transferId: transfer.transferId,
          leaseId: answer.leaseId,
        })
    }
  }

  /** For another receiver's delivery the answer is the same as for an unknown one. */
  async #notFound(transferId: string): Promise<Problem> {
    const isThere = (await this.#context.ledger.transfer(transferId)) !== null
    return isThere ? notTheirs(transferId) : new Problem('not-found')
  }

  /** Renews the lease of a claim. @throws Problem when it is not the current lease */
  async #leased({ account, transferId, leaseId, heldBytes }: LeaseClaim): Promise<Leased> {
    const { ledger, options, signals } = this.#context
    const found = await ledger.delivery(transferId, account.accountId)
    if (found === null) throw await this.#notFound(transferId)
    const leased = requireLease(found.transfer, found.delivery, leaseId)
    const fetchedBytes = heldBytes === null ? null : Math.min(heldBytes, found.transfer.sizeBytes)
    await ledger.renewLease(transferId, account.accountId, leaseId, { leaseMs: options.leaseMs, fetchedBytes })
    if (fetchedBytes !== null) {
      this.#heldRecorder.note({ transferId, receiverId: account.accountId, leaseId, fetchedBytes })
      const message = JSON.stringify({ transferId, receiver: account.name, fetchedBytes })
      signals.publish(topics.progress(found.transfer.senderId), message)
    }
    return leased
  }

  /** The only part of a small file. */
  async #inlinePart(transfer: Transfer, rangeOf: RangeChooser): Promise<OutgoingPart> {
    const whole = await this.#context.ledger.content(transfer.transferId)
    if (whole === null) return this.#lost(transfer, 1)
    const { digest, content } = whole
    const partBytes = content.length
    const range = rangeOf(digest, partBytes)
    const bytes = range === undefined ? content : content.subarray(range.startByte, range.endByte + 1)
    const stream = Readable.from([bytes])
    const { digestAlgorithm } = transfer
    const head = { digestAlgorithm, digest, partBytes, hasNext: false }
    return { link: null, content: { lengthBytes: bytes.length, partBytes, stream }, ...head }
  }

  /** A public address of the part in the store, valid for a while; null if the store gives none, or the operator did not allow it. */
  async #linkTo(key: PartKey): Promise<string | null> {
    const { store, options, log } = this.#context
    if (!options.redirectDownloads || store.linkTo === null) return null
    try {
      return await store.linkTo(key, { lifetimeMs: options.linkMs })
    } catch (error) {
      // Not fatal: the receiver can fetch the part from the portal.
      log.warn({ err: error, transferId: key.transferId }, 'the store made no link for a part')
      return null
    }
  }

  async #isWholeSound({ transferId, digestAlgorithm }: Transfer): Promise<boolean> {
    const whole = await this.#context.ledger.content(transferId)
    return (
      whole !== null && isDigestAlgorithm(digestAlgorithm) && digestOf(digestAlgorithm, whole.content) === whole.digest
    )
  }

  /** Reads a part. A failure becomes `unavailable`, so that the receiver tries again, because the part may be readable later. */
  async #read(key: PartKey, range: { startByte: number; endByte: number } | undefined): Promise<PartContent | null> {
    try {
      return await this.#context.store.read(key, range)
    } catch (cause) {
      this.#context.log.error({ err: cause, ...key }, 'a part could not be read')
      throw new Problem('unavailable', {}, { cause })
    }
  }

  /** The storage broke off in the middle of a part. Reads the part again, and gives it up if that fails, too. */
  #cannotRead(key: PartKey, error: Error): void {
    const { log, ledger } = this.#context
    log.error({ err: error, ...key }, 'a part broke off while it was read')
    const look = async (): Promise<void> => {
      const transfer = await ledger.transfer(key.transferId)
      if (transfer === null || (await this.#verifier.isSound(transfer.digestAlgorithm, key)) === true) return
      await this.#giveUp(transfer, key)
    }
    look().catch((cause: unknown) => log.error({ err: cause, ...key }, 'a part could not be checked'))
  }

  /**
   * The receiver deleted bad content and wants it again. It gets it unless the portal's own copy is bad. The request counts as one
   * try, even when the receiver disconnects while the portal checks its copy.
   */
  async #askedAgain(
    leased: Leased,
    answer: Disposition & { disposition: 'resend' },
    signal: AbortSignal,
  ): Promise<Delivery['state'] | null> {
    const { options } = this.#context
    const { transfer, delivery } = leased
    const bad = isHeldInLedger(transfer)
      ? (await this.#isWholeSound(transfer))
        ? null
        : 1
      : await this.#firstStoredBad(leased, answer.wanted, signal)
    if (bad !== null) return this.#move(leased, { state: 'failed', problem: goneBad(bad).toJSON() })
    if (delivery.resends + 1 >= options.attemptsMax) {
      return this.#move(leased, { state: 'failed', problem: answer.problem })
    }
    return this.#move(leased, { state: 'offered', leaseMs: options.leaseMs })
  }

  /**
   * Checks the portal's copy of the parts that are wanted again, and gives up bad parts of a transfer that is still being received.
   * It checks for a bounded time and begins at another part with each try, so that the tries together cover a large file.
   *
   * @param signal ends the search when it aborts
   * @returns a bad part of a stored transfer; null when none was found
   */
  async #firstStoredBad(
    { transfer, delivery }: Leased,
    wanted: readonly PartRange[],
    signal: AbortSignal,
  ): Promise<number | null> {
    const { store, options } = this.#context
    const { transferId, generation } = transfer
    const isWanted = partsIn(wanted)
    const parts = [...(await store.list({ transferId, generation }))].filter(([partNumber]) => isWanted.has(partNumber))
    const begin = Math.floor((parts.length * delivery.resends) / options.attemptsMax)
    const until = AbortSignal.any([signal, AbortSignal.timeout(VERIFY_MS_MAX)])
    for (const [partNumber, digest] of [...parts.slice(begin), ...parts.slice(0, begin)]) {
      const key = { transferId, generation, partNumber, digest }
      const isSound = await this.#verifier.isSound(transfer.digestAlgorithm, key, until)
      if (isSound === null) break
      if (isSound) continue
      if ((await this.#giveUp(transfer, key)) === 'stored') return partNumber
      // With a shared store the whole attempt is given up, so there is nothing more to check.
      if (store.traits.isShared) break
    }
    return null
  }

  /**
   * The copy of a part is bad: it is removed, so that the sender is asked for it again. With a shared store the whole attempt ends
   * instead: the same part would come again under the same name, a removal may take effect late, and another portal may just have
   * found the transfer complete.
   *
   * @returns the state of the transfer afterwards; a part of a stored transfer cannot be asked for again
   */
  async #giveUp(transfer: Transfer, key: PartKey): Promise<Transfer['state'] | undefined> {
    const { store, ledger, turns } = this.#context
    const { transferId } = transfer
    if (store.traits.isShared) {
      const problem = new Problem('parts-missing', { wanted: allParts(transfer), detail: 'the storage damaged a part' })
      await this.#transfers.attemptFailed(transfer, problem, true)
      return (await ledger.transfer(transferId))?.state
    }
    // Under the mutex, because another request may be checking whether the transfer is complete.
    return turns.run(transferId, async () => {
      await store.removePart(key)
      return (await ledger.transfer(transferId))?.state
    })
  }

  /** A stored transfer lacks a part, because the storage has lost it. The file cannot be delivered any more. */
  async #lost(transfer: Transfer, partNumber: number): Promise<never> {
    this.#context.log.error({ transferId: transfer.transferId, partNumber }, 'a stored part is missing')
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

/** Chooses the wanted bytes of a part once its digest and length are known; undefined for the whole part. */
export type RangeChooser = (digest: string, partBytes: number) => { startByte: number; endByte: number } | undefined

function goneBad(partNumber: number): Problem {
  return new Problem('stored-part-corrupt', { partNumber })
}
