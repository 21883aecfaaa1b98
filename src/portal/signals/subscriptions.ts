/** The subscribers of this process, for signals that also come from other processes. */
import { timerMs } from '../../protocol/index.ts'
import type { Signal } from './notifications.ts'

/**
 * After a gap all subscribers look at the ledger. Many topics are spread over time, with this much for each, up to a bound for all of
 * them.
 */
const GAP_MS_PER_TOPIC = 0.2
const GAP_MS_MAX = 2_000

interface Subscription {
  readonly onSignal: (payload: string) => void
  readonly onGap: () => void
}

/** The subscriptions of one topic. All of them are told of a gap together, because they may belong to the same waiter. */
interface Topic {
  readonly subscriptions: Set<Subscription>
  /** Runs until they are told of a gap; null when none is due. */
  gapTimer: NodeJS.Timeout | null
}

export class Subscriptions {
  readonly #topics = new Map<string, Topic>()

  /** @returns the function that unsubscribes */
  add(name: string, subscription: Subscription): () => void {
    const topic = this.#topics.get(name) ?? { subscriptions: new Set(), gapTimer: null }
    this.#topics.set(name, topic)
    topic.subscriptions.add(subscription)
    return () => {
      topic.subscriptions.delete(subscription)
      if (topic.subscriptions.size > 0 || this.#topics.get(name) !== topic) return
      if (topic.gapTimer !== null) clearTimeout(topic.gapTimer)
      this.#topics.delete(name)
    }
  }

  tell({ topic, payload }: Signal): void {
    // A copy, because a subscriber may subscribe again while it is called.
    for (const { onSignal } of [...(this.#topics.get(topic)?.subscriptions ?? [])]) onSignal(payload)
  }

  /** Tells all subscribers after a delay that signals may have been lost. Gaps during the delay are told once. */
  tellGap(): void {
    const spreadMs = Math.min(GAP_MS_MAX, this.#topics.size * GAP_MS_PER_TOPIC)
    for (const topic of this.#topics.values()) {
      topic.gapTimer ??= setTimeout(
        () => {
          topic.gapTimer = null
          for (const { onGap } of [...topic.subscriptions]) onGap()
        },
        timerMs(Math.random() * spreadMs),
      )
    }
  }
}
