/** How the portal waits for signals. */
import type { Signals } from './contract.ts'

/**
 * How often one who waits on lossy signals looks by itself, at random up to a quarter more or less: all who were woken
 * together by a gap would look together ever after.
 */
const LOSSY_LOOK_MS = 10_000
/** The longest time for which a timer of JavaScript can be set. */
const TIMER_MS_MAX = 2 ** 31 - 1

/**
 * What ended a wait: a signal, or `stop`; the time that was asked for; or neither, and one should look all the same, at
 * little cost.
 */
export type WokenBy = 'signal' | 'time' | 'look'

/**
 * Remembers that a signal came, so that none is missed between looking and waiting:
 * make one, look, and only then `wait`.
 */
export class Waiter implements Disposable {
  readonly #unsubscribe: () => void
  readonly #lossy: boolean
  #isSignalled = false
  #wake: (() => void) | null = null

  /** @param concerns which signals of the topic to wake for, by their payload: all, if it is not given */
  constructor(signals: Signals, topic: string, concerns: (payload: string) => boolean = () => true) {
    this.#lossy = signals.traits.lossy
    const onSignal = (payload: string): void => {
      if (concerns(payload)) this.wake()
    }
    this.#unsubscribe = signals.subscribe(topic, onSignal, () => this.wake())
  }

  /** Ends the present or next `wait`, as a signal does. */
  wake(): void {
    this.#isSignalled = true
    this.#wake?.()
  }

  /** Resolves at the next signal, at one that came since the last wait, after `ms`, or when `stop` aborts. */
  async wait(ms: number, stop: AbortSignal): Promise<WokenBy> {
    let wokenBy: WokenBy = 'signal'
    if (!this.#isSignalled && !stop.aborted) {
      const boundMs = Math.min(ms, this.#lossy ? lossyLookMs() : TIMER_MS_MAX, TIMER_MS_MAX)
      wokenBy = await new Promise<WokenBy>((resolve) => {
        const done = (by: WokenBy): void => {
          clearTimeout(timer)
          stop.removeEventListener('abort', signalled)
          resolve(by)
        }
        const signalled = (): void => done('signal')
        const timer = setTimeout(() => done(boundMs < ms ? 'look' : 'time'), boundMs)
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
