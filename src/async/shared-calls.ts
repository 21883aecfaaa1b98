/** Runs one call for each key at a time. A caller that comes while it runs gets its result. */
export class SharedCalls<Result, Key = string> {
  readonly #running = new Map<Key, Promise<Result>>()

  /** @throws what the call throws */
  run(key: Key, act: () => Promise<Result>): Promise<Result> {
    const known = this.#running.get(key)
    if (known !== undefined) return known
    const running = act().finally(() => this.#running.delete(key))
    this.#running.set(key, running)
    return running
  }
}
