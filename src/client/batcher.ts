/**
 * Combines items of several callers into one request. An item that is alone is sent at once. While enough further items are expected, a
 * request waits for them for a moment; items that come while a request is running are collected for the next one. Each item gets its own answer or
 * its own error.
 */
import { onAbort } from '../async/index.ts'
import { isAboutToken, RemoteProblem } from './answers.ts'
import type { BatchResult } from './batches.ts'
import type { CallOptions } from './calls.ts'
import { NoResponseError } from './transport.ts'

/** A second request begins only when a whole batch is waiting. */
const REQUESTS_AT_ONCE_MAX = 2
/** The longest wait for expected items. They are late when their files are read from a slow disk. */
const EXPECTED_MS_MAX = 20

export interface BatcherOptions<Item, Value> {
  /** The most items in one request. With fewer than 2, and for an item that is too long, each item gets a request of its own. */
  readonly itemsMax: number
  /** With fewer items, those that are expected included, no request waits. Default: 2. */
  readonly awaitedItemsMin?: number
  readonly bytesMax: number
  readonly bytesOf: (item: Item) => number
  readonly sendAlone: (item: Item, options: CallOptions) => Promise<Value>
  readonly sendTogether: (items: readonly Item[], options: CallOptions) => Promise<BatchResult<Value>[]>
}

interface Waiting<Item, Value> {
  readonly item: Item
  readonly options: CallOptions
  readonly resolve: (value: Value | PromiseLike<Value>) => void
  readonly reject: (error: unknown) => void
  /** Called when the caller gives up while its request is running. */
  onGivenUp: () => void
}

export class Batcher<Item, Value> {
  readonly #options: BatcherOptions<Item, Value>
  readonly #waiting = new Set<Waiting<Item, Value>>()
  #requests = 0
  #expected = 0
  /** Runs while a request waits for expected items. */
  #lingering: ReturnType<typeof setTimeout> | null = null
  /** Whether a proxy refuses batches although the portal announces them. */
  #isWithoutBatches: boolean

  constructor(options: BatcherOptions<Item, Value>) {
    this.#options = options
    this.#isWithoutBatches = options.itemsMax < 2
  }

  /** @throws like `sendAlone`; the reason of `signal`, after which the caller does not wait for the answer any more */
  async send(item: Item, options: CallOptions): Promise<Value> {
    const { bytesMax, bytesOf, sendAlone } = this.#options
    if (this.#isWithoutBatches || bytesOf(item) > bytesMax) return sendAlone(item, options)
    const { signal } = options
    signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<Value>()
    const waiting: Waiting<Item, Value> = { item, options, resolve, reject, onGivenUp: () => {} }
    const abort = (): void => {
      this.#waiting.delete(waiting)
      reject(signal?.reason)
      waiting.onGivenUp()
    }
    const unsubscribe = signal === undefined ? null : onAbort(signal, abort)
    this.#waiting.add(waiting)
    this.#begin()
    try {
      return await promise
    } finally {
      unsubscribe?.()
    }
  }

  /**
   * Announces an item that is being prepared, so that a request waits for it.
   *
   * @returns to be disposed of right before `send`, or when the item does not come after all. A second time does nothing
   */
  expect(): Disposable {
    let isExpected = true
    this.#expected++
    return {
      [Symbol.dispose]: () => {
        if (!isExpected) return
        isExpected = false
        this.#expected--
        // In the next turn of microtasks: `send` follows at once.
        if (this.#expected === 0) queueMicrotask(() => this.#begin())
      },
    }
  }

  #begin({ isLate = false } = {}): void {
    while (this.#waiting.size > 0 && this.#requests < REQUESTS_AT_ONCE_MAX) {
      const isFull = this.#waiting.size >= this.#options.itemsMax
      if (this.#requests > 0 && !isFull) return
      if (this.#isWorthWaiting && !isFull && !isLate) {
        this.#linger()
        return
      }
      if (this.#lingering !== null) clearTimeout(this.#lingering)
      this.#lingering = null
      this.#requests++
      void this.#send(this.#next()).finally(() => {
        this.#requests--
        this.#begin()
      })
    }
  }

  get #isWorthWaiting(): boolean {
    const { awaitedItemsMin = 2 } = this.#options
    return this.#expected > 0 && this.#expected + this.#waiting.size >= awaitedItemsMin
  }

  #linger(): void {
    this.#lingering ??= setTimeout(() => {
      this.#lingering = null
      this.#begin({ isLate: true })
    }, EXPECTED_MS_MAX)
  }

  /** Takes as many items as fit into a request, at least one. */
  #next(): Waiting<Item, Value>[] {
    const { itemsMax, bytesMax, bytesOf } = this.#options
    const batch: Waiting<Item, Value>[] = []
    let bytes = 0
    for (const waiting of this.#waiting) {
      bytes += bytesOf(waiting.item)
      if (batch.length === itemsMax || (batch.length > 0 && bytes > bytesMax)) break
      batch.push(waiting)
      this.#waiting.delete(waiting)
    }
    return batch
  }

  /** Never rejects. */
  async #send(batch: readonly Waiting<Item, Value>[]): Promise<void> {
    const { sendTogether } = this.#options
    const [first] = batch
    if (first === undefined) return
    if (batch.length === 1) return this.#sendEach(batch)
    const givenUp = new AbortController()
    let wanted = batch.length
    for (const one of batch) {
      one.onGivenUp = () => {
        if (--wanted === 0) givenUp.abort(one.options.signal?.reason)
      }
    }
    try {
      const items = batch.map(({ item }) => item)
      const results = await sendTogether(items, { ...first.options, signal: givenUp.signal })
      for (const [index, { resolve, reject }] of batch.entries()) {
        const result = results[index] ?? { error: new NoResponseError('there is no answer') }
        if ('error' in result) reject(result.error)
        else resolve(result.value)
      }
    } catch (error) {
      if (!isRefused(error)) for (const { reject } of batch) reject(error)
      else {
        // One item made this batch invalid. The next batch may be valid.
        if (!(error instanceof RemoteProblem && error.code === 'request-invalid')) this.#isWithoutBatches = true
        await this.#sendEach(batch)
      }
    }
  }

  async #sendEach(batch: readonly Waiting<Item, Value>[]): Promise<void> {
    const { sendAlone } = this.#options
    await Promise.all(batch.map(({ item, options, resolve, reject }) => sendAlone(item, options).then(resolve, reject)))
  }
}

/** Whether the batch as a whole was refused, for instance because a proxy limits the size of bodies. Single items may be accepted. */
function isRefused(error: unknown): boolean {
  if (error instanceof NoResponseError) return error.isPermanent
  return error instanceof RemoteProblem && error.next !== 'retry' && !isAboutToken(error)
}
