/** Buffers for parts, used again and again: the memory of a transfer is the same whatever the size of its file. */
export class BufferPool {
  /** How many there are at most. */
  readonly count: number
  readonly #sizeBytes: number
  readonly #free: Uint8Array[] = []
  readonly #waiting: ((buffer: Uint8Array) => void)[] = []
  #leftToMake: number

  /** @param count how many there are at most; they are made when they are first needed */
  constructor(count: number, sizeBytes: number) {
    this.count = count
    this.#leftToMake = count
    this.#sizeBytes = sizeBytes
  }

  /** A buffer, as soon as one is free. It is the caller's until `give`. */
  async take(): Promise<Uint8Array> {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#leftToMake > 0) {
      this.#leftToMake--
      return new Uint8Array(this.#sizeBytes)
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  give(buffer: Uint8Array): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free.push(buffer)
    else next(buffer)
  }
}
