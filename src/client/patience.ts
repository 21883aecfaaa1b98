/**
 * How long to go on when no answer comes. Silence is measured from the last sign of life, whatever brought it, so
 * that a slow transfer lives and a dead one ends. Where nothing was asked there is no silence: it begins with the
 * first try at the earliest.
 */
import { RemoteProblem } from './answers.ts'
import { NoAnswer } from './transport.ts'

export interface PatienceOptions {
  /** Silence after which no further try is made; `Infinity` for one who has nothing better to do. */
  readonly answerTimeoutMs: number
  readonly signal?: AbortSignal
  /** Called before each pause. */
  readonly onRetry?: (error: Error, pauseMs: number) => void
}

const PAUSE_MS_MIN = 100
const PAUSE_MS_MAX = 5_000
const STALL_MS_MIN = 250
const STALL_MS_MAX = 20_000
/** So many tries, at least, fit into the time for which silence is borne. */
const TRIES_PER_SILENCE = 3

/** The pause before try number `tries` (from 1): exponential, between half and the whole of it at random. */
export function pauseBeforeTry(tries: number): number {
  const ceilingMs = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(tries, 10))
  return ceilingMs * (0.5 + Math.random() / 2)
}

export class Patience {
  readonly #options: PatienceOptions
  #heardAtMs = Number.NEGATIVE_INFINITY

  constructor(options: PatienceOptions) {
    this.#options = options
  }

  /** The portal, or the connection to it, gave a sign of life. */
  readonly heard = (): void => {
    this.#heardAtMs = performance.now()
  }

  /** How long one request may stall: short enough that several fit into the silence that is borne. */
  get stallMs(): number {
    return Math.round(Math.min(STALL_MS_MAX, Math.max(STALL_MS_MIN, this.#options.answerTimeoutMs / TRIES_PER_SILENCE)))
  }

  /**
   * Runs `request` until it gets an answer that is not "later".
   *
   * @throws RemoteProblem that waiting does not mend; NoAnswer when silence lasted too long; the reason of the
   *   signal when that aborts
   */
  async insist<Result>(request: () => Promise<Result>): Promise<Result> {
    const begunAtMs = performance.now()
    for (let tries = 1; ; tries++) {
      this.#options.signal?.throwIfAborted()
      try {
        const result = await request()
        this.heard()
        return result
      } catch (error) {
        if (this.#options.signal?.aborted === true) throw this.#options.signal.reason
        await this.pause(error, tries, begunAtMs)
      }
    }
  }

  /**
   * Waits before the next try after `error`, or throws it when there should be none.
   *
   * @param begunAtMs when the first of these tries began, by `performance.now()`
   */
  async pause(error: unknown, tries: number, begunAtMs: number): Promise<void> {
    const isLater = error instanceof RemoteProblem && error.next === 'retry'
    if (!(error instanceof NoAnswer) && !isLater) throw error
    if (error instanceof NoAnswer && error.isHopeless) throw error
    const silentMs = performance.now() - Math.max(this.#heardAtMs, begunAtMs)
    const leftMs = this.#options.answerTimeoutMs - silentMs
    // "Later" is an answer, but one that may come for ever: it does not count as a sign of progress.
    if (leftMs <= 0) throw error
    const wantedMs = (isLater ? error.retryAfterMs : null) ?? pauseBeforeTry(tries)
    const pauseMs = Math.max(PAUSE_MS_MIN, Math.min(wantedMs, leftMs))
    this.#options.onRetry?.(error, pauseMs)
    await sleep(pauseMs, this.#options.signal)
  }
}

/** Resolves after `ms`; rejects with the signal's reason when that aborts first. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason)
    const abort = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', abort, { once: true })
  })
}
