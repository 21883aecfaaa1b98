/**
 * The current state of one offer: its newest lease, whether the file is stored, and how long ago the portal confirmed the
 * lease. All requests about a transfer pass through `retry`, which handles silence and the loss of a lease in one place.
 */
import { backoffMs, retry, sleep } from '../async/index.ts'
import { NoResponseError, type PortalClient, pauseAfter, portalBackoff, RemoteProblem } from '../client/index.ts'
import { intervalMs, type Offer, partsPerTransferMax, timerMs, waitSecondsMax } from '../protocol/index.ts'
import { decodeBase64 } from '../trust/base64.ts'
import { taskEnded } from './delivery-end.ts'

/** After the loss of a lease the task waits this many lease times for a new offer, and then ends. */
const LEASES_WAITED_MAX = 2
/** How often the lease is renewed within its time. */
const RENEWALS_PER_LEASE = 3
/** An answer to `Prefer: wait` that comes sooner was not held. The task pauses then, because asking again at once would be a busy loop. */
const WAITED_MS_MIN = 1_000

/** An offer of a stored file. Its manifestDigest decides whether the received file is right. */
export type StoredOffer = Offer & { readonly state: 'stored'; readonly manifestDigest: string }

/** The lease is lost and no new offer came. This task ends, and the next offer starts another one. */
export class LeaseExpiredError extends Error {
  override readonly name = 'LeaseExpiredError'
}

export class LeasedOffer {
  readonly #client: PortalClient
  readonly #heldBytes: () => number
  #offer: Offer
  #confirmedAtMs: number
  #lostLeaseId: string | null = null
  #newer = Promise.withResolvers<void>()
  /** Called once when the portal has stored the whole file. */
  onStored: (() => void) | null = null

  /**
   * @param leasedAtMs the earliest time at which the lease can have begun, by `performance.now()`: the offer may have lain in buffers
   * @param heldBytes the bytes verified so far; sent with every request that renews the lease
   */
  constructor(client: PortalClient, offer: Offer, leasedAtMs: number, heldBytes: () => number) {
    this.#client = client
    this.#offer = bounded(offer)
    this.#confirmedAtMs = leasedAtMs
    this.#heldBytes = heldBytes
  }

  get offer(): Offer {
    return this.#offer
  }

  /** The content that came with the offer, at the first call only: if it is bad, the file is fetched. Null if none came. */
  consumeInlineContent(): Uint8Array | null {
    const { content, ...offer } = this.#offer
    this.#offer = offer
    return content === undefined ? null : decodeBase64(content)
  }

  /** The portal offers the same transfer again, under another lease. */
  renew(offer: Offer, leasedAtMs: number): void {
    this.#take(offer, leasedAtMs)
    this.#newer.resolve()
    this.#newer = Promise.withResolvers()
  }

