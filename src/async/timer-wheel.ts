import { timerMs } from '../protocol/index.ts'

/** A slot takes this many times the average before its calls go to an earlier one. */
const FULL_FACTOR = 2
const SLOT_CALLS_MIN = 16

/**
 * Calls many functions at the same interval by one timer. Their calls are spread over the interval in as many groups as there are slots,
 * so the calls of a group share one turn of the event loop, and none waits long for the others.
 */
export class TimerWheel {
  readonly #tickMs: number
  readonly #slots: readonly Set<() => void>[]
  #at = 0
  #count = 0
  #timer: ReturnType<typeof setInterval> | null = null

  /** @param everyMs a function is called first within this time, and then each time that it has passed */
  constructor(everyMs: number, slotCount: number) {
    this.#tickMs = everyMs / slotCount
    this.#slots = Array.from({ length: slotCount }, () => new Set())
  }

  /** @param call throws no error. It is called until the result is disposed of */
  add(call: () => void): Disposable {
    const slot = this.#freeSlot()
    slot.add(call)
    this.#count++
    this.#timer ??= setInterval(() => this.#turn(), timerMs(this.#tickMs))
    return {
      [Symbol.dispose]: () => {
        if (!slot.delete(call) || --this.#count > 0 || this.#timer === null) return
        clearInterval(this.#timer)
        this.#timer = null
      },
    }
  }

  /** The slot whose turn is farthest away, or one before it when functions come all at once. */
  #freeSlot(): Set<() => void> {
    const callsMax = Math.max(SLOT_CALLS_MIN, (FULL_FACTOR * this.#count) / this.#slots.length)
    for (let back = 0; back < this.#slots.length; back++) {
      const slot = this.#slots.at(this.#at - back)
      if (slot !== undefined && slot.size < callsMax) return slot
    }
    throw new Error('no slot of the wheel has less than the average')
  }

  #turn(): void {
    this.#at = (this.#at + 1) % this.#slots.length
    for (const call of this.#slots[this.#at] ?? []) call()
  }
}
