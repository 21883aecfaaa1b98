/**
 * The clock of a database, for several portals that must agree on the time.
 *
 * To ask for it costs a round trip, so it is asked for now and then, and in between the monotonic clock of this process goes on
 * from there: what the machine believes the time of day to be does not matter. It never runs backwards: after a database whose
 * clock was ahead it stands still until that time has come, or until its process starts again.
 *
 * Nothing that is right or wrong rests on it. Who holds a lease, and what is stored, is decided by comparing ids in
 * transactions; by this clock, leases and deadlines end a few milliseconds sooner or later.
 */
export interface DatabaseClock {
  /** Milliseconds since 1970, a whole number. */
  now(): number
  close(): void
}

export interface DatabaseClockOptions {
  /** Runs `ask` on one connection, so that no wait for a connection counts as a part of the way. */
  readonly measure: (act: (ask: () => Promise<number>) => Promise<void>) => Promise<void>
  readonly everyMs?: number
  /** Milliseconds that pass evenly. */
  readonly monotonicMs?: () => number
}

const EVERY_MS = 10_000
/** The fastest of these is the one that says most: the answer is from somewhere between question and answer. */
const QUESTIONS = 5

/** Asks the database before it resolves. Later failures leave the clock as it was. */
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
  }, everyMs)
  timer.unref()

  return {
    now() {
      lastMs = Math.max(lastMs, Math.round(monotonicMs() + offsetMs))
      return lastMs
    },
    close: () => clearInterval(timer),
  }
}
