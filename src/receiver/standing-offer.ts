/**
 * One offer as it stands: its newest lease, whether the file is stored yet, and how long ago the portal confirmed
 * that the lease is ours. All requests about a transfer pass through `insist`, so that patience and the loss of a
 * lease are dealt with in one place.
 */
import { NoAnswer, type PortalClient, pauseBeforeTry, RemoteProblem, sleep } from '../client/index.ts'
import { type Offer, waitSecondsMax } from '../protocol/index.ts'

/** An offer whose lease is lost is waited for anew for so many leases; then its task ends. */
const LEASES_WAITED_MAX = 2
/** The lease is renewed this often in its time, whatever else goes on. */
const RENEWALS_PER_LEASE = 3
/** An answer to "wait" that comes sooner was not waited for: asking again at once would be a busy loop. */
const WAITED_MS_MIN = 1_000

/** What decides when the file is finished. */
export type StoredOffer = Offer & { readonly state: 'stored'; readonly manifestDigest: string }

/** The lease is lost and no new offer came: the file is left to whoever is offered it next. */
export class OfferLapsed extends Error {
  override readonly name = 'OfferLapsed'
}

export class StandingOffer {
  readonly #client: PortalClient
  readonly #heldBytes: () => number
  #offer: Offer
  #confirmedAtMs: number
  #lostLeaseId: string | null = null
  #newer = Promise.withResolvers<void>()
  /** Is told once that the portal has got all of it meanwhile. */
  onStored: (() => void) | null = null

  /**
   * @param leasedAtMs the lease did not begin before this, by `performance.now()`: the offer may have lain in buffers
   * @param heldBytes what is verified so far; goes with every request that renews the lease
   */
  constructor(client: PortalClient, offer: Offer, leasedAtMs: number, heldBytes: () => number) {
    this.#client = client
    this.#offer = offer
    this.#confirmedAtMs = leasedAtMs
    this.#heldBytes = heldBytes
  }

  get offer(): Offer {
    return this.#offer
  }

  /** What came of the file with its offer, once: what turns out to be bad is fetched. Null where nothing did. */
  takeContent(): Uint8Array | null {
    const { content, ...offer } = this.#offer
    this.#offer = offer
    return content === undefined ? null : fromBase64(content)
  }

  /** The portal offers the same transfer anew, under another lease. */
  renew(offer: Offer, leasedAtMs: number): void {
    this.#take(offer, leasedAtMs)
    this.#newer.resolve()
    this.#newer = Promise.withResolvers()
  }

  /**
   * Makes a request about the offer until it is answered: after silence with back-off, for as long as it takes, and
   * under the next lease when this one is lost.
   *
   * @throws OfferLapsed; RemoteProblem that waiting does not mend; the signal's reason when that aborts; any error of
   *   `request` that is neither `NoAnswer` nor a `RemoteProblem`
   */
  async insist<Result>(request: (offer: Offer) => Promise<Result>, signal: AbortSignal): Promise<Result> {
    for (let tries = 1; ; tries++) {
      signal.throwIfAborted()
      const { leaseId } = this.#offer
      const startedAtMs = performance.now()
      try {
        const result = await request(this.#offer)
        this.#confirm(leaseId, startedAtMs)
        return result
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof RemoteProblem && error.code === 'lease-lost') {
          await this.#newerThan(leaseId, signal)
          tries = 0
        } else if (error instanceof RemoteProblem && error.code === 'part-pending') {
          this.#confirm(leaseId, startedAtMs)
          tries = 0
          await this.#pauseAfterWait(startedAtMs, signal)
        } else {
          await sleep(pauseAfter(error, tries), signal)
        }
      }
    }
  }

