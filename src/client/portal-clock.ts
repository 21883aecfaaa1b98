/**
 * Compares the clock of this machine with that of the portal. Neither is trusted alone: a machine may have started with a wrong clock,
 * and a portal may lie. A difference is reported, and nothing is deleted or refused for good unless both clocks agree that it is due.
 */
import { type Limits, Problem } from '../protocol/index.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
/** A smaller difference is not reported. */
const TOLD_MS_MIN = 5 * MINUTE_MS
/** More than any time zone. */
export const clocksDifferMsMax = DAY_MS

/** The portal's clock, from the time in one of its answers. */
export class PortalClock {
  readonly #portalMs: number
  readonly #heardAtMs = performance.now()
  readonly #timeOfDayMs: () => number

  /** @param timeOfDayMs the clock of this machine; another one for tests */
  constructor({ at }: Pick<Required<Limits>, 'at'>, timeOfDayMs: () => number = () => Date.now()) {
    this.#portalMs = Date.parse(at)
    this.#timeOfDayMs = timeOfDayMs
  }

  /** The portal's time now: its last answer, plus the time measured since. */
  get portalMs(): number {
    return this.#portalMs + performance.now() - this.#heardAtMs
  }

  /** By how much the clock of this machine is ahead of the portal's; less than 0 where it is behind. */
  get aheadMs(): number {
    return Math.round(this.#timeOfDayMs() - this.portalMs)
  }

  /** Whether the clocks differ by more than a day, so that one of them is wrong. */
  get differsMuch(): boolean {
    return Math.abs(this.aheadMs) > clocksDifferMsMax
  }

  /** The problem to show to a person; null where the clocks agree. */
  problem(): Problem | null {
    const { aheadMs } = this
    if (Math.abs(aheadMs) < TOLD_MS_MIN) return null
    const side = aheadMs > 0 ? 'ahead of' : 'behind'
    const [own, portal] = [aheadMs + this.portalMs, this.portalMs].map((ms) => new Date(ms).toISOString())
    const detail =
      `the clock of this machine is ${lengthText(Math.abs(aheadMs))} ${side} the portal's (${own} here, ${portal} there). ` +
      'Set it right; if it is right, tell the operator of the portal'
    return new Problem('clock-off', { aheadMs, detail })
  }
}

function lengthText(ms: number): string {
  if (ms >= 2 * DAY_MS) return `${Math.round(ms / DAY_MS)} days`
  return ms >= 2 * HOUR_MS ? `${Math.round(ms / HOUR_MS)} hours` : `${Math.round(ms / MINUTE_MS)} minutes`
}
