/**
 * A receiver whose inbox cannot take files stands still: it closes its connection, so that it gets no offers, and checks again and
 * again whether the inbox can be used. Files wait at the portal. It reports the reason once.
 */
import { backoffMs, sleep } from '../async/index.ts'
import type { ReceiveEvent } from './events.ts'
import type { Inbox, Obstacle } from './inbox.ts'

const LOOK_MS_MIN = 1_000
/** The longest pause between two checks while a shortage lasts. */
const LOOK_MS_MAX = 60_000
/** After this long without another shortage the window grows back to its full size. */
const REGROW_MS = 600_000

/** The time between two standstills: a connection to the portal, with reconnections. */
export interface Session {
  /** Aborts when the inbox cannot be used, or the receiver stops. */
  readonly signal: AbortSignal
  /** How many offers may be open at the same time. */
  readonly window: number
}

export class Standstill {
  readonly #inbox: Pick<Inbox<never>, 'obstacle'>
  readonly #onEvent: (event: ReceiveEvent) => void
  readonly #windowMax: number
  #window: number
  #session = new AbortController()
  #shortagesInRow = 0
  #shortAtMs = Number.NEGATIVE_INFINITY
  #told: string | null = null

  constructor(inbox: Pick<Inbox<never>, 'obstacle'>, onEvent: (event: ReceiveEvent) => void, transfersAtOnce: number) {
    this.#inbox = inbox
    this.#onEvent = onEvent
    this.#windowMax = transfersAtOnce
    this.#window = transfersAtOnce
  }

  newSession(signal: AbortSignal): Session {
    this.#session = new AbortController()
    if (performance.now() - this.#shortAtMs > REGROW_MS) {
      this.#window = this.#windowMax
      this.#shortagesInRow = 0
      this.#told = null
    }
    return { signal: AbortSignal.any([signal, this.#session.signal]), window: this.#window }
  }

  /** Ends the session. */
  begin({ reason, isShortage }: Obstacle): void {
    if (this.#session.signal.aborted) return
    if (isShortage) {
      this.#shortAtMs = performance.now()
      this.#shortagesInRow++
      this.#window = Math.max(1, Math.floor(this.#window / 2))
    }
    if (this.#told !== reason) this.#onEvent({ type: 'waiting', reason })
    this.#told = reason
    this.#session.abort(new Error(reason))
  }

  /** Resolves when the inbox can be used, or when `signal` aborts. */
  async untilOver(signal: AbortSignal): Promise<void> {
    if (!this.#session.signal.aborted) return
    const pauseMs = backoffMs(Math.max(1, this.#shortagesInRow), { minMs: LOOK_MS_MIN, maxMs: LOOK_MS_MAX, jitter: 0 })
    do {
      await sleep(pauseMs, signal).catch(() => {})
    } while (!signal.aborted && (await this.#inbox.obstacle(null)) !== null)
    // A shortage may return with the next file, so it is not reported every time.
    if (this.#shortagesInRow === 0) this.#told = null
  }
}
