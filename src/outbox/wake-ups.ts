/**
 * Says when a look at the drop folder may be worth it. It is only faster than the poll, which nothing depends on less: network file systems
 * report no changes of other machines, and the system's queue of reports may overflow.
 */
import { type FSWatcher, watch } from 'node:fs'

/** While a file is written, reports come all the time. One look is enough for all of this time. */
const QUIET_MS = 50

export class WakeUps implements Disposable {
  readonly #onFailure: (reason: string) => void
  #watcher: FSWatcher | null = null
  #next = Promise.withResolvers<void>()
  #timer: NodeJS.Timeout | null = null

  /** @param onFailure called when the system reports nothing, and why */
  constructor(folder: string, onFailure: (reason: string) => void) {
    this.#onFailure = onFailure
    this.follow(folder)
  }

  /** Begins again, for instance because another folder has taken the place of the first one. */
  follow(folder: string): void {
    this.#watcher?.close()
    this.#watcher = null
    try {
      this.#watcher = watch(folder, { persistent: false }, () => this.#soon())
      this.#watcher.on('error', (error) => this.#failed(error))
    } catch (error) {
      this.#failed(error)
    }
  }

  /** Resolves at the next reason for a look. */
  get next(): Promise<void> {
    return this.#next.promise
  }

  /** There is a reason for a look. */
  ring(): void {
    this.#next.resolve()
    this.#next = Promise.withResolvers()
  }

  [Symbol.dispose](): void {
    this.#watcher?.close()
    clearTimeout(this.#timer ?? undefined)
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.ring()
    }, QUIET_MS)
  }

  #failed(error: unknown): void {
    this.#watcher?.close()
    this.#watcher = null
    this.#onFailure(error instanceof Error ? error.message : String(error))
  }
}
