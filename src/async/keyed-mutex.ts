import { Semaphore } from './semaphore.ts'

/** A semaphore for each key. Callers with different keys do not wait for each other. */
export class KeyedSemaphore<Key> {
  readonly #count: number
  readonly #semaphores = new Map<Key, { readonly semaphore: Semaphore; userCount: number }>()

  /** @param count how many holders a key may have at the same time */
  constructor(count: number) {
    this.#count = count
  }

  /**
   * Runs `act` when a permit of the key is free, in the order of the calls.
   *
   * @throws what `act` throws; the signal's reason when that aborts before `act` began
   */
  async run<Result>(key: Key, act: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    const one = this.#semaphores.get(key) ?? { semaphore: new Semaphore(this.#count), userCount: 0 }
    this.#semaphores.set(key, one)
    one.userCount++
    try {
      return await one.semaphore.run(act, signal)
    } finally {
      if (--one.userCount === 0) this.#semaphores.delete(key)
    }
  }
}

/** A mutex for each key: runs one act of a key at a time, in the order of the calls, and the next one even if it failed. */
export class KeyedMutex<Key = string> extends KeyedSemaphore<Key> {
  constructor() {
    super(1)
  }
}
