/** Who listens to which signals in this process, where signals come from other processes, too. */
import type { Signal } from './notifications.ts'

/**
 * After a gap everybody looks. Not all in the same moment, where they are many: so much time is given to each topic, up to
 * a bound on the whole.
 */
const GAP_MS_PER_TOPIC = 0.2
const GAP_MS_MAX = 2_000

interface Subscription {
  readonly onSignal: (payload: string) => void
  readonly onGap: () => void
}

/** The subscriptions of one topic. All of them are told of a gap together: they may belong to one who waits. */
interface Topic {
  readonly subscriptions: Set<Subscription>
  /** Runs where they are to be told of a gap. */
  gapTimer: NodeJS.Timeout | null
}

export class Subscriptions {
  readonly #topics = new Map<string, Topic>()

  /** @returns the way to end it */
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
    // Those that are there now: one may subscribe anew while it is told.
    for (const { onSignal } of [...(this.#topics.get(topic)?.subscriptions ?? [])]) onSignal(payload)
  }

  /** Tells everybody, in a while, that signals may have been lost. Whoever is about to be told is told once. */
  tellGap(): void {
    const spreadMs = Math.min(GAP_MS_MAX, this.#topics.size * GAP_MS_PER_TOPIC)
    for (const topic of this.#topics.values()) {
      topic.gapTimer ??= setTimeout(() => {
        topic.gapTimer = null
        for (const { onGap } of [...topic.subscriptions]) onGap()
      }, Math.random() * spreadMs)
    }
  }
}
