/**
 * The portal's half of the first hop: from the sender to temporary storage.
 *
 * Promises kept here: the portal answers `stored` only when every part is verified and durable and the ledger has recorded it
 * durably; bad parts are deleted before they are requested again; each attempt gets exactly one first notification, and a repeated
 * request gets the same one. A mutex separates checking a transfer's parts from removing them: otherwise `stored` could be answered
 * for parts that are just being removed.
 */
import { SharedCalls } from '../../async/index.ts'
import type { ManifestCheck } from '../../parts/index.ts'
import { receivePart } from '../../parts/node-part-receiver.ts'
import {
  type Announcement,
  allParts,
  type Completion,
  eventsPerPageMax,
  type Notification,
  Problem,
  parseContentDigest,
  partSpan,
  type TransferStatus,
} from '../../protocol/index.ts'
import { afterMove, areAlive, makeRoom, type PortalContext, removeGivenUp } from '../context.ts'
import { failOpenDeliveries } from '../deliveries/fail-deliveries.ts'
import type { Account, Delivery, NewTransfer, Transfer, TransferChange } from '../ledger/contract.ts'
import { notTheirs } from '../monitoring/audit.ts'
import { topics } from '../signals/index.ts'
import type { PartPlace } from '../store/contract.ts'
import { transferStatus } from '../views.ts'
import { admissionOf, refused, requireDiskRoom, requireSuitable } from './admission.ts'
import { readingOf, sealIfWhole } from './body-splitter.ts'
import {
  algorithmOf,
  isStorageProblem,
  isWithoutRoom,
  lengthOf,
  type PartUpload,
  type Receiving,
  requireLength,
  requireReceiving,
} from './part-upload.ts'
import { attemptsUsed, replacedProblem } from './same-request.ts'
import { completedBytes, grown } from './streams.ts'

type PartsAgain = Pick<ManifestCheck & { disposition: 'resend' }, 'problem' | 'wanted'> & { discardsParts: boolean }

export class Transfers {
  readonly #context: PortalContext
  readonly #listings = new SharedCalls<ReadonlyMap<number, string>>()

  constructor(context: PortalContext) {
    this.#context = context
  }

