/**
 * Whether parts are asked for by way of the portal's storage. Where that does not work from here, a few parts find out, and
 * the others are not held up by it: for a while all is asked of the portal alone.
 */

/** So many failures in a row are no accident. */
const FAILURES_MAX = 3
const PAUSE_MS = 10 * 60_000

/** One for all deliveries of a receiver. */
export class Links {
  readonly #canFollow: boolean
  #failures = 0
  #pausedUntilMs = Number.NEGATIVE_INFINITY

  constructor(canFollow: boolean) {
    this.#canFollow = canFollow
  }

  get areWanted(): boolean {
    return this.#canFollow && performance.now() >= this.#pausedUntilMs
  }

  worked(): void {
    this.#failures = 0
  }

  failed(): void {
    this.#failures++
    if (this.#failures < FAILURES_MAX) return
    this.#pausedUntilMs = performance.now() + PAUSE_MS
    // After the pause a single failure is enough for the next one.
    this.#failures = FAILURES_MAX - 1
  }
}
