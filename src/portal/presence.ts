/**
 * Whether a connection is still the newest one of its receiving process. An older one may not have noticed yet that nobody
 * is at its other end, and would be given offers that reach nobody.
 *
 * The newest says so when it begins, and all others end. Where that got lost, each that is left says that it is still there, and
 * the older one ends. Which one is older is told by the clocks of the nodes. Should they differ by more than the pause between two
 * connections, the wrong one ends: its receiver connects once more.
 */
import { randomText } from '../protocol/index.ts'
import type { Signals } from './signals/index.ts'

const RANDOM_BYTES = 9
/** Enough digits for the milliseconds of the next three thousand years. */
const TIME_DIGITS = 9

export class Presence implements Disposable {
  isOver = false
  /** Later connections have greater ones. */
  readonly #connectionId = `${Date.now().toString(36).padStart(TIME_DIGITS, '0')}-${randomText(RANDOM_BYTES)}`
  readonly #unsubscribe: () => void

  constructor(signals: Signals, topic: string, wake: () => void) {
    const stay = (): void => signals.publish(topic, `still ${this.#connectionId}`)
    signals.publish(topic, `new ${this.#connectionId}`)
    this.#unsubscribe = signals.subscribe(
      topic,
      (payload) => {
        const [kind, other = ''] = payload.split(' ')
        if (other === this.#connectionId || this.isOver) return
        if (kind === 'new' || other > this.#connectionId) {
          this.isOver = true
          wake()
        } else {
          // That one has not heard of this one.
          stay()
        }
      },
      stay,
    )
  }

  [Symbol.dispose](): void {
    this.#unsubscribe()
  }
}
