/** Throughput, for display. */
/** The window over which a rate is averaged: long enough to be steady, short enough to be current. */
const RATE_WINDOW_MS = 3_000
/** A rate over a shorter time is not reliable. */
const RATE_SPAN_MS_MIN = 200

/** Bytes per second over the last few seconds. */
export class Rate {
  #samples: { atMs: number; bytes: number }[] = []

  add(bytes: number): void {
    const atMs = performance.now()
    this.#samples.push({ atMs, bytes })
    while (this.#samples.length > 2 && (this.#samples[1]?.atMs ?? atMs) < atMs - RATE_WINDOW_MS) this.#samples.shift()
  }

  /** Null until there is enough to tell. */
  get bytesPerSecond(): number | null {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined || last.atMs - first.atMs < RATE_SPAN_MS_MIN) return null
    return ((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs)
  }
}
