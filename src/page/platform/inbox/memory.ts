/**
 * Which received transfers the page remembers and which it forgets. The rules are those of every receiver
 * (`receiver/memory.ts`).
 */
import { transferTimeMs } from '../../../protocol/index.ts'
import { type Clocks, isForgotten, rememberedSinceMs } from '../../../receiver/index.ts'
import { change, type PageDatabase } from '../database.ts'
import type { ArrivalRecord } from './arrivals.ts'

/** In milliseconds. */
const SINCE_KEY = 'remembers since'
const DAY_MS = 86_400_000
/** A transfer lives for 7 days unless a portal sets another time. Its remains are useless soon after that. */
const LEFTOVER_MS_MAX = 8 * DAY_MS

/** The time since which the page remembers every transfer; on disk when it resolves. */
export async function keepSince(
  database: PageDatabase,
  all: readonly ArrivalRecord[],
  clocks: Clocks,
): Promise<number> {
  const times = all.flatMap((one) => (one.state === 'published' ? transferTimeMs(one.transferId) : []))
  const known = await database.get('settings', SINCE_KEY)
  const knownMs = typeof known === 'number' ? known : null
  const newestMs = times.length === 0 ? null : Math.max(...times)
  const sinceMs = rememberedSinceMs(knownMs, newestMs, clocks)
  if (sinceMs !== knownMs) await change(database, 'settings', (settings) => settings.put(sinceMs, SINCE_KEY))
  return sinceMs
}

/**
 * Whether a record can be removed.
 *
 * @param agreed the time that both clocks have passed
 */
export function isLeftover(arrival: ArrivalRecord, agreed: number, sinceMs: number): boolean {
  if (arrival.state === 'arriving') return arrival.touchedAtMs < agreed - LEFTOVER_MS_MAX
  // A file that is still in the browser keeps its record, at any age.
  return arrival.state === 'published' && arrival.place !== 'browser' && isForgotten(arrival.transferId, sinceMs)
}
