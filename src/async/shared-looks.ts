/**
 * Looks that several callers ask for in the same turn of microtasks: one for each key. It begins after all of them have asked, so that
 * each sees whatever had happened when it asked. (The result of `SharedCalls` may be older than that.)
 */
export class SharedLooks<Result, Key = string> {
  readonly #asked = new Map<Key, Promise<Result>>()

  /** @throws what the look throws */
  run(key: Key, look: () => Promise<Result>): Promise<Result> {
    let asked = this.#asked.get(key)
    if (asked === undefined) {
      asked = Promise.resolve().then(() => {
        this.#asked.delete(key)
        return look()
      })
      this.#asked.set(key, asked)
    }
    return asked
  }
}
