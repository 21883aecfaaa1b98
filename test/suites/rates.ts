/** What a rate limit promises, on the line. */
import { expect } from 'vitest'
import type { Direction, Relay } from '../servers/relay.ts'

const PERIOD_MS = 10_000
const DEVIATION_MAX = 0.05

/** @param deviationMax how far below the limit it may be: small files keep a processor busy, which the limit does not know of */
export function expectRate(
  relay: Relay,
  direction: Direction,
  bytesPerSecond: number,
  deviationMax = DEVIATION_MAX,
): void {
  const rates = relay.rates(direction, PERIOD_MS)
  expect(rates.length, 'too short to tell').toBeGreaterThan(10)
  const [slowest, fastest] = [Math.min(...rates), Math.max(...rates)].map((rate) => rate / bytesPerSecond)
  expect(fastest, `${slowest} to ${fastest}`).toBeLessThan(1 + DEVIATION_MAX)
  expect(slowest, `${slowest} to ${fastest}`).toBeGreaterThan(1 - deviationMax)
}
