/**
 * The portal's half of the first hop: from the sender into temporary storage.
 *
 * Promises kept here: `stored` is said only when every part is verified and durable and the ledger says so durably;
 * what was bad is deleted before it is asked for again; each attempt gets exactly one first notification, and asking
 * again gets the same one. Judging what is held of a transfer and removing it take turns: otherwise `stored` could be
 * said of parts that are just being removed.
 */
import type { Readable } from 'node:stream'
import { judge, type Verdict } from '../hop/index.ts'
import { takePart } from '../hop/node.ts'
import {
  type Announcement,
  allParts,
  type Completion,
  type DigestAlgorithm,
  eventsPerPageMax,
  isDigestAlgorithm,
  type Notification,
  Problem,
  parseContentDigest,
  partSpan,
  type TransferStatus,
} from '../protocol/index.ts'
import { admissionOf, refused, requireDiskRoom, requireSuitable } from './admission.ts'
import { notTheirs } from './audit.ts'
import { afterMove, areAlive, makeRoom, type PortalContext, removeGivenUp } from './context.ts'
import { failOpenDeliveries } from './fail-deliveries.ts'
import type { Account, Delivery, NewTransfer, Transfer, TransferChange } from './ledger/contract.ts'
import { floorOf } from './options.ts'
import { topics } from './signals/index.ts'
import type { PartPlace } from './store/contract.ts'
import { transferStatus } from './views.ts'

type Receiving = Transfer & { readonly state: 'receiving' }

/** One part as it comes in over HTTP, nothing of it checked yet. */
export interface IncomingPart {
  readonly partNumber: number
  readonly contentLength: string | undefined
  readonly contentDigest: string | undefined
  readonly body: Readable
  readonly signal: AbortSignal
  /** Called as bytes of it arrive. */
  readonly onBytes: () => void
}

export class Transfers {
  readonly #context: PortalContext

  constructor(context: PortalContext) {
    this.#context = context
  }

