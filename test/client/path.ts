/**
 * Simulates a network path in steps of time. A connection carries at most its window in a round trip, starts with a small window and
 * doubles it; connections share the bandwidth of the line; a part is acknowledged one round trip after its last byte.
 */
import { AdaptiveConcurrency, type ConcurrencyBounds } from '../../src/client/index.ts'

export interface Path {
  readonly bytesPerSecond: number
  readonly roundTripMs: number
  /** The measured round trip; null before a measurement. */
  readonly knownRoundTripMs?: number | null
  /** The largest window of a connection. */
  readonly connectionBytes: number
  /** The random variation of the speed, as the standard deviation of its logarithm. */
  readonly noise?: number
  readonly random?: () => number
}

export interface SentOver {
  readonly ms: number
  readonly meanInFlight: number
  /** The numbers that were allowed, in order. */
  readonly counts: readonly number[]
  readonly atEnd: number
}

interface Moving {
  leftBytes: number
  windowBytes: number
  endsAtMs: number
  readonly ended: () => void
}

const FIRST_WINDOW_BYTES = 14_480
/** Time to read and hash the next part. */
const READ_MS = 12
/** Time to make a part durable, randomly up to half less or more. */
const SYNC_MS = 10
const STEP_MS_MAX = 20
const STEPS_PER_ROUND_TRIP = 10
const GUST_MS = 100

/** Sends parts over the path like a sender. @param onHeld called with the number of arrived parts */
export function sentOver(
  path: Path,
  bounds: ConcurrencyBounds,
  { partBytes, parts }: { partBytes: number; parts: number },
  onHeld: (partsHeld: number) => void = () => {},
): SentOver {
  const { roundTripMs, knownRoundTripMs = null, connectionBytes, noise = 0, random = () => 0.5 } = path
  const stepMs = Math.max(1, Math.min(STEP_MS_MAX, roundTripMs / STEPS_PER_ROUND_TRIP))
  let nowMs = 0
  const places = new AdaptiveConcurrency(
    bounds,
    () => knownRoundTripMs,
    () => nowMs,
  )
  const counts = [places.allowed]
  let moving: Moving[] = []
  let windows: number[] = []
  let begun = 0
  let held = 0
  let readAtMs = 0
  let inFlightMs = 0
  let gust = 1
  let gustUntilMs = 0

  while (held < parts) {
    while (begun < parts && moving.length < places.allowed && nowMs >= readAtMs) {
      windows = windows.sort((one, other) => other - one)
      const windowBytes = windows.shift() ?? FIRST_WINDOW_BYTES
      const part = places.started()
      moving.push({ leftBytes: partBytes, windowBytes, endsAtMs: Infinity, ended: () => part.ended(partBytes) })
      begun++
      readAtMs = nowMs + READ_MS
    }
    if (nowMs >= gustUntilMs) {
      gust = Math.exp((random() + random() + random() - 1.5) * 2 * noise)
      gustUntilMs = nowMs + GUST_MS
    }
    share(moving, (path.bytesPerSecond * gust * stepMs) / 1000)
    nowMs += stepMs
    inFlightMs += moving.length * stepMs
    const over = moving.filter(({ endsAtMs }) => nowMs >= endsAtMs)
    moving = moving.filter((one) => !over.includes(one))
    for (const { windowBytes, ended } of over) {
      windows.push(windowBytes)
      ended()
      onHeld(++held)
      if (places.allowed !== counts.at(-1)) counts.push(places.allowed)
    }
  }
  return { ms: nowMs, meanInFlight: inFlightMs / nowMs, counts, atEnd: places.allowed }

  /** Shares the bytes of one step equally among the connections, within their windows. */
  function share(all: readonly Moving[], lineBytes: number): void {
    const perStep = stepMs / roundTripMs
    const hungry = all.filter(({ leftBytes }) => leftBytes > 0).sort((a, b) => a.windowBytes - b.windowBytes)
    let leftOnLine = lineBytes
    for (const [index, one] of hungry.entries()) {
      const bytes = Math.min(one.windowBytes * perStep, leftOnLine / (hungry.length - index), one.leftBytes)
      leftOnLine -= bytes
      one.leftBytes -= bytes
      one.windowBytes = Math.min(connectionBytes, one.windowBytes + bytes)
      if (one.leftBytes < 1) {
        one.leftBytes = 0
        one.endsAtMs = nowMs + stepMs + roundTripMs + SYNC_MS * (0.5 + random())
      }
    }
  }
}
