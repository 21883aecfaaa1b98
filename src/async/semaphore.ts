import { onAbort } from './on-abort.ts'

/** Gives back what was acquired. A second call does nothing. */
export type Release = () => void

/** A counting semaphore. Waiters are served in the order in which they came. */
export class Semaphore {
  readonly #waiting = new Set<() => void>()
  #freeCount: number

  /** @param count how many holders there may be at the same time */
  constructor(count: number) {
    this.#freeCount = count
  }

  /** Whether the next `acquire` has to wait. */
  get isFull(): boolean {
    return this.#freeCount === 0
  }

  /** @throws the signal's reason when that aborts before a permit is free */
  async acquire(signal?: AbortSignal): Promise<Release> {
    signal?.throwIfAborted()
    if (this.#freeCount > 0) this.#freeCount--
    else await this.#wait(signal)
    let isReleased = false
    return () => {
      if (isReleased) return
      isReleased = true
      this.#release()
    }
  }

  /** Runs `act` with a permit. @throws like `acquire`; what `act` throws */
  async run<Result>(act: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    const release = await this.acquire(signal)
    try {
      return await act()
    } finally {
      release()
    }
  }

  /** Hands the permit to the first waiter, so that no later caller takes it. */
  #release(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#freeCount++
      return
    }
    this.#waiting.delete(next)
    next()
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const admit = (): void => {
        unsubscribe?.()
        resolve()
      }
      this.#waiting.add(admit)
      const unsubscribe =
        signal === undefined
          ? null
          : onAbort(signal, () => {
              this.#waiting.delete(admit)
              reject(signal.reason)
            })
    })
  }
}

/**
 * Acquires a permit of each semaphore, in the order given, and holds those that it has while it waits for the next. All callers
 * have to name shared semaphores in the same order.
 *
 * @throws like `Semaphore.acquire`; no permit is held then
 */
export async function acquireAll(semaphores: readonly Semaphore[], signal?: AbortSignal): Promise<Release> {
  const releases: Release[] = []
  const releaseAll = (): void => {
    for (const release of releases) release()
  }
  try {
    for (const semaphore of semaphores) releases.push(await semaphore.acquire(signal))
  } catch (error) {
    releaseAll()
    throw error
  }
  return releaseAll
}
