/**
 * How long a client retries a request that gets no response. The policy measures silence since the last sign of life of the portal, so
 * that a slow transfer continues and a dead one ends. Silence begins with the first try at the earliest: without a request there is no
 * silence.
 */
import { type BackoffOptions, backoffMs, retry } from '../async/index.ts'
import { RemoteProblem } from './answers.ts'
import type { CallOptions } from './calls.ts'
import { NoResponseError } from './transport.ts'

export interface RetryPolicyOptions {
  /** Silence after which no further try is made; `Infinity` to retry without end. */
  readonly answerTimeoutMs: number
  readonly signal?: AbortSignal
  /** Called before each pause. */
  readonly onRetry?: (error: Error, pauseMs: number) => void
}

const PAUSE_MS_MIN = 100
const PAUSE_MS_MAX = 5_000
const STALL_TIMEOUT_MS_MIN = 250
const STALL_TIMEOUT_MS_MAX = 20_000
/** At least this many tries fit into the answer timeout. */
const TRIES_PER_SILENCE = 3

/**
 * The number of failed tries of one request in a row, over more than the answer timeout, that shows that the request does not get
 * through. Signs of life on other connections do not count then.
 */
const CUTS_MAX = 10

/** The pauses between requests to a portal that does not answer. */
export const portalBackoff: BackoffOptions = { minMs: 2 * PAUSE_MS_MIN, maxMs: PAUSE_MS_MAX }

/** Whether a request that failed with this error may succeed later: it got no response, or the portal said to retry. */
export function isPassing(error: unknown): error is NoResponseError | RemoteProblem {
  return error instanceof NoResponseError || (error instanceof RemoteProblem && error.next === 'retry')
}

/** How long to wait after an error before the request is made again. @throws the error when it should not be */
export function pauseAfter(error: unknown, tries: number): number {
  if (!isPassing(error)) throw error
  return (error instanceof RemoteProblem ? error.retryAfterMs : null) ?? backoffMs(tries, portalBackoff)
}

export class RetryPolicy {
  readonly #options: RetryPolicyOptions
  #heardAtMs = Number.NEGATIVE_INFINITY

  constructor(options: RetryPolicyOptions) {
    this.#options = options
  }

  /** The portal, or the connection to it, gave a sign of life. */
  readonly markAlive = (): void => {
    this.#heardAtMs = performance.now()
  }

  /** How long one request may stall. Several such times fit into the answer timeout. */
  get stallTimeoutMs(): number {
    return Math.round(
      Math.min(STALL_TIMEOUT_MS_MAX, Math.max(STALL_TIMEOUT_MS_MIN, this.#options.answerTimeoutMs / TRIES_PER_SILENCE)),
    )
  }

  /**
   * Runs `request` until it gets an answer other than "later".
   *
   * @param request gets the bounds of one try
   * @throws RemoteProblem that no retry can solve; NoResponseError when silence lasted too long; the reason of the
   *   signal when that aborts
   */
  async retry<Result>(request: (bounds: CallOptions) => Promise<Result>): Promise<Result> {
    const { signal } = this.#options
    const aborting = signal === undefined ? {} : { signal }
    const bounds = { stallTimeoutMs: this.stallTimeoutMs, ...aborting }
    const begunAtMs = performance.now()
    const cuts = new CutsInARow()
    const delayMs = (error: unknown, tries: number): number => {
      const pauseMs = this.delayMs(error, tries, begunAtMs)
      cuts.check(error, this.#options.answerTimeoutMs)
      return pauseMs
    }
    const result = await retry(() => request(bounds), { delayMs, ...aborting })
    this.markAlive()
    return result
  }

  /**
   * The pause before the next try after `error`.
   *
   * @param tries how many tries have failed in a row, this one included
   * @param begunAtMs when the first of them began, by `performance.now()`
   * @throws the error when there is to be no next try
   */
  delayMs(error: unknown, tries: number, begunAtMs: number): number {
    if (!isPassing(error)) throw error
    if (error instanceof NoResponseError && error.isPermanent) throw error
    const silentMs = performance.now() - Math.max(this.#heardAtMs, begunAtMs)
    const leftMs = this.#options.answerTimeoutMs - silentMs
    // A portal can answer "later" without end, so that answer is no sign of life.
    if (leftMs <= 0) throw error
    const pauseMs = Math.max(PAUSE_MS_MIN, Math.min(pauseAfter(error, tries), leftMs))
    this.#options.onRetry?.(error, pauseMs)
    return pauseMs
  }
}

/** Tries in a row that ended with a closed connection, or with an answer that is not the portal's. */
class CutsInARow {
  #count = 0
  #sinceMs = 0

  /** Counts a failed try. @throws NoResponseError when there were too many of them, for too long */
  check(error: unknown, lastingMs: number): void {
    if (!(error instanceof NoResponseError && error.isCut)) {
      this.#count = 0
      return
    }
    const nowMs = performance.now()
    if (this.#count === 0) this.#sinceMs = nowMs
    this.#count += 1
    if (this.#count < CUTS_MAX || nowMs - this.#sinceMs < lastingMs) return
    const why = 'while others get through: probably a proxy between here and the portal ends these requests'
    throw new NoResponseError(`${error.message}, ${this.#count} times in a row, ${why}`, { cause: error })
  }
}