  /**
   * Makes a request about the offer until it is answered. It retries with back-off without a time limit, and continues under the
   * next lease when this one is lost.
   *
   * @throws LeaseExpiredError; RemoteProblem that no retry can solve; the signal's reason when that aborts; any error of
   *   `request` that is neither `NoResponseError` nor a `RemoteProblem`
   */
  async retry<Result>(request: (offer: Offer) => Promise<Result>, signal: AbortSignal): Promise<Result> {
    let { leaseId } = this.#offer
    let startedAtMs = 0
    /** The number of failures in a row that are not about the lease. */
    let tries = 0
    const act = async (): Promise<Result> => {
      leaseId = this.#offer.leaseId
      startedAtMs = performance.now()
      const result = await request(this.#offer)
      this.#confirm(leaseId, startedAtMs)
      return result
    }
    const delayMs = async (error: unknown): Promise<number> => {
      const code = error instanceof RemoteProblem ? error.code : null
      if (code !== 'lease-lost' && code !== 'part-pending') return pauseAfter(error, ++tries)
      tries = 0
      if (code === 'lease-lost') await this.#newerThan(leaseId, signal)
      else this.#confirm(leaseId, startedAtMs)
      return code === 'lease-lost' ? 0 : pauseAfterWaitMs(startedAtMs)
    }
    return retry(act, { delayMs, signal })
  }

  /**
   * Waits until the portal has stored the transfer. When it resolves, the portal has confirmed the lease less than half of a lease
   * time ago.
   *
   * @throws like {@link retry}
   */
  async stored(signal: AbortSignal): Promise<StoredOffer> {
    for (let isFresh = false; ; isFresh = true) {
      const { state, manifestDigest } = this.#offer
      const isStored = state === 'stored' && manifestDigest !== null
      if (isStored && (isFresh || this.#ageMs < this.#offer.leaseMs / 2))
        return { ...this.#offer, state, manifestDigest }
      const startedAtMs = performance.now()
      await this.retry((offer) => this.#ask(offer, isStored ? 0 : waitSecondsMax, signal), signal)
      if (this.#offer.manifestDigest === null) await sleep(pauseAfterWaitMs(startedAtMs), signal)
    }
  }

  /**
   * Renews the lease until it is disposed of, while hashing, a slow connection or a person takes time.
   *
   * @param onRefused called when the portal refuses. A task that makes requests of its own may ignore that, because they fail, too
   */
  keep(onRefused: (error: RemoteProblem) => void = () => {}): AsyncDisposable {
    const over = new AbortController()
    let renewing: Promise<void> = Promise.resolve()
    const wait = () => setTimeout(renew, timerMs(this.#offer.leaseMs / RENEWALS_PER_LEASE))
    const renew = (): void => {
      renewing = this.#renew(over.signal, onRefused).then(() => {
        if (!over.signal.aborted) timer = wait()
      })
    }
    let timer = wait()
    return {
      [Symbol.asyncDispose]: () => {
        clearTimeout(timer)
        over.abort(taskEnded)
        return renewing
      },
    }
  }

  async #renew(signal: AbortSignal, onRefused: (error: RemoteProblem) => void): Promise<void> {
    const isDue = this.#ageMs >= this.#offer.leaseMs / RENEWALS_PER_LEASE
    if (!isDue || this.#lostLeaseId === this.#offer.leaseId) return
    try {
      await this.#ask(this.#offer, 0, signal)
    } catch (error) {
      if (signal.aborted) return
      // The task's own next request meets the same refusal or silence, and acts on it.
      if (error instanceof RemoteProblem) onRefused(error)
      else if (!(error instanceof NoResponseError)) throw error
    }
  }

  get #ageMs(): number {
    return performance.now() - this.#confirmedAtMs
  }

  /** Asks the portal for the state of the offer, and keeps the answer. */
  async #ask({ transferId, leaseId }: Offer, waitSeconds: number, signal: AbortSignal): Promise<void> {
    const startedAtMs = performance.now()
    const question = { leaseId, waitSeconds, heldBytes: this.#heldBytes() }
    const answer = await this.#client.offer(transferId, question, { signal })
    if (answer.leaseId === this.#offer.leaseId) this.#take(answer, startedAtMs)
  }

  #take(told: Offer, confirmedAtMs: number): void {
    // The data of the first offer stay: a person accepted them, the content is written by them, and the signature has to match them.
    const { from, metadata, partSizeBytes, digestAlgorithm } = this.#offer
    const newest = bounded(told)
    // Only the size of a stream may come later.
    const { sizeBytes, isSizeKnown } = this.#offer.isSizeKnown === false ? newest : this.#offer
    const { isSizeKnown: _, ...others } = newest
    const offer = {
      ...{ ...others, from, metadata, sizeBytes, partSizeBytes, digestAlgorithm },
      ...(isSizeKnown === undefined ? {} : { isSizeKnown }),
    }
    // Answers can overtake each other, and a stored transfer stays stored.
    const wasStored = this.#offer.state === 'stored'
    const isOutdated = wasStored && offer.state === 'receiving'
    const isOfSameLease = this.#offer.leaseId === offer.leaseId
    if (!isOutdated) this.#offer = offer
    else
      this.#offer = {
        ...offer,
        state: 'stored',
        manifestDigest: this.#offer.manifestDigest,
        manifest: this.#offer.manifest,
      }
    // The confirmation of an older lease says nothing about the newer one.
    this.#confirmedAtMs = isOfSameLease ? Math.max(this.#confirmedAtMs, confirmedAtMs) : confirmedAtMs
    if (!wasStored && offer.state === 'stored') this.onStored?.()
  }

  #confirm(leaseId: string, atMs: number): void {
    // The lease runs from when the portal handled the request, which was not before the request was made.
    if (leaseId === this.#offer.leaseId) this.#confirmedAtMs = Math.max(this.#confirmedAtMs, atMs)
  }

  async #newerThan(leaseId: string, signal: AbortSignal): Promise<void> {
    if (this.#offer.leaseId !== leaseId) return
    this.#lostLeaseId = leaseId
    const waitMs = this.#offer.leaseMs * LEASES_WAITED_MAX
    const waiting = new AbortController()
    const lapse = sleep(waitMs, AbortSignal.any([signal, waiting.signal])).then(() => {
      throw new LeaseExpiredError(`the offer was lost, and no new one came within ${waitMs} ms`)
    })
    try {
      await Promise.race([this.#newer.promise, lapse])
    } finally {
      waiting.abort()
    }
  }
}

/**
 * The offer with its lease time brought within bounds that a receiver can keep. A stream whose size is not known gets the largest that
 * its parts can have.
 */
function bounded(offer: Offer): Offer {
  const { partSizeBytes, isSizeKnown } = offer
  const size = isSizeKnown === false ? { sizeBytes: partsPerTransferMax * partSizeBytes } : {}
  return { ...offer, ...size, leaseMs: intervalMs(offer.leaseMs) }
}

/** The pause after an answer to "wait", by when that was asked: none where the portal has waited. */
function pauseAfterWaitMs(startedAtMs: number): number {
  return performance.now() - startedAtMs < WAITED_MS_MIN ? backoffMs(1, portalBackoff) : 0
}
