import { type Release, Semaphore } from '../async/index.ts'

/** Buffers for parts that are reused, so that the memory of a transfer does not depend on the size of its file. */
export class BufferPool {
  /** The largest number of buffers. */
  readonly count: number
  readonly #sizeBytes: number
  readonly #semaphore: Semaphore
  readonly #free: Uint8Array[]
  readonly #releases = new Map<Uint8Array, Release>()

  /**
   * @param count the largest number of buffers; each is made when it is first needed
   * @param first buffers that were made already
   */
  constructor(count: number, sizeBytes: number, first: readonly Uint8Array[] = []) {
    this.#free = [...first]
    this.count = count
    this.#semaphore = new Semaphore(count)
    this.#sizeBytes = sizeBytes
  }

  /** Resolves with a buffer when one is free. It belongs to the caller until `give`. */
  async take(): Promise<Uint8Array> {
    const release = await this.#semaphore.acquire()
    const buffer = this.#free.pop() ?? new Uint8Array(this.#sizeBytes)
    this.#releases.set(buffer, release)
    return buffer
  }

  give(buffer: Uint8Array): void {
    this.#free.push(buffer)
    this.#releases.get(buffer)?.()
    this.#releases.delete(buffer)
  }
}
