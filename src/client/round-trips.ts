/** How many of the newest round trips of small requests are kept. The number is bounded, because the path may change. */
const COUNT_MAX = 8

export class RoundTrips {
  readonly #newestMs: number[] = []

  note(ms: number): void {
    this.#newestMs.push(ms)
    if (this.#newestMs.length > COUNT_MAX) this.#newestMs.shift()
  }

  /** The shortest of the kept round trips; null before the first answer. */
  get shortestMs(): number | null {
    return this.#newestMs.length === 0 ? null : Math.min(...this.#newestMs)
  }
}
