/**
 * A check that is made once in each turn of the event loop, however many callers ask for it. The file system may change right after
 * any check, so an answer of the same turn says as much as a new one.
 */
export class OnceATurn {
  readonly #check: () => void
  #hasPassed = false

  /** @param check throws when it fails. A failure is not remembered */
  constructor(check: () => void) {
    this.#check = check
  }

  /** @throws what the check throws */
  run(): void {
    if (this.#hasPassed) return
    this.#check()
    this.#hasPassed = true
    setImmediate(() => {
      this.#hasPassed = false
    })
  }
}
