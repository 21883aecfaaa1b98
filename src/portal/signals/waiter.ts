/** How the portal waits for signals. */
import { timerMs } from '../../protocol/index.ts'
import type { Signals } from './contract.ts'

/**
 * How often a waiter on lossy signals looks by itself, randomly up to a quarter more or less. Otherwise waiters that were woken
 * together by a gap would look together from then on.
 */
const LOSSY_LOOK_MS = 10_000

/**
 * What ended a wait: `signal` for a signal or `stop`; `time` when the requested time has passed; `look` when the caller should look
 * without a signal, at little cost.
 */
export type WokenBy = 'signal' | 'time' | 'look'

/**
 * Remembers that a signal came, so that none is missed between looking and waiting: make a waiter, look, and then call `wait`.
 */
export class Waiter implements Disposable {
  readonly #unsubscribe: () => void
  readonly #lossy: boolean
  #isSignalled = false
  #wake: (() => void) | null = null

  /** @param concerns whether a signal wakes this waiter, by its payload; by default all signals do */
  constructor(signals: Signals, topic: string, concerns: (payload: string) => boolean = () => true) {
    this.#lossy = signals.traits.lossy
    const onSignal = (payload: string): void => {
      if (concerns(payload)) this.wake()
    }
    this.#unsubscribe = signals.subscribe(topic, onSignal, () => this.wake())
  }

  /** Ends the current or next `wait`, as a signal does. */
  wake(): void {
    this.#isSignalled = true
    this.#wake?.()
  }

  /** Resolves at the next signal, at one that came since the last wait, after `ms`, or when `stop` aborts. */
  async wait(ms: number, stop: AbortSignal): Promise<WokenBy> {
    let wokenBy: WokenBy = 'signal'
    if (!this.#isSignalled && !stop.aborted) {
      const boundMs = Math.min(ms, this.#lossy ? lossyLookMs() : Number.POSITIVE_INFINITY)
      wokenBy = await new Promise<WokenBy>((resolve) => {
        const done = (by: WokenBy): void => {
          clearTimeout(timer)
          stop.removeEventListener('abort', signalled)
          resolve(by)
        }
        const signalled = (): void => done('signal')
        // Thousands of receivers wait without an end, and a timer for each would cost memory.
        const isBounded = boundMs < Number.POSITIVE_INFINITY
        const timer = isBounded ? setTimeout(() => done(boundMs < ms ? 'look' : 'time'), timerMs(boundMs)) : undefined
        stop.addEventListener('abort', signalled, { once: true })
        this.#wake = signalled
      })
      this.#wake = null
    }
    this.#isSignalled = false
    return wokenBy
  }

  [Symbol.dispose](): void {
    this.#unsubscribe()
  }
}

function lossyLookMs(): number {
  return LOSSY_LOOK_MS * (0.75 + Math.random() / 2)
}