  /**
   * Admits a transfer, or finds the one that the same announcement made before.
   *
   * @param way how its content comes, if not part by part
   * @throws Problem when it is refused before any content; `storage-full` contains the event that logged it
   */
  async announce(
    account: Account,
    transferId: string,
    announcement: Announcement,
    way: Pick<NewTransfer, 'isOneRequest' | 'isResumable'> = {},
  ): Promise<{ status: TransferStatus; isNew: boolean }> {
    const { ledger, signals } = this.#context
    await requireSuitable(this.#context, account, transferId, announcement)
    const { transfer, isNew } = await ledger.announce(
      { ...announcement, ...way, transferId, senderId: account.accountId },
      await admissionOf(this.#context),
    )
    if (!isNew) await this.#extendDeadlineOf(transfer)
    else if (transfer.state === 'receiving') {
      for (const { receiverId } of transfer.deliveries) signals.publish(topics.inbox(receiverId), transferId)
    }
    const status = await this.#status(transfer)
    const refusal = transfer.state === 'refused' ? status.notifications.at(-1) : null
    if (isNew && refusal?.notification === 'refused') throw refused(this.#context, transfer, refusal)
    return { status, isNew }
  }

  /** @throws Problem `not-found`, also for a transfer of another account */
  async status(account: Account, transferId: string): Promise<TransferStatus> {
    const transfer = await this.#own(account, transferId)
    await this.#extendDeadlineOf(transfer)
    return this.#status(transfer)
  }

  /** @throws Problem `not-found` for a transfer that is not the account's */
  async requireOwn(account: Account, transferId: string): Promise<void> {
    await this.#own(account, transferId)
  }

  /** Receives one part. When it resolves, the part is verified and durable. */
  async receivePart(account: Account, transferId: string, part: PartUpload): Promise<void> {
    const { ledger, store, options } = this.#context
    const own = requireReceiving(await this.#own(account, transferId))
    const { partNumber } = part
    const transfer = own.isSizeKnown ? own : await this.grow(own, partNumber, lengthOf(part.contentLength))
    const digestAlgorithm = algorithmOf(transfer)
    const { lengthBytes } = partSpan(transfer, partNumber)
    requireLength(part.contentLength, lengthBytes)
    const digest = parseContentDigest(digestAlgorithm, part.contentDigest)
    await ledger.extendUploadDeadline(transferId, options.uploadTimeoutMs)
    const place = { transferId, generation: transfer.generation, partNumber }
    const extendDeadline = this.extendDeadlineOnBytes(transferId)
    const onBytes = (): void => {
      part.onBytes()
      extendDeadline()
    }
    try {
      const held = await store.findBeforePut(place)
      if (held === digest) return
      if (held !== null) throw new Problem('part-conflict', { partNumber })
      await requireDiskRoom(this.#context, lengthBytes)
      const expected = { partNumber, lengthBytes, digestAlgorithm, digest }
      await receivePart(part.body, expected, () => store.openPart(place, digestAlgorithm), {
        ...readingOf(options, part.signal),
        onBytes,
      })
    } catch (error) {
      if (isStorageProblem(error)) throw await this.#cannotStore(transfer, error)
      throw error
    }
    await this.partReceived(place, lengthBytes)
  }

  /** Makes room for a part of a stream. */
  grow(stream: Receiving, partNumber: number, lengthBytes: number): Promise<Receiving> {
    return this.refusedWithoutRoom(stream, () => grown(this.#context, stream, partNumber, lengthBytes))
  }

  /** Does what takes room for a stream. Where there is none, the stream is refused: its sender can neither shorten it nor wait. */
  async refusedWithoutRoom<Result>(stream: Receiving, act: () => Promise<Result>): Promise<Result> {
    try {
      return await act()
    } catch (error) {
      throw isWithoutRoom(error) ? await this.#cannotStore(stream, error) : error
    }
  }

  /** Makes a callback for arriving bytes that extends the upload deadline, because a part may take longer than the upload timeout. */
  extendDeadlineOnBytes(transferId: string): () => void {
    const { ledger, options, log } = this.#context
    let extendedAtMs = performance.now()
    return () => {
      if (performance.now() - extendedAtMs < options.uploadTimeoutMs / 4) return
      extendedAtMs = performance.now()
      ledger
        .extendUploadDeadline(transferId, options.uploadTimeoutMs)
        .catch((error: unknown) => log.warn({ err: error, transferId }, 'the upload deadline was not extended'))
    }
  }

  /** Called when a new part is held: signals it to waiting receivers. @throws Problem `transfer-closed` when it came too late */
  async partReceived({ partNumber, ...parts }: PartPlace, lengthBytes: number): Promise<void> {
    const { ledger, store, signals, metrics } = this.#context
    const { transferId } = parts
    metrics.partBytes.inc({ direction: 'in' }, lengthBytes)
    // The transfer may have ended, or started a new attempt, while the part arrived. Then this request deletes the part.
    const now = await ledger.transfer(transferId)
    const isAlive = areAlive(now, parts)
    if (!isAlive) await store.removeParts(parts)
    if (!isAlive || now?.state !== 'receiving') throw new Problem('transfer-closed', { state: now?.state })
    signals.publish(topics.transfer(transferId), String(partNumber))
  }

  /** Ends an attempt. The answer is its first notification. A repeated request gets the same answer. */
  complete(account: Account, transferId: string, completion: Completion): Promise<Notification> {
    return this.#context.turns.run(transferId, () => this.#complete(account, transferId, completion))
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
      // Another request has ended this attempt meanwhile. Reads the ledger again and answers by that.
    }
  }

  /**
   * Cancels a transfer and its open deliveries. A transfer that is over stays unchanged.
   *
   * @param onlyWhileReceiving leaves a stored transfer unchanged, too
   */
  async cancel(account: Account, transferId: string, onlyWhileReceiving: boolean): Promise<TransferStatus> {
    const transfer = await this.#own(account, transferId)
    const problem = new Problem('cancelled')
    if (onlyWhileReceiving) await this.#endReceiving(transferId, 'cancelled', problem)
    else await this.end(transfer, 'cancelled', () => problem)
    return this.status(account, transferId)
  }

  /**
   * Ends a transfer that was not delivered to all receivers: the transfer itself if it is not stored, otherwise each open
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

  /** Refuses a transfer that is not stored yet, for an external reason. A stored one stays unchanged. */
  async refuse(transferId: string, problem: Problem): Promise<void> {
    await this.#endReceiving(transferId, 'refused', problem)
  }

  /** The sender fell silent during an upload: the parts are deleted and wanted again. */
  async uploadTimedOut(transfer: Transfer): Promise<void> {
    await this.#whileReceiving(transfer.transferId, async (now) => {
      // A changed deadline means that the sender is back.
      if (transfer.state !== 'receiving' || transfer.uploadDeadlineMs !== now.uploadDeadlineMs) return
      await makeRoom(this.#context, now)
      const problem = new Problem('upload-timeout')
      // A sender of one request does not ask for the state, so it would not learn that the content is wanted again. That of a stream
      // cannot send it again.
      if (now.isOneRequest || !now.isSizeKnown) await this.#move(now, { state: 'refused', problem: problem.toJSON() })
      else await this.#move(now, await this.#again(now, { problem, wanted: allParts(now), discardsParts: true }, null))
    })
  }

  /**
   * An attempt has failed: its parts are deleted.
   *
   * @param isWantedAgain whether the sender may start another attempt
   * @returns the notification; null when the attempt was already over
   */
  attemptFailed(
    { transferId, attempt }: Pick<Transfer, 'transferId' | 'attempt'>,
    problem: Problem,
    isWantedAgain: boolean,
  ): Promise<Notification | null> {
    return this.#whileReceiving(transferId, async (now) => {
      if (now.attempt !== attempt) return null
      await makeRoom(this.#context, now).catch(() => {})
      return this.#move(
        now,
        isWantedAgain ? await this.#nextAttempt(now, problem) : { state: 'refused', problem: problem.toJSON() },
      )
    })
  }

  /**
   * Starts a new attempt at an upload in one request. The parts of an earlier request, which may be dead or still running, do not count
   * any more.
   *
   * @returns the notification that ended the earlier attempt; null when that had no parts
   */
  beginAgain(transferId: string, attempt: number): Promise<Notification | null> {
    return this.#whileReceiving(transferId, async (now) => {
      if (now.attempt !== attempt || (await this.#context.store.list(now)).size === 0) return null
      await makeRoom(this.#context, now)
      return this.#move(now, await this.#nextAttempt(now, replacedProblem()))
    })
  }

  /** @returns whether the transfer was being received and has been ended by this */
  async #endReceiving(transferId: string, as: 'cancelled' | 'expired' | 'refused', problem: Problem): Promise<boolean> {
    const ended = await this.#whileReceiving(transferId, async (receiving) => {
      await makeRoom(this.#context, receiving)
      return this.#move(receiving, { state: as, problem: problem.toJSON() })
    })
    return ended !== null
  }

  /** Extends the upload deadline, because a sender that asks is alive: it may be hashing parts that the portal holds. Not after a timeout. */
  async #extendDeadlineOf(transfer: Transfer): Promise<void> {
    const { ledger, options } = this.#context
    if (transfer.state !== 'receiving' || transfer.uploadDeadlineMs === null) return
    await ledger.extendUploadDeadline(transfer.transferId, options.uploadTimeoutMs)
  }

  /** Runs `act` with a transfer that is being received, under its mutex. @returns null when it is not being received any more */
  #whileReceiving<Result>(transferId: string, act: (transfer: Receiving) => Promise<Result>): Promise<Result | null> {
    return this.#context.turns.run(transferId, async () => {
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
    const { transferId, generation, state } = transfer
    // A listing costs requests to the store, and a sender may ask as often as it likes.
    const list = () => this.#listings.run(`${transferId} ${generation}`, () => store.list(transfer))
    const held = state === 'receiving' ? await list() : new Map<number, string>()
    const page = { after: '0', limit: eventsPerPageMax, transferId }
    const events = await ledger.events(transfer.senderId, page)
    return transferStatus(transfer, held, events, await this.#uploadOf(transfer))
  }

  /** How much of an upload that later requests continue has come. @returns null for any other transfer */
  async #uploadOf({ transferId, state, attempt, isOneRequest }: Transfer): Promise<TransferStatus['upload'] | null> {
    if (state !== 'receiving' || !isOneRequest) return null
    const upload = await this.#context.ledger.uploadResource({ transferId })
    return upload?.attempt === attempt ? { protocol: upload.protocol, offsetBytes: upload.offsetBytes } : null
  }

