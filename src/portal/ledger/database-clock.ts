/**
 * The clock of a database, for several portals that must agree on the time.
 *
 * Each question costs a round trip. So the database is asked from time to time, and in between this process's monotonic clock
 * continues from the last answer; the machine's time of day does not matter. If the database turns out to be a little behind, this
 * clock stands still until it is reached. If the database's clock was set back, this clock follows at once, because deadlines
 * written by it meanwhile would be too far away (`kysely/time.ts`).
 *
 * Correctness does not depend on this clock. Transactions compare ids to decide who holds a lease and what is stored; by an error
 * of this clock, leases and deadlines only end a few milliseconds sooner or later.
 */
import { timerMs } from '../../protocol/index.ts'
export interface DatabaseClock {
  /** Milliseconds since 1970, a whole number. */
  now(): number
  /** Continues from the database's time, even if that is earlier. */
  adopt(databaseMs: number): void
  close(): void
}

export interface DatabaseClockOptions {
  /** Runs `ask` on one connection, so that waiting for a connection does not count as part of the round trip. */
  readonly measure: (act: (ask: () => Promise<number>) => Promise<void>) => Promise<void>
  readonly everyMs?: number
  /** A monotonic clock in milliseconds. */
  readonly monotonicMs?: () => number
}

const EVERY_MS = 10_000
/** How many questions are asked. The fastest one counts, because the database read its clock somewhere between question and answer. */
const QUESTIONS = 5
/** The longest time for which the clock stands still. */
const STANDSTILL_MS_MAX = 5_000

/** Asks the database before it resolves. Later failures leave the clock unchanged. */
export async function databaseClock({
  measure,
  everyMs = EVERY_MS,
  monotonicMs = () => performance.now(),
}: DatabaseClockOptions): Promise<DatabaseClock> {
  let offsetMs = 0
  let lastMs = 0

  async function look(): Promise<void> {
    let best = { roundTripMs: Number.POSITIVE_INFINITY, offsetMs }
    await measure(async (ask) => {
      for (let question = 1; question <= QUESTIONS; question++) {
        const askedAtMs = monotonicMs()
        const databaseMs = await ask()
        const answeredAtMs = monotonicMs()
        const roundTripMs = answeredAtMs - askedAtMs
        if (roundTripMs < best.roundTripMs) {
          best = { roundTripMs, offsetMs: databaseMs - (askedAtMs + answeredAtMs) / 2 }
        }
      }
    })
    offsetMs = best.offsetMs
  }

  await look()
  let isLooking = false
  const timer = setInterval(() => {
    if (isLooking) return
    isLooking = true
    look()
      .catch(() => {})
      .finally(() => {
        isLooking = false
      })
  }, timerMs(everyMs))
  timer.unref()

  return {
    now() {
      const nowMs = Math.round(monotonicMs() + offsetMs)
      lastMs = lastMs - nowMs > STANDSTILL_MS_MAX ? nowMs : Math.max(lastMs, nowMs)
      return lastMs
    },
    adopt(databaseMs) {
      offsetMs = databaseMs - monotonicMs()
    },
    close: () => clearInterval(timer),
  }
}
