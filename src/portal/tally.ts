/** What this process has moved in the last hour, minute by minute. It is for looking at, and may be lost with the process. */
import type { Ledger } from './ledger/contract.ts'
import type { Minute } from './ledger/watch-contract.ts'

export const MINUTE_MS = 60_000
export const THROUGHPUT_MINUTES = 60

export class Tally {
  readonly #now: () => number
  readonly #minutes = new Map<number, Minute>()
  /** Minutes that have changed since they were told. */
  readonly #untold = new Set<number>()

  /** @param now the ledger's clock, so that the minutes of all portals are the same ones */
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
    return this.#untold.size > 0
  }

  /** The minutes to tell. Should they not arrive, `untold` takes them back. */
  take(): Minute[] {
    const minutes = [...this.#untold].flatMap((atMs) => this.#minutes.get(atMs) ?? [])
    this.#untold.clear()
    return minutes
  }

  untold(minutes: readonly Minute[]): void {
    for (const { atMs } of minutes) if (this.#minutes.has(atMs)) this.#untold.add(atMs)
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
    this.#untold.add(atMs)
    if (minute === undefined) this.#forget(atMs - THROUGHPUT_MINUTES * MINUTE_MS)
  }

  #forget(beforeMs: number): void {
    for (const atMs of this.#minutes.keys()) {
      if (atMs > beforeMs) continue
      this.#minutes.delete(atMs)
      this.#untold.delete(atMs)
    }
  }
}

/** When the minute began in which that is. */
export function minuteOf(ms: number): number {
  return Math.floor(ms / MINUTE_MS) * MINUTE_MS
}

/** The ledger, with every move that stores or delivers a file counted once it counts. */
export function tallied(ledger: Ledger, tally: Tally): Ledger {
  return {
    ...ledger,
    async deposit(...given) {
      const deposited = await ledger.deposit(...given)
      if (deposited.notification?.notification === 'stored') tally.stored(deposited.transfer.sizeBytes)
      return deposited
    },
    async moveTransfer(...given) {
      const moved = await ledger.moveTransfer(...given)
      if (given[2].state === 'stored' && moved !== null) tally.stored(moved.sizeBytes)
      return moved
    },
    async moveDelivery(...given) {
      const moved = await ledger.moveDelivery(...given)
      if (given[3].state === 'delivered' && moved !== null) tally.delivered(moved.sizeBytes)
      return moved
    },
  }
}
