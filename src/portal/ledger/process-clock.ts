/**
 * A clock for one process: it starts at the time of day and continues by the monotonic clock. Setting the clock of the machine does not
 * change it: the ledger adopts a new time of day only together with its deadlines (`kysely/time.ts`).
 */
import type { LedgerClock } from './kysely/context.ts'
import { UNWATCHED_MS_MAX } from './kysely/time.ts'

export interface ClockOptions {
  readonly now?: (() => number) | undefined
  readonly monotonicMs?: (() => number) | undefined
}

export class ProcessClock implements LedgerClock {
  readonly #timeOfDayMs: () => number
  readonly #monotonicMs: () => number
  readonly unwatchedMsMax: number
  #offsetMs: number

  /**
   * @param options `now`: milliseconds since 1970, may be set; `monotonicMs`: a monotonic clock. If only `now` is given, it counts as
   *   monotonic
   */
  constructor({ now, monotonicMs }: ClockOptions) {
    this.#timeOfDayMs = now ?? (() => Date.now())
    this.#monotonicMs = monotonicMs ?? now ?? (() => performance.now())
    this.unwatchedMsMax = monotonicMs === undefined && now !== undefined ? Number.POSITIVE_INFINITY : UNWATCHED_MS_MAX
    this.#offsetMs = this.#timeOfDayMs() - this.#monotonicMs()
  }

  /** Milliseconds since 1970, a whole number. */
  readonly now = (): number => Math.round(this.#monotonicMs() + this.#offsetMs)

  readonly timeOfDayMs = (): number => this.#timeOfDayMs()

  readonly monotonicMs = (): number => this.#monotonicMs()

  /** Continues from a time of day that was read a moment ago. */
  readonly adopt = (timeOfDayMs: number): void => {
    this.#offsetMs = timeOfDayMs - this.#monotonicMs()
  }
}