  /** The result of an attempt. All changes of the store that belong to it are done when this resolves. */
  async #conclude(transfer: Receiving, completion: Completion): Promise<TransferChange> {
    const { store, options } = this.#context
    const { manifestDigest } = completion
    const sizeBytes = completedBytes(transfer, completion)
    try {
      const verdict = await sealIfWhole(store, { ...transfer, sizeBytes }, algorithmOf(transfer), manifestDigest)
      if (verdict.disposition === 'received') {
        const stream = transfer.isSizeKnown ? {} : { streamBytes: sizeBytes }
        return { state: 'stored', manifestDigest, manifest: completion.manifest ?? null, ...stream }
      }
      const discardsParts = verdict.problem.code === 'manifest-mismatching'
      if (discardsParts) await makeRoom(this.#context, transfer)
      return this.#again(transfer, { ...verdict, discardsParts }, options.uploadTimeoutMs)
    } catch (error) {
      if (!isStorageProblem(error)) throw error
      await makeRoom(this.#context, transfer).catch(() => {})
      return { state: 'refused', problem: error.toJSON() }
    }
  }

  /** Requests all parts again from a connected sender. */
  #nextAttempt(transfer: Receiving, problem: Problem): Promise<TransferChange> {
    const again = { problem, wanted: allParts(transfer), discardsParts: true }
    return this.#again(transfer, again, this.#context.options.uploadTimeoutMs)
  }

