/**
 * Wake-ups between parts of the portal, and later between its nodes. A signal carries no truth: what it is about
 * stands in the ledger or the store. Losing one costs time, never a delivery.
 */
import { EventEmitter } from 'node:events'

export interface Signals {
  readonly traits: {
    /** Whether signals may get lost, so that whoever waits should look by itself now and then. */
    readonly lossy: boolean
  }
  publish(topic: string, payload?: string): void
  /** @returns the way to end the subscription */
  subscribe(topic: string, listener: (payload: string) => void): () => void
}

/** What signals are about. */
export const topics = {
  /** Something happened to an account. */
  accounts: 'accounts',
  /** Something changed in what is offered to an account. The payload is the transferId; where it is empty, it may be any. */
  inbox: (accountId: number) => `inbox:${accountId}`,
  /** A receiving process has connected anew. The payload names the connection: any older one is over. */
  takeover: (accountId: number, instanceId: string) => `takeover:${accountId}:${instanceId}`,
  /** The event log of an account grew. */
  events: (accountId: number) => `events:${accountId}`,
  /** A receiver fetched something of an account's transfer. The payload is the message itself: it may get lost. */
  progress: (accountId: number) => `progress:${accountId}`,
  /** A part of an account's transfer is on its way in, slowly. The payload is the message itself: it may get lost. */
  arriving: (accountId: number) => `arriving:${accountId}`,
  /** A part of a transfer came in, or its state changed. */
  transfer: (transferId: string) => `transfer:${transferId}`,
} as const

/** Signals within one process. */
export function localSignals(): Signals {
  const emitter = new EventEmitter()
  emitter.setMaxListeners(0)
  return {
    traits: { lossy: false },
    publish: (topic, payload = '') => {
      emitter.emit(topic, payload)
    },
    subscribe(topic, listener) {
      emitter.on(topic, listener)
      return () => {
        emitter.off(topic, listener)
      }
    },
  }
}

/** How often one who waits on lossy signals looks by itself. */
const LOSSY_LOOK_MS = 5_000
/** The longest time for which a timer of JavaScript can be set. */
const TIMER_MS_MAX = 2 ** 31 - 1

/**
 * Remembers that a signal came, so that none is missed between looking and waiting:
 * make one, look, and only then `wait`.
 */
export class Waiter implements Disposable {
  readonly #unsubscribe: () => void
  readonly #lossy: boolean
  #isSignalled = false
  #wake: (() => void) | null = null

  constructor(signals: Signals, topic: string) {
    this.#lossy = signals.traits.lossy
    this.#unsubscribe = signals.subscribe(topic, () => this.wake())
  }

  /** Ends the present or next `wait`, as a signal does. */
  wake(): void {
    this.#isSignalled = true
    this.#wake?.()
  }

  /** Resolves at the next signal, at one that came since the last wait, after `ms`, or when `stop` aborts. */
  async wait(ms: number, stop: AbortSignal): Promise<void> {
    if (!this.#isSignalled && !stop.aborted) {
      const boundMs = Math.min(ms, this.#lossy ? LOSSY_LOOK_MS : TIMER_MS_MAX, TIMER_MS_MAX)
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          stop.removeEventListener('abort', done)
          resolve()
        }
        const timer = setTimeout(done, boundMs)
        stop.addEventListener('abort', done, { once: true })
        this.#wake = done
      })
      this.#wake = null
    }
    this.#isSignalled = false
  }

  [Symbol.dispose](): void {
    this.#unsubscribe()
  }
}
