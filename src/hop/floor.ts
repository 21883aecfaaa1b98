/**
 * A floor under the speed of a transfer. What drips just fast enough to never be silent would hold a place for as long as
 * it likes.
 */
export interface Floor {
  /** 0 for none. */
  readonly bytesPerSecond: number
  /** Over which the speed is averaged. */
  readonly windowMs: number
}

const SECOND_MS = 1000

/** Watches a counter of bytes until it is released, and tells once when it moves too slowly. */
export class FloorWatch implements Disposable {
  readonly #timer: ReturnType<typeof setInterval> | null
  #excusedMs = 0
  #excusedSinceMs: number | null = null

  /** @param bytes how many have come so far */
  constructor({ bytesPerSecond, windowMs }: Floor, bytes: () => number, onTooSlow: () => void) {
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
    }, windowMs)
  }

  /** From now on it is not the other side that is waited for; until `resume`. */
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