  /** Requests parts again, or refuses the transfer after the last attempt. */
  async #again(
    transfer: Receiving,
    { problem, wanted, discardsParts }: PartsAgain,
    uploadTimeoutMs: number | null,
  ): Promise<TransferChange> {
    if ((await attemptsUsed(this.#context.ledger, transfer)) < this.#context.options.attemptsMax) {
      return { state: 'receiving', problem: problem.toJSON(), wanted, discardsParts, uploadTimeoutMs }
    }
    const { attempt } = transfer
    const exhausted = new Problem('attempts-exhausted', { attempts: attempt, last: problem.code })
    return { state: 'refused', problem: exhausted.toJSON() }
  }

  /** The storage failed during a transfer: its parts are deleted, and it is refused. */
  async #cannotStore(transfer: Receiving, problem: Problem): Promise<Problem> {
    this.#context.log.error({ err: problem, transferId: transfer.transferId }, 'a part could not be stored')
    // The part's attempt may be over. Its failure must not end the next attempt.
    const notification = await this.attemptFailed(transfer, problem, false)
    if (notification === null) return new Problem('transfer-closed')
    const { eventId, at, attempt } = notification
    return new Problem(problem.code, { ...problem.details, transferId: transfer.transferId, eventId, at, attempt })
  }

  /** @returns the notification that the move caused; null when another request was faster */
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
    if ('manifestDigest' in transfer && attempt === transfer.attempt && transfer.manifestDigest !== manifestDigest) {
      throw new Problem('transfer-conflict', { detail: 'the transfer is stored with another manifestDigest' })
    }
    const notification = await this.#firstNotification(transfer, attempt)
    if (notification === null) throw new Problem('transfer-closed', { state: transfer.state })
    return notification
  }
}
