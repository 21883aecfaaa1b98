import { timerMs } from '../protocol/index.ts'

/**
 * Settles as `promise` does, if it does so within `ms`. Later errors of `promise` are ignored.
 *
 * @param onLate gives the result for a promise that takes longer, or throws the error
 */
export async function withDeadline<Result, Late = never>(
  promise: Promise<Result>,
  ms: number,
  onLate: () => Late,
): Promise<Result | Late> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>()
  const timer = setTimeout(() => resolve('late'), timerMs(ms))
  try {
    const first = await Promise.race([promise.then((result) => ({ result })), late])
    return first === 'late' ? onLate() : first.result
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Calls `onIdle` once, when `ms` have passed since the last `refresh`. The time of a pause does not count; `refresh` ends the pause.
 * Dispose it to stop it.
 */
export class IdleTimeout implements Disposable {
  readonly #ms: number
  readonly #onIdle: () => void
  #refreshedAtMs = performance.now()
  #state: 'running' | 'paused' | 'disposed' = 'running'
  #timer: ReturnType<typeof setTimeout>

  constructor(ms: number, onIdle: () => void) {
    this.#ms = ms
    this.#onIdle = onIdle
    this.#timer = this.#wait(ms)
  }

  /** Starts the time again. Cheap: the timer itself stays as it is. */
  refresh(): void {
    this.#refreshedAtMs = performance.now()
    if (this.#state !== 'paused') return
    this.#state = 'running'
    this.#timer = this.#wait(this.#ms)
  }

  pause(): void {
    if (this.#state === 'running') this.#stop('paused')
  }

  [Symbol.dispose](): void {
    this.#stop('disposed')
  }

  #stop(state: 'paused' | 'disposed'): void {
    this.#state = state
    clearTimeout(this.#timer)
  }

  #wait(ms: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      const leftMs = this.#refreshedAtMs + this.#ms - performance.now()
      if (leftMs <= 0) this.#onIdle()
      else this.#timer = this.#wait(leftMs)
    }, timerMs(ms))
  }
}
