/** From this size on a transfer is a large one: it shares the bandwidth, where a small one mostly waits. */
export const largeBytesMin = 1024 * 1024

/** So many may be at something at the same time; the others wait, in the order in which they came. */
export class Places {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(count: number) {
    this.#free = count
  }

  /**
   * Takes a place, as soon as there is one.
   *
   * @returns the way to give it back
   * @throws the signal's reason when that aborts first
   */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#free > 0) this.#free--
    else await this.#wait(signal)
    return () => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const taken = (): void => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(taken), 1)
        reject(signal.reason)
      }
      this.#waiting.push(taken)
      signal.addEventListener('abort', leave, { once: true })
    })
  }
}
