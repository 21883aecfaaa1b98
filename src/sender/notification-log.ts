import type { Notification, ProblemJson } from '../protocol/index.ts'
import type { SendEvent, SendOutcome } from './events.ts'

/**
 * What the sender has been told about one transfer. The same notification comes by several ways (an answer, the
 * event stream, the status) and at least once by each; here it counts once.
 */
export class NotificationLog {
  readonly transferId: string
  readonly #seen = new Set<string>()
  readonly #waitingFor: Set<string>
  readonly #failures: { receiver: string; problem: ProblemJson }[] = []
  readonly #answered = Promise.withResolvers<void>()
  readonly #onEvent: (event: SendEvent) => void

  constructor(transferId: string, to: readonly string[], onEvent: (event: SendEvent) => void) {
    this.transferId = transferId
    this.#waitingFor = new Set(to)
    this.#onEvent = onEvent
  }

  /** Resolves when there is a second notification about every receiver. */
  get answered(): Promise<void> {
    return this.#answered.promise
  }

  /** Takes a notification in and passes it on, unless it has been told before. */
  tell(notification: Notification): void {
    if (this.#seen.has(notification.eventId)) return
    this.#seen.add(notification.eventId)
    this.#onEvent({ type: 'notification', notification })
    if (notification.notification !== 'delivered' && notification.notification !== 'failed') return
    if (!this.#waitingFor.delete(notification.receiver)) return
    if (notification.notification === 'failed') {
      const { receiver, problem } = notification
      this.#failures.push({ receiver, problem })
    }
    if (this.#waitingFor.size === 0) this.#answered.resolve()
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
}