  /**
   * Waits until the portal has stored the transfer. The lease is then known to have been ours less than half of its
   * time ago.
   *
   * @throws like {@link insist}
   */
  async stored(signal: AbortSignal): Promise<StoredOffer> {
    for (let isFresh = false; ; isFresh = true) {
      const { state, manifestDigest } = this.#offer
      const isStored = state === 'stored' && manifestDigest !== null
      if (isStored && (isFresh || this.#ageMs < this.#offer.leaseMs / 2))
        return { ...this.#offer, state, manifestDigest }
      const startedAtMs = performance.now()
      await this.insist((offer) => this.#ask(offer, isStored ? 0 : waitSecondsMax, signal), signal)
      if (this.#offer.manifestDigest === null) await this.#pauseAfterWait(startedAtMs, signal)
    }
  }

  /**
   * Keeps the lease until the signal aborts, whatever else takes its time meanwhile: hashing, a slow connection, a person.
   *
   * @param onRefused is told what the portal says instead. Who makes requests will find that out, and may pass it over
   */
  async keep(signal: AbortSignal, onRefused: (error: RemoteProblem) => void = () => {}): Promise<void> {
    while (!signal.aborted) {
      try {
        await sleep(this.#offer.leaseMs / RENEWALS_PER_LEASE, signal)
        const isDue = this.#ageMs >= this.#offer.leaseMs / RENEWALS_PER_LEASE
        if (isDue && this.#lostLeaseId !== this.#offer.leaseId) await this.#ask(this.#offer, 0, signal)
      } catch (error) {
        if (signal.aborted) return
        // What the portal says, or that it says nothing, the task's own next request will find out, and act.
        if (error instanceof RemoteProblem) onRefused(error)
        else if (!(error instanceof NoAnswer)) throw error
      }
    }
  }

  get #ageMs(): number {
    return performance.now() - this.#confirmedAtMs
  }

  /** Asks how the offer stands, and takes note. */
  async #ask({ transferId, leaseId }: Offer, waitSeconds: number, signal: AbortSignal): Promise<void> {
    const startedAtMs = performance.now()
    const question = { leaseId, waitSeconds, heldBytes: this.#heldBytes() }
    const answer = await this.#client.offer(transferId, question, { signal })
    if (answer.leaseId === this.#offer.leaseId) this.#take(answer, startedAtMs)
  }

  #take(told: Offer, confirmedAtMs: number): void {
    // What somebody has accepted, and what is written, is what was offered first. It is also what the signature has to be about.
    const { from, metadata, sizeBytes, partSizeBytes, digestAlgorithm } = this.#offer
    const offer = { ...told, from, metadata, sizeBytes, partSizeBytes, digestAlgorithm }
    // Answers can overtake each other; what has been stored once does not cease to be.
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
    // What was known of an older lease says nothing of the newer one.
    this.#confirmedAtMs = isOfSameLease ? Math.max(this.#confirmedAtMs, confirmedAtMs) : confirmedAtMs
    if (!wasStored && offer.state === 'stored') this.onStored?.()
  }

  #confirm(leaseId: string, atMs: number): void {
    // The lease runs from when the portal dealt with the request; it was not before the request was made.
    if (leaseId === this.#offer.leaseId) this.#confirmedAtMs = Math.max(this.#confirmedAtMs, atMs)
  }

  async #newerThan(leaseId: string, signal: AbortSignal): Promise<void> {
    if (this.#offer.leaseId !== leaseId) return
    this.#lostLeaseId = leaseId
    const waitMs = this.#offer.leaseMs * LEASES_WAITED_MAX
    const waiting = new AbortController()
    const lapse = sleep(waitMs, AbortSignal.any([signal, waiting.signal])).then(() => {
      throw new OfferLapsed(`the offer was lost, and no new one came within ${waitMs} ms`)
    })
    try {
      await Promise.race([this.#newer.promise, lapse])
    } finally {
      waiting.abort()
    }
  }

  async #pauseAfterWait(startedAtMs: number, signal: AbortSignal): Promise<void> {
    if (performance.now() - startedAtMs < WAITED_MS_MIN) await sleep(pauseBeforeTry(1), signal)
  }
}

/** How long to wait after an error before the request is made again. @throws the error when it should not be */
export function pauseAfter(error: unknown, tries: number): number {
  if (error instanceof NoAnswer) return pauseBeforeTry(tries)
  if (error instanceof RemoteProblem && error.next === 'retry') return error.retryAfterMs ?? pauseBeforeTry(tries)
  throw error
}

/** @param text that a portal encoded */
function fromBase64(text: string): Uint8Array {
  const binary = atob(text)
  const bytes = new Uint8Array(binary.length)
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at)
  return bytes
}
