/** Buffers for parts, used again and again: the memory of a transfer is the same whatever the size of its file. */
export class BufferPool {
  /** How many there are at most. */
  readonly count: number
  readonly #sizeBytes: number
  readonly #free: Buffer[] = []
  readonly #waiting: ((buffer: Buffer) => void)[] = []
  #leftToMake: number

  /** @param count how many there are at most; they are made when they are first needed */
  constructor(count: number, sizeBytes: number) {
    this.count = count
    this.#leftToMake = count
    this.#sizeBytes = sizeBytes
  }

  /** A buffer, as soon as one is free. It is the caller's until `give`. */
  async take(): Promise<Buffer> {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#leftToMake > 0) {
      this.#leftToMake--
      return Buffer.allocUnsafeSlow(this.#sizeBytes)
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  give(buffer: Buffer): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free.push(buffer)
    else next(buffer)
  }
}