  /**
   * Admits a transfer, or finds the one that the same announcement made before.
   *
   * @param way how its content comes, where that is not part by part
   * @throws Problem when it is refused before any content; `storage-full` carries the event that recorded it
   */
  async announce(
    account: Account,
    transferId: string,
    announcement: Announcement,
    way: Pick<NewTransfer, 'isOneRequest'> = {},
  ): Promise<{ status: TransferStatus; isNew: boolean }> {
    const { ledger, signals } = this.#context
    await requireSuitable(this.#context, transferId, announcement)
    const { transfer, isNew } = await ledger.announce(
      { ...announcement, ...way, transferId, senderId: account.accountId },
      await admissionOf(this.#context),
    )
    if (!isNew) await this.#stillThere(transfer)
    else if (transfer.state === 'receiving') {
      for (const { receiverId } of transfer.deliveries) signals.publish(topics.inbox(receiverId), transferId)
    }
    const status = await this.#status(transfer)
    const refusal = status.notifications.at(-1)
    if (isNew && refusal?.notification === 'refused') throw refused(this.#context, transfer, refusal)
    return { status, isNew }
  }

  /** @throws Problem `not-found`, for somebody else's transfer too */
  async status(account: Account, transferId: string): Promise<TransferStatus> {
    const transfer = await this.#own(account, transferId)
    await this.#stillThere(transfer)
    return this.#status(transfer)
  }

  /** @throws Problem `not-found` for a transfer that is not the account's */
  async requireOwn(account: Account, transferId: string): Promise<void> {
    await this.#own(account, transferId)
  }

  /** Takes one part in. When it resolves, the part is verified and durable. */
  async takePart(account: Account, transferId: string, part: IncomingPart): Promise<void> {
    const { ledger, store, options } = this.#context
    const transfer = requireReceiving(await this.#own(account, transferId))
    const digestAlgorithm = algorithmOf(transfer)
    const { partNumber } = part
    const { lengthBytes } = partSpan(transfer, partNumber)
    requireLength(part.contentLength, lengthBytes)
    const digest = parseContentDigest(digestAlgorithm, part.contentDigest)
    await ledger.touchTransfer(transferId, options.uploadTimeoutMs)
    const place = { transferId, generation: transfer.generation, partNumber }
    const putOff = this.putOffOnBytes(transferId)
    const onBytes = (): void => {
      part.onBytes()
      putOff()
    }
    try {
      const held = await store.findBeforePut(place)
      if (held === digest) return
      if (held !== null) throw new Problem('part-conflict', { partNumber })
      await requireDiskRoom(this.#context, lengthBytes)
      const expected = { partNumber, lengthBytes, digestAlgorithm, digest }
      await takePart(part.body, expected, () => store.openPart(place, digestAlgorithm), {
        idleMs: options.idleMs,
        floor: floorOf(options),
        signal: part.signal,
        isOwner: true,
        onBytes,
      })
    } catch (error) {
      if (isStorageProblem(error)) throw await this.#cannotStore(transfer, error)
      throw error
    }
    await this.partCame(place, lengthBytes)
  }

  /** What is to be called as bytes come: a part may take longer than the upload timeout, and its sender is not silent. */
  putOffOnBytes(transferId: string): () => void {
    const { ledger, options, log } = this.#context
    let touchedAtMs = performance.now()
    return () => {
      if (performance.now() - touchedAtMs < options.uploadTimeoutMs / 4) return
      touchedAtMs = performance.now()
      ledger
        .touchTransfer(transferId, options.uploadTimeoutMs)
        .catch((error: unknown) => log.warn({ err: error, transferId }, 'upload not put off'))
    }
  }

  /** A part is held that was not before: tells who waits for it. @throws Problem `transfer-closed` when it came too late */
  async partCame({ partNumber, ...parts }: PartPlace, lengthBytes: number): Promise<void> {
    const { ledger, store, signals, metrics } = this.#context
    const { transferId } = parts
    metrics.partBytes.inc({ direction: 'in' }, lengthBytes)
    // The transfer may have ended, or begun anew, while the part came in: then nobody else would delete the part.
    const now = await ledger.transfer(transferId)
    const isAlive = areAlive(now, parts)
    if (!isAlive) await store.removeParts(parts)
    if (!isAlive || now?.state !== 'receiving') throw new Problem('transfer-closed', { state: now?.state })
    signals.publish(topics.transfer(transferId), String(partNumber))
  }

  /** Ends an attempt: the answer is its first notification. The same request again gets the same answer. */
  complete(account: Account, transferId: string, completion: Completion): Promise<Notification> {
    return this.#context.turns.take(transferId, () => this.#complete(account, transferId, completion))
  }

  async #complete(account: Account, transferId: string, completion: Completion): Promise<Notification> {
    while (true) {
      const transfer = await this.#own(account, transferId)
      const { attempt } = completion
      if (attempt > transfer.attempt) {
        throw new Problem('request-invalid', { detail: `the transfer is at attempt ${transfer.attempt}` })
      }
      if (transfer.state !== 'receiving' || attempt < transfer.attempt) {
        return this.#recorded(transfer, completion)
      }
      const change = await this.#conclude(transfer, completion)
      const moved = await this.#move(transfer, change)
      if (moved !== null) return moved
      // Somebody else ended this attempt in the meantime: look again, and say what the ledger says.
    }
  }

  /**
   * Cancels what has not ended. A transfer that is over already stays as it is.
   *
   * @param onlyWhileReceiving leaves one that is stored as it is, too
   */
  async cancel(account: Account, transferId: string, onlyWhileReceiving: boolean): Promise<TransferStatus> {
    const transfer = await this.#own(account, transferId)
    const problem = new Problem('cancelled')
    if (onlyWhileReceiving) await this.#endReceiving(transferId, 'cancelled', problem)
    else await this.end(transfer, 'cancelled', () => problem)
    return this.status(account, transferId)
  }

  /**
   * Ends a transfer that was not delivered to everybody: before it is stored as a whole, afterwards delivery by
   * delivery.
   */
  async end(
    transfer: Transfer,
    as: 'cancelled' | 'expired',
    problemOf: (delivery: Delivery | null) => Problem,
  ): Promise<void> {
    const { transferId } = transfer
    if (await this.#endReceiving(transferId, as, problemOf(null))) return
    await failOpenDeliveries(this.#context, transferId, problemOf)
  }

  /** Refuses a transfer that is not stored yet, for a reason outside of it. A stored one stays as it is. */
  async refuse(transferId: string, problem: Problem): Promise<void> {
    await this.#endReceiving(transferId, 'refused', problem)
  }

  /** The sender went silent in the middle of an upload: what came so far is deleted and wanted again. */
  async uploadTimedOut(transfer: Transfer): Promise<void> {
    await this.#whileReceiving(transfer.transferId, async (now) => {
      // A deadline that has moved means that the sender is back.
      if (transfer.state !== 'receiving' || transfer.uploadDeadlineMs !== now.uploadDeadlineMs) return
      await makeRoom(this.#context, now)
      const problem = new Problem('upload-timeout')
      // Who sends in one request does not ask how it stands, and would not learn that more is wanted.
      if (now.isOneRequest) await this.#move(now, { state: 'refused', problem: problem.toJSON() })
      else await this.#move(now, this.#again(now, { problem, wanted: allParts(now), isAnew: true }, null))
    })
  }

  /**
   * An attempt has come to nothing: everything of it is deleted.
   *
   * @param isWantedAgain whether its sender may begin the next one
   * @returns the notification; null when the attempt was over already
   */
  attemptFailed(
    { transferId, attempt }: Pick<Transfer, 'transferId' | 'attempt'>,
    problem: Problem,
    isWantedAgain: boolean,
  ): Promise<Notification | null> {
    return this.#whileReceiving(transferId, async (now) => {
      if (now.attempt !== attempt) return null
      await makeRoom(this.#context, now).catch(() => {})
      return this.#move(now, isWantedAgain ? this.#anew(now, problem) : { state: 'refused', problem: problem.toJSON() })
    })
  }

  /**
   * Begins an upload in one request again, of which an earlier request has left parts: whoever took them in may be dead, or
   * still at it. What came with that attempt counts no more.
   *
   * @returns the notification that ended it; null where there was nothing of it
   */
  beginAgain(transferId: string, attempt: number): Promise<Notification | null> {
    return this.#whileReceiving(transferId, async (now) => {
      if (now.attempt !== attempt || (await this.#context.store.list(now)).size === 0) return null
      await makeRoom(this.#context, now)
      return this.#move(now, this.#anew(now, new Problem('part-incomplete', { detail: 'the file is being sent anew' })))
    })
  }

  /** @returns whether the transfer was still being received, and is no more */
  async #endReceiving(transferId: string, as: 'cancelled' | 'expired' | 'refused', problem: Problem): Promise<boolean> {
    const ended = await this.#whileReceiving(transferId, async (receiving) => {
      await makeRoom(this.#context, receiving)
      return this.#move(receiving, { state: as, problem: problem.toJSON() })
    })
    return ended !== null
  }

  /** A sender that asks is there: it may be hashing what the portal holds already. One that had gone has to send. */
  async #stillThere(transfer: Transfer): Promise<void> {
    const { ledger, options } = this.#context
    if (transfer.state !== 'receiving' || transfer.uploadDeadlineMs === null) return
    await ledger.touchTransfer(transfer.transferId, options.uploadTimeoutMs)
  }

  /** Acts upon a transfer that still takes parts, in its turn. @returns null for one that does not any more */
  #whileReceiving<Result>(transferId: string, act: (transfer: Receiving) => Promise<Result>): Promise<Result | null> {
    return this.#context.turns.take(transferId, async () => {
      const transfer = await this.#context.ledger.transfer(transferId)
      return transfer?.state === 'receiving' ? act(transfer) : null
    })
  }

  async #own(account: Account, transferId: string): Promise<Transfer> {
    const transfer = await this.#context.ledger.transfer(transferId)
    if (transfer === null) throw new Problem('not-found')
    if (transfer.senderId !== account.accountId) throw notTheirs(transferId)
    return transfer
  }

  async #status(transfer: Transfer): Promise<TransferStatus> {
    const { store, ledger } = this.#context
    const held = transfer.state === 'receiving' ? await store.list(transfer) : new Map<number, string>()
    const page = { after: '0', limit: eventsPerPageMax, transferId: transfer.transferId }
    return transferStatus(transfer, held, await ledger.events(transfer.senderId, page))
  }

  /** What an attempt comes to. Everything that the change says of the store has been done when this resolves. */
  async #conclude(transfer: Receiving, completion: Completion): Promise<TransferChange> {
    const { store, options } = this.#context
    const { manifestDigest } = completion
    try {
      const held = await store.list(transfer)
      const verdict = judge(transfer, algorithmOf(transfer), held, manifestDigest)
      if (verdict.disposition === 'received') {
        await store.seal(transfer)
        return { state: 'stored', manifestDigest, manifest: completion.manifest ?? null }
      }
      const isAnew = verdict.problem.code === 'manifest-mismatching'
      if (isAnew) await makeRoom(this.#context, transfer)
      return this.#again(transfer, { ...verdict, isAnew }, options.uploadTimeoutMs)
    } catch (error) {
      if (!isStorageProblem(error)) throw error
      await makeRoom(this.#context, transfer).catch(() => {})
      return { state: 'refused', problem: error.toJSON() }
    }
  }

  /** Asks for everything again, from its sender who is there. */
  #anew(transfer: Receiving, problem: Problem): TransferChange {
    const again = { problem, wanted: allParts(transfer), isAnew: true }
    return this.#again(transfer, again, this.#context.options.uploadTimeoutMs)
  }

  /** Asks again, or gives up when it was asked often enough. */
  #again(
    transfer: Receiving,
    { problem, wanted, isAnew }: Pick<Verdict & { disposition: 'resend' }, 'problem' | 'wanted'> & { isAnew: boolean },
    uploadTimeoutMs: number | null,
  ): TransferChange {
    if (transfer.attempt < this.#context.options.attemptsMax) {
      return { state: 'receiving', problem: problem.toJSON(), wanted, isAnew, uploadTimeoutMs }
    }
    const { attempt } = transfer
    const exhausted = new Problem('attempts-exhausted', { attempts: attempt, last: problem.code })
    return { state: 'refused', problem: exhausted.toJSON() }
  }

  /** The storage failed under a transfer: everything of it is deleted and it is refused. */
  async #cannotStore(transfer: Receiving, problem: Problem): Promise<Problem> {
    this.#context.log.error({ err: problem, transferId: transfer.transferId }, 'a part could not be stored')
    // The attempt that the part belonged to may be over; what it met says nothing about the next one.
    const notification = await this.attemptFailed(transfer, problem, false)
    if (notification === null) return new Problem('transfer-closed')
    const { eventId, at, attempt } = notification
    return new Problem(problem.code, { ...problem.details, transferId: transfer.transferId, eventId, at, attempt })
  }

  /** @returns the notification that the move caused; null when somebody else was faster */
  async #move(transfer: Receiving, change: TransferChange): Promise<Notification | null> {
    const { ledger, metrics } = this.#context
    const { transferId, attempt } = transfer
    const moved = await ledger.moveTransfer(transferId, { state: 'receiving', attempt }, change)
    if (moved === null) return null
    const notification = await this.#firstNotification(moved, attempt)
    if (notification === null) throw new Error(`the move of ${transferId} left no notification`)
    metrics.notifications.inc({ notification: notification.notification })
    if (moved.generation !== transfer.generation) await removeGivenUp(this.#context, transfer)
    afterMove(this.#context, moved)
    return notification
  }

  async #firstNotification(transfer: Transfer, attempt: number): Promise<Notification | null> {
    const page = { after: '0', limit: eventsPerPageMax, transferId: transfer.transferId }
    const notifications = await this.#context.ledger.events(transfer.senderId, page)
    return notifications.find((one) => one.attempt === attempt && !('receiver' in one)) ?? null
  }

  async #recorded(transfer: Transfer, { attempt, manifestDigest }: Completion): Promise<Notification> {
    const isStored = transfer.state === 'stored' || transfer.state === 'ended'
    if (isStored && attempt === transfer.attempt && transfer.manifestDigest !== manifestDigest) {
      throw new Problem('transfer-conflict', { detail: 'the transfer is stored under another manifestDigest' })
    }
    const notification = await this.#firstNotification(transfer, attempt)
    if (notification === null) throw new Problem('transfer-closed', { state: transfer.state })
    return notification
  }
}

function requireReceiving(transfer: Transfer): Receiving {
  if (transfer.state !== 'receiving') throw new Problem('transfer-closed', { state: transfer.state })
  return transfer
}

function requireLength(contentLength: string | undefined, lengthBytes: number): void {
  if (contentLength === undefined) throw new Problem('length-required')
  if (contentLength !== String(lengthBytes)) throw new Problem('part-length-wrong', { lengthBytes })
}

function algorithmOf({ digestAlgorithm }: Transfer): DigestAlgorithm {
  if (!isDigestAlgorithm(digestAlgorithm)) throw new Error(`digest algorithm ${digestAlgorithm} was admitted`)
  return digestAlgorithm
}

function isStorageProblem(error: unknown): error is Problem {
  return error instanceof Problem && (error.code === 'storage-full' || error.code === 'store-failed')
}
