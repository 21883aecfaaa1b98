/**
 * The throughput of this process per minute, until it is written to the ledger. It is only for display, so a killed process may lose
 * figures.
 */
import type { Ledger } from '../ledger/contract.ts'
import type { Minute } from '../ledger/watch-contract.ts'

export const MINUTE_MS = 60_000
export const THROUGHPUT_MINUTES = 60

export class Throughput {
  readonly #now: () => number
  /** The current minute, and minutes that are not recorded yet. */
  readonly #minutes = new Map<number, Minute>()
  /** Minutes that have changed since they were recorded. */
  readonly #pending = new Set<number>()

  /** @param now the ledger's clock, so that the minutes of all portals are the same */
  constructor(now: () => number) {
    this.#now = now
  }

  stored(bytes: number): void {
    this.#add({ storedBytes: bytes, storedCount: 1 })
  }

  delivered(bytes: number): void {
    this.#add({ deliveredBytes: bytes, deliveredCount: 1 })
  }

  get hasNews(): boolean {
    return this.#pending.size > 0
  }

  /** Passes the minutes that have changed to `write`. If that fails, the next call passes them again. */
  async record<Result>(write: (minutes: readonly Minute[]) => Promise<Result>): Promise<Result> {
    const changed = [...this.#pending]
    this.#pending.clear()
    try {
      const result = await write(changed.flatMap((atMs) => this.#minutes.get(atMs) ?? []))
      const runningMs = minuteOf(this.#now())
      for (const atMs of changed) if (atMs < runningMs && !this.#pending.has(atMs)) this.#minutes.delete(atMs)
      return result
    } catch (error) {
      for (const atMs of changed) this.#pending.add(atMs)
      throw error
    }
  }

  #add(change: Partial<Omit<Minute, 'atMs'>>): void {
    const atMs = minuteOf(this.#now())
    const minute = this.#minutes.get(atMs)
    this.#minutes.set(atMs, {
      atMs,
      storedBytes: (minute?.storedBytes ?? 0) + (change.storedBytes ?? 0),
      deliveredBytes: (minute?.deliveredBytes ?? 0) + (change.deliveredBytes ?? 0),
      storedCount: (minute?.storedCount ?? 0) + (change.storedCount ?? 0),
      deliveredCount: (minute?.deliveredCount ?? 0) + (change.deliveredCount ?? 0),
    })
    this.#pending.add(atMs)
  }
}

/** The beginning of the minute of a time. */
export function minuteOf(ms: number): number {
  return Math.floor(ms / MINUTE_MS) * MINUTE_MS
}

/** Wraps the ledger to count every successful move to `stored` and `delivered`. */
export function withThroughput(ledger: Ledger, throughput: Throughput): Ledger {
  return {
    ...ledger,
    async storeInline(...given) {
      const recorded = await ledger.storeInline(...given)
      if (recorded.notification?.notification === 'stored') throughput.stored(recorded.transfer.sizeBytes)
      return recorded
    },
    async moveTransfer(...given) {
      const moved = await ledger.moveTransfer(...given)
      if (given[2].state === 'stored' && moved !== null) throughput.stored(moved.sizeBytes)
      return moved
    },
    async moveDelivery(...given) {
      const moved = await ledger.moveDelivery(...given)
      if (given[3].state === 'delivered' && moved !== null) throughput.delivered(moved.sizeBytes)
      return moved
    },
  }
}
