import type { Notification, ProblemJson, Progress } from '../protocol/index.ts'
import type { SendContext } from './context.ts'
import type { Subscriber } from './event-watch.ts'
import type { SendEvent, SendOutcome } from './events.ts'
import type { JournalEntry } from './journal.ts'
import { ReceiptCheck } from './receipt-check.ts'

type Delivered = Notification & { readonly notification: 'delivered' }

/**
 * What the sender has been told about one transfer. The same notification comes by several ways (an answer, the
 * event stream, the status) and at least once by each; here it counts once. That something was delivered counts only
 * with the receiver's receipt.
 */
export class NotificationLog implements Subscriber {
  readonly transferId: string
  readonly check: ReceiptCheck
  /** How many gaps the event stream had before the transfer was begun; null for one that was begun by another run. */
  gapsBefore: number | null = null
  readonly #seen = new Set<string>()
  /** Second notifications that came before the first one: another way was faster. Null once that is known. */
  #early: Notification[] | null = []
  readonly #to: readonly string[]
  readonly #waitingFor: Set<string>
  readonly #failures: { receiver: string; problem: ProblemJson }[] = []
  readonly #answered = Promise.withResolvers<void>()
  readonly #onEvent: (event: SendEvent) => void

  constructor(entry: JournalEntry, context: SendContext) {
    this.transferId = entry.transferId
    this.check = new ReceiptCheck(context, entry)
    this.#to = entry.to
    this.#waitingFor = new Set(entry.to)
    this.#onEvent = context.onEvent
    // Whoever awaits `answered` sees a failure; nobody has to.
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
    this.#onEvent({ type: 'fetched', ...progress })
  }

  /** Takes a notification in and passes it on, unless it has been told before, or is about what was not sent here. */
  tell(notification: Notification): void {
    if (notification.transferId !== this.transferId) return
    if ('receiver' in notification && !this.#to.includes(notification.receiver)) return
    if (this.#seen.has(notification.eventId)) return
    this.#seen.add(notification.eventId)
    if (!('receiver' in notification)) this.#take(notification)
    else if (this.#early !== null) this.#early.push(notification)
    else this.#tellSecond(notification)
    if (notification.notification === 'stored') this.firstIsKnown()
  }

  /** That the transfer is stored is known, by whatever way: what was held back until then is told. */
  firstIsKnown(): void {
    const early = this.#early ?? []
    this.#early = null
    for (const notification of early) this.#tellSecond(notification)
  }

  #tellSecond(notification: Notification): void {
    if (notification.notification === 'delivered') {
      this.#proven(notification).then(
        (proven) => this.#take(proven),
        (error) => this.#answered.reject(error),
      )
    } else {
      this.#take(notification)
    }
  }

  /** Nothing more will be heard of the receivers that have not answered. */
  giveUp(problem: ProblemJson): void {
    for (const receiver of this.#waitingFor) this.#failures.push({ receiver, problem })
    this.#waitingFor.clear()
    this.#answered.resolve()
  }

  /** How the second hop stands. */
  outcome(path: string): SendOutcome {
    const about = { path, transferId: this.transferId }
    if (this.#waitingFor.size > 0) return { ...about, outcome: 'undelivered', waitingFor: [...this.#waitingFor] }
    if (this.#failures.length > 0) return { ...about, outcome: 'failed', failures: this.#failures }
    return { ...about, outcome: 'delivered' }
  }

  #take(notification: Notification): void {
    this.#onEvent({ type: 'notification', notification })
    if (notification.notification !== 'delivered' && notification.notification !== 'failed') return
    if (!this.#waitingFor.delete(notification.receiver)) return
    if (notification.notification === 'failed') {
      const { receiver, problem } = notification
      this.#failures.push({ receiver, problem })
    }
    if (this.#waitingFor.size === 0) this.#answered.resolve()
  }

  /** What a portal calls delivered is told as failed where no receipt proves it. */
  async #proven(delivered: Delivered): Promise<Notification> {
    const { receipt, ...rest } = delivered
    const { eventId, at, transferId, attempt, receiver } = rest
    const verdict = await this.check.verify(receiver, receipt)
    if (verdict === 'proven') return delivered
    if (verdict === 'unsigned') return rest
    return { eventId, at, transferId, attempt, notification: 'failed', receiver, problem: verdict.toJSON() }
  }
}
