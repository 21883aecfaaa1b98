/**
 * Bounds for numbers from outside: a portal, a proxy, a ledger or a flag may give any number. Each is brought within bounds where it
 * enters. Every timer gets its time from {@link timerMs}; a test checks all timers in the sources.
 */

/** The longest time that a timer supports, in Node and in browsers. A timer with a longer time fires at once. */
export const timerMsMax = 2 ** 31 - 1
/** Bounds of `Retry-After`: no request is repeated at once, and none is put off for days. */
export const retryAfterMsMin = 100
export const retryAfterMsMax = 600_000
/** The shortest time after which a lease or a silent upload may end. The peer acts several times within it. */
const intervalMsMin = 30
const intervalMsMax = 86_400_000

/** A time that a timer supports. NaN becomes the longest time. */
export function timerMs(ms: number): number {
  if (ms <= 0) return 0
  return ms < timerMsMax ? ms : timerMsMax
}

/** A number within bounds. NaN becomes the lower bound. */
export function within(min: number, value: number, max: number): number {
  if (value >= max) return max
  return value > min ? value : min
}

/** An interval that a peer gave, within bounds, in milliseconds. */
export function intervalMs(ms: number): number {
  return within(intervalMsMin, ms, intervalMsMax)
}
