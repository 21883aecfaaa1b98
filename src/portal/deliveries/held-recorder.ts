/**
 * Records how much of a file a receiver holds. The receiver reports that with each request, and most reports are not written to the
 * ledger. The last one is written within `RECORD_MS`, so that the sender's status shows it even if the receiver falls silent.
 */
import type { Logger } from 'pino'
import type { Ledger } from '../ledger/contract.ts'

/** Each delivery causes at most one write in this time. */
const RECORD_MS = 500

interface Held {
  readonly transferId: string
  readonly receiverId: number
  readonly leaseId: string
  readonly fetchedBytes: number
}

export class HeldRecorder {
  readonly #ledger: Ledger
  readonly #log: Logger
  /** By lease: the last report that is not written yet. */
  readonly #waiting = new Map<string, Held>()
  #timer: ReturnType<typeof setTimeout> | null = null

  constructor({ ledger, log }: { readonly ledger: Ledger; readonly log: Logger }) {
    this.#ledger = ledger
    this.#log = log
  }

  /** Notes a report that a receiver made under its lease. */
  note(held: Held): void {
    this.#waiting.set(held.leaseId, held)
    if (this.#timer !== null) return
    this.#timer = setTimeout(() => void this.flush(), RECORD_MS)
    this.#timer.unref()
  }

  /** Writes all noted reports. A failure is only logged, because the figures are for display and decide nothing. */
  async flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const all = [...this.#waiting.values()]
    this.#waiting.clear()
    try {
      for (const held of all) await this.#ledger.recordFetched(held)
    } catch (error) {
      this.#log.warn({ err: error }, 'the progress of receivers was not recorded')
    }
  }
}
