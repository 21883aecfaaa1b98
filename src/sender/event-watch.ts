/**
 * The account's event stream, one for all transfers of a sender. It is open before the first announcement, so that no event of a
 * transfer is missed, and it reconnects for as long as a transfer waits.
 *
 * After each reconnection it starts with new events, and each waiting transfer asks for its own state. So nothing depends on the
 * ids of earlier events: the portal may have been restored from a backup meanwhile and have lost events and transfers, and a
 * stream that continued after a lost event would not show that.
 */
import { IdleTimeout, retry, Semaphore } from '../async/index.ts'
import { hearEvents, NoResponseError, type PortalClient, RetryPolicy, type SenderEvent } from '../client/index.ts'
import type { Notification, Progress } from '../protocol/index.ts'

/** Gets the messages about one transfer. */
export interface Subscriber {
  readonly transferId: string
  told(notification: Notification): void
  fetched(progress: Progress): void
}

export interface EventWatchOptions {
  readonly client: PortalClient
  /** Bounds the first opening of the stream. Later it is reopened without a time limit. */
  readonly answerTimeoutMs: number
  readonly signal: AbortSignal
  readonly onSilence: (reason: string, pauseMs: number) => void
  /** Called each time that held answers replace the stream, because a proxy holds streams back. */
  readonly onHeldBack: () => void
  /** Called with every message, before its subscribers are. */
  readonly onMessage?: (event: SenderEvent) => void
}

/** After a reconnection all waiting transfers ask for their state. This many do so at a time. */
const LOOKS_AT_ONCE_MAX = 8

export class EventWatch {
  /** Bounds how many transfers ask for their state at a time. */
  readonly looks = new Semaphore(LOOKS_AT_ONCE_MAX)
  readonly #options: EventWatchOptions
  /** By transfer. A transfer can have several subscribers, because the same file may be sent twice at a time. */
  readonly #subscribers = new Map<string, Set<Subscriber>>()
  readonly #opened = Promise.withResolvers<void>()
  /** Called for every message, which proves that the portal lives. */
  readonly #hearers = new Set<() => void>()
  /** By transfer and part: called when the portal says that bytes of the part arrive. */
  readonly #arrivals = new Map<string, Set<() => void>>()
  #gap = Promise.withResolvers<void>()
  #retryPolicy: RetryPolicy
  #isOpened = false
  #gapCount = 0
  /** Rejects with the signal's reason when that aborts. One promise for all waiting transfers. */
  readonly stopped: Promise<never>

  constructor(options: EventWatchOptions) {
    this.#options = options
    this.#retryPolicy = this.#retryPolicyOf(options.answerTimeoutMs)
    this.stopped = new Promise((_, reject) => {
      const stop = (): void => reject(options.signal.reason)
      options.signal.addEventListener('abort', stop, { once: true })
      if (options.signal.aborted) stop()
    })
    // Callers that await these see the failure. Without one it is not an unhandled rejection.
    this.stopped.catch(() => {})
    this.#opened.promise.catch(() => {})
  }

  /** Resolves when the stream is open for the first time; rejects when it could not be opened in time. */
  get opened(): Promise<void> {
    return this.#opened.promise
  }

  subscribe(subscriber: Subscriber): void {
    addTo(this.#subscribers, subscriber.transferId, subscriber)
  }

  unsubscribe(subscriber: Subscriber): void {
    removeFrom(this.#subscribers, subscriber.transferId, subscriber)
  }

  /** Calls `heard` for each sign of life. @returns the function that unsubscribes */
  onHeard(heard: () => void): () => void {
    this.#hearers.add(heard)
    return () => this.#hearers.delete(heard)
  }

  /** Calls `arriving` each time that bytes of the part have arrived. @returns the function that unsubscribes */
  onArriving(transferId: string, partNumber: number, arriving: () => void): () => void {
    const key = arrivalKey(transferId, partNumber)
    addTo(this.#arrivals, key, arriving)
    return () => removeFrom(this.#arrivals, key, arriving)
  }

  /** The number of gaps so far in which events may have been missed. */
  get gapCount(): number {
    return this.#gapCount
  }

  /** Resolves at the next gap in which events may have been missed. */
  get nextGap(): Promise<void> {
    return this.#gap.promise
  }

  /**
   * Follows the stream until the signal aborts. Never resolves.
   *
   * @throws the signal's reason; NoResponseError when the stream could not be opened at first; RemoteProblem when the
   *   portal does not let this account watch (any more)
   */
  async follow(): Promise<never> {
    const begunAtMs = performance.now()
    let tries = 0
    const onCurrent = (): void => {
      tries = 0
      this.#current()
    }
    const delayMs = (error: unknown): number => this.#retryPolicy.delayMs(error, ++tries, begunAtMs)
    try {
      return await retry(() => this.#followOnce(onCurrent), { delayMs, signal: this.#options.signal })
    } catch (error) {
      this.#opened.reject(error)
      throw error
    }
  }

  /** Follows one stream until that breaks. */
  async #followOnce(onCurrent: () => void): Promise<never> {
    const { client, signal, onHeldBack } = this.#options
    const giveUp = new AbortController()
    const { stallTimeoutMs } = this.#retryPolicy
    const late = new NoResponseError(`the event stream did not begin within ${stallTimeoutMs} ms`)
    using idle = new IdleTimeout(stallTimeoutMs, () => giveUp.abort(late))
    let isCurrent = false
    const asking = { stallTimeoutMs, signal: AbortSignal.any([signal, giveUp.signal]) }
    for await (const event of hearEvents(client, onHeldBack, asking)) {
      if (event.type === 'current') {
        idle.pause()
        isCurrent = true
        onCurrent()
      } else if (!isCurrent) {
        idle.refresh()
      }
      this.#dispatch(event)
    }
    throw new NoResponseError('the portal closed the event stream')
  }

  #current(): void {
    if (this.#isOpened) {
      this.#gapCount++
      this.#gap.resolve()
      this.#gap = Promise.withResolvers()
    }
    this.#isOpened = true
    this.#retryPolicy = this.#retryPolicyOf(Number.POSITIVE_INFINITY)
    this.#opened.resolve()
  }

  #dispatch(event: SenderEvent): void {
    for (const heard of this.#hearers) heard()
    this.#options.onMessage?.(event)
    switch (event.type) {
      case 'notification':
        for (const one of this.#subscribers.get(event.notification.transferId) ?? []) one.told(event.notification)
        break
      case 'progress':
        for (const one of this.#subscribers.get(event.progress.transferId) ?? []) one.fetched(event.progress)
        break
      case 'arriving': {
        const { transferId, partNumber } = event.arriving
        for (const arriving of this.#arrivals.get(arrivalKey(transferId, partNumber)) ?? []) arriving()
        break
      }
    }
  }

  #retryPolicyOf(answerTimeoutMs: number): RetryPolicy {
    const { signal, onSilence } = this.#options
    return new RetryPolicy({ answerTimeoutMs, signal, onRetry: (error, pauseMs) => onSilence(error.message, pauseMs) })
  }
}

function addTo<One>(all: Map<string, Set<One>>, key: string, one: One): void {
  const known = all.get(key)
  if (known === undefined) all.set(key, new Set([one]))
  else known.add(one)
}

function removeFrom<One>(all: Map<string, Set<One>>, key: string, one: One): void {
  const known = all.get(key)
  if (known?.delete(one) === true && known.size === 0) all.delete(key)
}

function arrivalKey(transferId: string, partNumber: number): string {
  return `${transferId} ${partNumber}`
}
