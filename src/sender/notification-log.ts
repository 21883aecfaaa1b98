import { type Notification, Problem, type ProblemJson, type Progress } from '../protocol/index.ts'
import type { SendContext } from './context.ts'
import type { Subscriber } from './event-watch.ts'
import { lostOutcome, type SendEvent, type SendOutcome } from './events.ts'
import type { JournalEntry } from './journal.ts'
import { ReceiptCheck } from './receipt-check.ts'
import type { OpenSource } from './source.ts'
import type { KeptReceipt } from './trust.ts'

type Delivered = Notification & { readonly notification: 'delivered' }

/**
 * The notifications about one transfer. Each comes at least once and by several ways (an answer, the event stream, the
 * status), and counts here once. `delivered` counts only with the receiver's receipt.
 */
export class NotificationLog implements Subscriber {
  readonly transferId: string
  readonly check: ReceiptCheck
  /** How many gaps the event stream had before the transfer began; null when another run began it. */
  gapsBefore: number | null = null
  readonly #seen = new Set<string>()
  /** Second notifications that came before the first one, by a faster way. Null once the first one is known. */
  #early: Notification[] | null = []
  readonly #to: readonly string[]
  readonly #waitingFor: Set<string>
  readonly #failures: { receiver: string; problem: ProblemJson }[] = []
  #loss: Problem | null = null
  readonly #answered = Promise.withResolvers<void>()
  readonly #onEvent: (event: SendEvent) => void

  /** How far a number of bytes of a folder goes; null for a file. It keeps nothing of a file in memory. */
  readonly #progressAt: ((bytes: number) => { readonly done: number; readonly path: string } | undefined) | null

  /** @param file what is sent, where this run has it: of a folder it tells how far the receiver is */
  constructor(entry: JournalEntry, context: SendContext, file: Pick<OpenSource, 'treeProgress'> = {}) {
    this.#progressAt = file.treeProgress === undefined ? null : (bytes) => file.treeProgress?.(bytes)
    this.transferId = entry.transferId
    this.check = new ReceiptCheck(context, entry)
    this.#to = entry.to
    this.#waitingFor = new Set(entry.to)
    this.#onEvent = context.onEvent
    // Callers that await `answered` see a failure. Without such a caller it must not count as unhandled.
    this.#answered.promise.catch(() => {})
  }

  /** Resolves when there is a second notification about every receiver. @throws the reason of the caller's signal */
  get answered(): Promise<void> {
    return this.#answered.promise
  }

  told(notification: Notification): void {
    this.tell(notification)
  }

  fetched(progress: Progress): void {
    const files = this.#progressAt?.(progress.fetchedBytes)
    this.#onEvent({ type: 'fetched', ...progress, ...(files === undefined ? {} : { files }) })
  }

  /** Passes a notification on as an event, unless it is a repetition, or about another transfer or receiver. */
  tell(notification: Notification): void {
    if (notification.transferId !== this.transferId) return
    if ('receiver' in notification && !this.#to.includes(notification.receiver)) return
    const key = keyOf(notification)
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    if (!('receiver' in notification)) this.#take(notification)
    else if (this.#early !== null) this.#early.push(notification)
    else this.#tellSecond(notification)
    if (notification.notification === 'stored') this.firstIsKnown()
  }

  /** The transfer is known to be stored: passes on the notifications that waited for that. */
  firstIsKnown(): void {
    const early = this.#early ?? []
    this.#early = null
    for (const notification of early) this.#tellSecond(notification)
  }

  #tellSecond(notification: Notification): void {
    if (notification.notification === 'delivered') {
      this.#takeDelivered(notification).catch((error) => this.#answered.reject(error))
    } else {
      this.#take(notification)
    }
  }

  /** Ends the wait for the receivers that have not answered, with a problem for each. */
  giveUp(problem: ProblemJson): void {
    for (const receiver of this.#waitingFor) this.#failures.push({ receiver, problem })
    this.#waitingFor.clear()
    this.#answered.resolve()
  }

  /** The portal has lost the transfer: ends the wait, and the file is to be sent again. */
  lose(problem: Problem): void {
    this.#loss = problem
    this.#answered.resolve()
  }

  /** The outcome of the second hop so far. */
  outcome(path: string): SendOutcome {
    const about = { path, transferId: this.transferId }
    if (this.#waitingFor.size > 0 && this.#loss !== null) return { ...about, ...lostOutcome(this.#loss) }
    if (this.#waitingFor.size > 0) return { ...about, outcome: 'undelivered', waitingFor: [...this.#waitingFor] }
    if (this.#failures.length > 0) return { ...about, outcome: 'failed', failures: this.#failures }
    return { ...about, outcome: 'delivered' }
  }

  #take(notification: Notification): void {
    this.#onEvent({ type: 'notification', notification })
    this.#count(notification)
  }

  /** Tells of a delivery once its receipt is verified, and counts it once the receipt is kept: until then the journal has the transfer. */
  async #takeDelivered(delivered: Delivered): Promise<void> {
    const verdict = await this.check.verify(delivered.receiver, delivered.receipt)
    const proven = provenBy(verdict, delivered)
    this.#onEvent({ type: 'notification', notification: proven })
    if (verdict !== 'unsigned' && !(verdict instanceof Problem)) await this.check.keep(verdict)
    this.#count(proven)
  }

  /** Ends the wait with the last second notification. */
  #count(notification: Notification): void {
    if (notification.notification !== 'delivered' && notification.notification !== 'failed') return
    if (!this.#waitingFor.delete(notification.receiver)) return
    if (notification.notification === 'failed') {
      const { receiver, problem } = notification
      this.#failures.push({ receiver, problem })
    }
    if (this.#waitingFor.size === 0) this.#answered.resolve()
  }
}

/** Turns a `delivered` without a valid receipt into a `failed`. */
function provenBy(verdict: KeptReceipt | 'unsigned' | Problem, delivered: Delivered): Notification {
  const { receipt: _, ...rest } = delivered
  if (verdict === 'unsigned') return rest
  if (!(verdict instanceof Problem)) return delivered
  const { eventId, at, transferId, attempt, receiver } = rest
  return { eventId, at, transferId, attempt, notification: 'failed', receiver, problem: verdict.toJSON() }
}

/**
 * The content of a notification without its event id. A portal that was restored from a backup may repeat a notification as another
 * event.
 */
function keyOf(notification: Notification): string {
  const receiver = 'receiver' in notification ? notification.receiver : ''
  return `${notification.attempt} ${notification.notification} ${receiver}`
}
