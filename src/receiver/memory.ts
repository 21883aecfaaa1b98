/**
 * How long a receiver remembers received transfers, and which transfers it refuses because they are older than its memory.
 *
 * The receiver keeps a record of each delivery. When a portal offers an old transfer again, it gets the old answer, and nothing is
 * delivered twice. Records cannot be kept without end. So the receiver stores one point in time since which it remembers everything,
 * by the times in the transferIds. It refuses older transfers and looks newer ones up. This decision needs no clock.
 *
 * Clocks only move that point, and no clock moves it alone: it follows the earliest of this machine's clock, the portal's clock
 * and the newest received transfer. It never moves back, and it is durable before a record is deleted.
 */
import { transferTimeMs } from '../protocol/index.ts'

const DAY_MS = 86_400_000
/** A transfer can be delivered for this long after it was made, so its record is kept at least as long. */
const memoryMsMin = 90 * DAY_MS

/** The time of this machine's clock and of the portal's; null where the portal does not tell it. */
export interface Clocks {
  readonly ownMs: number
  readonly portalMs: number | null
}

/** The earlier of the two times, which both clocks have passed; null where the portal's is unknown. */
export function agreedMs({ ownMs, portalMs }: Clocks): number | null {
  return portalMs === null ? null : Math.min(ownMs, portalMs)
}

/**
 * The time since which everything is to be remembered.
 *
 * @param knownMs the last result; null at the first call. Then both clocks decide; without the portal's clock the newest received
 *   transfer decides, and without one nothing is too old
 * @param newestMs the time in the newest received transferId; null when nothing has been received
 */
export function rememberedSinceMs(knownMs: number | null, newestMs: number | null, clocks: Clocks): number {
  const agreed = agreedMs(clocks)
  if (knownMs === null) return Math.max(0, (agreed ?? newestMs ?? 0) - memoryMsMin)
  if (agreed === null || newestMs === null) return knownMs
  return Math.max(knownMs, Math.min(agreed, newestMs) - memoryMsMin)
}

/** Whether a transfer is so old that the receiver may have received and forgotten it. */
export function isForgotten(transferId: string, sinceMs: number): boolean {
  return transferTimeMs(transferId) < sinceMs
}
