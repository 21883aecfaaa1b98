/** Holding a transfer up, and going on with it: what a person who watches it may want. */
import { sleep } from '../client/index.ts'
import { largeBytesMin, Places } from '../hop/index.ts'

/** Why the requests of a transfer end that is to rest. */
export class Resting extends Error {
  override readonly name = 'Resting'
}

/** Whether a transfer is to rest, by whoever may say so. */
export class Pause {
  #rest = new AbortController()
  #over = Promise.withResolvers<void>()

  get isPaused(): boolean {
    return this.#rest.signal.aborted
  }

  /** Aborts, with a `Resting`, when the transfer is to rest. After each rest another one counts. */
  get signal(): AbortSignal {
    return this.#rest.signal
  }

  /** What is on its way is given up, and goes once more when the transfer goes on. */
  pause(): void {
    this.#rest.abort(new Resting('the transfer is to rest'))
  }

  resume(): void {
    if (!this.isPaused) return
    this.#rest = new AbortController()
    this.#over.resolve()
    this.#over = Promise.withResolvers()
  }

  /** Resolves when there is no rest, or no more. @throws the signal's reason when that aborts first */
  async over(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (!this.isPaused) return
    const aborted = Promise.withResolvers<never>()
    const abort = (): void => aborted.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await Promise.race([this.#over.promise, aborted.promise])
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}

/** Takes a place among what is sent at the same time, as soon as there is one. @returns the way to give it back */
export type TakePlace = (signal: AbortSignal) => Promise<() => void>

/**
 * Shares one line among many transfers: so many at a time, as small ones spend their time waiting, and of large ones fewer, as
 * it is better to be done with one than to be half done with many.
 *
 * @returns what takes a place for a file of that size
 */
export function sharedLine(bounds: { transfersAtOnce: number; largeAtOnce: number }): (sizeBytes: number) => TakePlace {
  const all = new Places(bounds.transfersAtOnce)
  const large = new Places(bounds.largeAtOnce)
  return (sizeBytes) => async (signal) => {
    const leaveLarge = sizeBytes < largeBytesMin ? null : await large.take(signal)
    try {
      const leaveAll = await all.take(signal)
      return () => {
        leaveAll()
        leaveLarge?.()
      }
    } catch (error) {
      leaveLarge?.()
      throw error
    }
  }
}

/** One transfer's turn to be sent. While it rests, others have its place. */
export class Turn {
  readonly pause: Pause
  readonly #takePlace: TakePlace
  #beginning: { readonly begun: Promise<void>; readonly giveUp: AbortController } | null = null
  #leave: (() => void) | null = null

  constructor(pause: Pause, takePlace: TakePlace) {
    this.pause = pause
    this.#takePlace = takePlace
  }

  /** Resolves when it is this transfer's turn, and it is not to rest. @throws the signal's reason */
  async begin(signal: AbortSignal): Promise<void> {
    const giveUp = this.#beginning?.giveUp ?? new AbortController()
    this.#beginning ??= { begun: this.#begin(AbortSignal.any([signal, giveUp.signal])), giveUp }
    await this.#beginning.begun
    this.#beginning = null
  }

  /** The same, but no longer than for so long. @returns whether the turn has begun; it keeps its place in the queue if not */
  async beginWithin(ms: number, signal: AbortSignal): Promise<boolean> {
    const enough = new AbortController()
    const late = sleep(ms, AbortSignal.any([signal, enough.signal])).then(() => false)
    try {
      return await Promise.race([this.begin(signal).then(() => true), late])
    } finally {
      late.catch(() => {})
      enough.abort()
    }
  }

  /** Leaves the place to others. */
  end(): void {
    this.#beginning?.begun.catch(() => {})
    this.#beginning?.giveUp.abort(new Error('the turn is over'))
    this.#beginning = null
    this.#leave?.()
    this.#leave = null
  }

  async #begin(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.pause.over(signal)
      const leave = await this.#takePlace(signal)
      if (!this.pause.isPaused && !signal.aborted) {
        this.#leave = leave
        return
      }
      leave()
    }
  }
}
