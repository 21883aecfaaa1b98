/** Pausing and resuming transfers, and the slots that bound how many are sent at the same time. */
import { acquireAll, Semaphore, sleep } from '../async/index.ts'
import { largeBytesMin } from '../client/index.ts'
import { wholeSizeBytesMax } from '../protocol/index.ts'

/** The reason with which the requests of a paused transfer abort. */
export class PausedError extends Error {
  override readonly name = 'PausedError'
}

/** Pauses a transfer and resumes it. */
export class Pause {
  #rest = new AbortController()
  #over = Promise.withResolvers<void>()

  get isPaused(): boolean {
    return this.#rest.signal.aborted
  }

  /** Aborts with a `PausedError` when the transfer is paused. After each pause there is a new signal. */
  get signal(): AbortSignal {
    return this.#rest.signal
  }

  /** Aborts the requests in flight. They are made again after `resume`. */
  pause(): void {
    this.#rest.abort(new PausedError('the transfer is to rest'))
  }

  resume(): void {
    if (!this.isPaused) return
    this.#rest = new AbortController()
    this.#over.resolve()
    this.#over = Promise.withResolvers()
  }

  /** Resolves when the transfer is not paused. @throws the signal's reason when that aborts first */
  async untilResumed(signal: AbortSignal): Promise<void> {
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

/** Takes a slot as soon as one is free. @returns the function that gives it back */
export type AcquireSlot = (signal: AbortSignal) => Promise<() => void>

/**
 * The slots of a sender: many for small files, which mostly wait for answers, and few for large ones, because finishing one is better
 * than having many half done.
 *
 * @returns a function that makes an `AcquireSlot` for a file of a given size
 */
export function sendSlots(bounds: {
  transfersAtOnce: number
  /** The limit for files that are not sent in one request. */
  inPartsAtOnce?: number
  largeAtOnce: number
}): (sizeBytes: number) => AcquireSlot {
  const all = new Semaphore(bounds.transfersAtOnce)
  const { inPartsAtOnce = bounds.transfersAtOnce } = bounds
  const inParts = inPartsAtOnce < bounds.transfersAtOnce ? [new Semaphore(inPartsAtOnce)] : []
  const large = new Semaphore(bounds.largeAtOnce)
  return (sizeBytes) => {
    if (sizeBytes >= largeBytesMin) return (signal) => acquireAll([large, ...inParts, all], signal)
    return (signal) => acquireAll(sizeBytes > wholeSizeBytesMax ? [...inParts, all] : [all], signal)
  }
}

/** The slot of one transfer. While the transfer is paused, others use the slot. */
export class SendSlot {
  readonly pause: Pause
  readonly #acquireSlot: AcquireSlot
  #acquiring: { readonly done: Promise<void>; readonly giveUp: AbortController } | null = null
  #leave: (() => void) | null = null

  constructor(pause: Pause, acquireSlot: AcquireSlot) {
    this.pause = pause
    this.#acquireSlot = acquireSlot
  }

  /** Resolves when this transfer has a slot and is not paused. @throws the signal's reason */
  async acquire(signal: AbortSignal): Promise<void> {
    const giveUp = this.#acquiring?.giveUp ?? new AbortController()
    this.#acquiring ??= { done: this.#acquire(AbortSignal.any([signal, giveUp.signal])), giveUp }
    await this.#acquiring.done
    this.#acquiring = null
  }

  /** Like `acquire`, for `ms` at most. @returns whether the transfer has a slot; if not, it keeps its place in the queue */
  async acquireWithin(ms: number, signal: AbortSignal): Promise<boolean> {
    const enough = new AbortController()
    const late = sleep(ms, AbortSignal.any([signal, enough.signal])).then(() => false)
    try {
      return await Promise.race([this.acquire(signal).then(() => true), late])
    } finally {
      late.catch(() => {})
      enough.abort()
    }
  }

  /** Gives the slot to others. */
  release(): void {
    this.#acquiring?.done.catch(() => {})
    this.#acquiring?.giveUp.abort(new Error('the slot was released'))
    this.#acquiring = null
    this.#leave?.()
    this.#leave = null
  }

  async #acquire(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.pause.untilResumed(signal)
      const leave = await this.#acquireSlot(signal)
      if (!this.pause.isPaused && !signal.aborted) {
        this.#leave = leave
        return
      }
      leave()
    }
  }
}
