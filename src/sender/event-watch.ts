/**
 * The account's event stream, one for all transfers of a sender. It is open before the first announcement, so that nothing
 * that happens to a transfer is missed, and it comes back for as long as anybody waits.
 */
import { NoAnswer, Patience, type PortalClient, type SenderEvent } from '../client/index.ts'
import type { Notification, Progress } from '../protocol/index.ts'

/** One who wants to know about a transfer. */
export interface Subscriber {
  readonly transferId: string
  told(notification: Notification): void
  fetched(progress: Progress): void
}

export interface EventWatchOptions {
  readonly client: PortalClient
  /** Bounds the first opening. Once it was open, it is opened again for ever. */
  readonly answerTimeoutMs: number
  readonly signal: AbortSignal
  readonly onSilence: (reason: string, pauseMs: number) => void
  /** Is told everything that comes, about whatever transfer, before those who wait for it are. */
  readonly onMessage?: (event: SenderEvent) => void
}

export class EventWatch {
  readonly #options: EventWatchOptions
  /** By transfer: the same file may be sent twice at a time. */
  readonly #subscribers = new Map<string, Set<Subscriber>>()
  readonly #opened = Promise.withResolvers<void>()
  /** Who wants to know that the portal lives: a message came, about whatever transfer. */
  readonly #hearers = new Set<() => void>()
  /** By transfer and part: requests whose bytes the portal was heard to take in. */
  readonly #arrivals = new Map<string, Set<() => void>>()
  #gap = Promise.withResolvers<void>()
  #patience: Patience
  /** The last event that came by this stream: the only kind of id from which nothing is skipped. */
  #after: string | null = null
  #isOpened = false
  #gapCount = 0
  /** Rejects with the signal's reason when that aborts: one promise for the many that wait. */
  readonly stopped: Promise<never>

  constructor(options: EventWatchOptions) {
    this.#options = options
    this.#patience = this.#patienceOf(options.answerTimeoutMs)
    this.stopped = new Promise((_, reject) => {
      const stop = (): void => reject(options.signal.reason)
      options.signal.addEventListener('abort', stop, { once: true })
      if (options.signal.aborted) stop()
    })
    // Whoever awaits these sees the failure; nobody has to.
    this.stopped.catch(() => {})
    this.#opened.promise.catch(() => {})
  }

  /** Resolves when the stream is up for the first time; rejects when it could not be opened in time. */
  get opened(): Promise<void> {
    return this.#opened.promise
  }

  subscribe(subscriber: Subscriber): void {
    addTo(this.#subscribers, subscriber.transferId, subscriber)
  }

  unsubscribe(subscriber: Subscriber): void {
    removeFrom(this.#subscribers, subscriber.transferId, subscriber)
  }

  /** Tells of each sign of life. @returns the way to end that */
  onHeard(heard: () => void): () => void {
    this.#hearers.add(heard)
    return () => this.#hearers.delete(heard)
  }

  /** Tells of each time that bytes of a part came in. @returns the way to end that */
  onArriving(transferId: string, partNumber: number, arriving: () => void): () => void {
    const key = arrivalKey(transferId, partNumber)
    addTo(this.#arrivals, key, arriving)
    return () => removeFrom(this.#arrivals, key, arriving)
  }

  /** How often events may have been missed so far. */
  get gapCount(): number {
    return this.#gapCount
  }

  /** Resolves at the next time that events may have been missed. */
  get nextGap(): Promise<void> {
    return this.#gap.promise
  }

  /**
   * Follows the stream until the signal aborts. Never resolves.
   *
   * @throws the signal's reason; NoAnswer when the stream could not be opened at first; RemoteProblem when the
   *   portal does not let this account watch (any more)
   */
  async follow(): Promise<never> {
    try {
      const begunAtMs = performance.now()
      for (let tries = 1; ; tries++) {
        const wasCurrent = await this.#followOnce(tries, begunAtMs)
        if (wasCurrent) tries = 0
      }
    } catch (error) {
      this.#opened.reject(error)
      throw error
    }
  }

  /** @returns whether the stream was up before it broke */
  async #followOnce(tries: number, begunAtMs: number): Promise<boolean> {
    const { client, signal } = this.#options
    const giveUp = new AbortController()
    const { stallMs } = this.#patience
    const late = new NoAnswer(`the event stream did not begin within ${stallMs} ms`)
    let watchdog = setTimeout(() => giveUp.abort(late), stallMs)
    let isCurrent = false
    try {
      const from = this.#after === null ? {} : { after: this.#after }
      for await (const event of client.watchEvents(from, {
        stallMs,
        signal: AbortSignal.any([signal, giveUp.signal]),
      })) {
        if (event.type === 'current') {
          clearTimeout(watchdog)
          isCurrent = true
          this.#current()
        } else if (!isCurrent) {
          clearTimeout(watchdog)
          watchdog = setTimeout(() => giveUp.abort(late), stallMs)
        }
        this.#dispatch(event)
      }
      throw new NoAnswer('the portal closed the event stream')
    } catch (error) {
      signal.throwIfAborted()
      await this.#patience.pause(error, isCurrent ? 1 : tries, begunAtMs)
    } finally {
      clearTimeout(watchdog)
    }
    return isCurrent
  }

  #current(): void {
    if (this.#isOpened && this.#after === null) {
      this.#gapCount++
      this.#gap.resolve()
      this.#gap = Promise.withResolvers()
    }
    this.#isOpened = true
    this.#patience = this.#patienceOf(Number.POSITIVE_INFINITY)
    this.#opened.resolve()
  }

  #dispatch(event: SenderEvent): void {
    for (const heard of this.#hearers) heard()
    this.#options.onMessage?.(event)
    switch (event.type) {
      case 'notification':
        this.#after = event.notification.eventId
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

  #patienceOf(answerTimeoutMs: number): Patience {
    const { signal, onSilence } = this.#options
    return new Patience({ answerTimeoutMs, signal, onRetry: (error, pauseMs) => onSilence(error.message, pauseMs) })
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
