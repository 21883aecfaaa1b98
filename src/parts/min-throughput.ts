/**
 * A minimum throughput. Without it, a peer that sends just often enough to never be idle could hold a connection without end.
 */
import { timerMs } from '../protocol/index.ts'
export interface MinThroughput {
  /** 0 for none. */
  readonly bytesPerSecond: number
  /** The time over which the speed is averaged. */
  readonly windowMs: number
}

const SECOND_MS = 1000

/** Watches a counter of bytes until it is disposed of. Calls `onTooSlow` once when the counter moves too slowly. */
export class ThroughputWatch implements Disposable {
  readonly #timer: ReturnType<typeof setInterval> | null
  #excusedMs = 0
  #excusedSinceMs: number | null = null

  /** @param bytes how many bytes have arrived so far */
  constructor({ bytesPerSecond, windowMs }: MinThroughput, bytes: () => number, onTooSlow: () => void) {
    let lastBytes = bytes()
    if (bytesPerSecond <= 0) {
      this.#timer = null
      return
    }
    this.#timer = setInterval(() => {
      const nowBytes = bytes()
      const countedMs = windowMs - this.#takeExcused()
      const wantedBytes = (bytesPerSecond * Math.max(0, countedMs)) / SECOND_MS
      if (nowBytes - lastBytes < wantedBytes) onTooSlow()
      lastBytes = nowBytes
    }, timerMs(windowMs))
  }

  /** The time until `resume` does not count, because the peer is not the one that is waited for. */
  excuse(): void {
    this.#excusedSinceMs ??= performance.now()
  }

  resume(): void {
    this.#excusedMs += this.#excusedSinceMs === null ? 0 : performance.now() - this.#excusedSinceMs
    this.#excusedSinceMs = null
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  #takeExcused(): number {
    const isExcused = this.#excusedSinceMs !== null
    this.resume()
    if (isExcused) this.excuse()
    const excusedMs = this.#excusedMs
    this.#excusedMs = 0
    return excusedMs
  }
}
