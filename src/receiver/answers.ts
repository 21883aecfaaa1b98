/** The receiver's answers to the portal. Answers that are ready at the same time share a request. */
import { onAbort } from '../async/index.ts'
import { Batcher, type DispositionOf, type PortalClient, sendDispositions } from '../client/index.ts'
import { type DispositionResult, type Limits, type Offer, problemBytesMax } from '../protocol/index.ts'

/** How long a receiver that stops waits for the portal. */
const RELEASE_MS_MAX = 2_000

/** An estimate of the bytes of an answer besides its receipt or problem. */
const FORM_BYTES = 1024

/** Resolves with the new state of a delivery. It throws like `PortalClient.disposition`. */
export type DispositionBatcher = Batcher<DispositionOf, DispositionResult>

/**
 * Stops listening to the inbox while an answer is on its way, for a receiver that ends with it. The answer makes room for the next
 * offer, and a file that is offered to a receiver that has ended waits until its lease runs out.
 */
export class QuietWhileAnswering {
  #listening = new AbortController()
  #over = Promise.withResolvers<void>()

  /** Aborts when nothing more is to be offered. */
  get signal(): AbortSignal {
    return this.#listening.signal
  }

  /** An answer that fails may need another offer of its file, so the receiver listens again. */
  async during<T>(answer: () => Promise<T>): Promise<T> {
    this.#listening.abort()
    try {
      return await answer()
    } catch (error) {
      this.end()
      throw error
    }
  }

  /** Listens again. */
  end(): void {
    if (!this.#listening.signal.aborted) return
    this.#listening = new AbortController()
    this.#over.resolve()
    this.#over = Promise.withResolvers()
  }

  /** Resolves when the receiver may listen, or when `signal` aborts. */
  async untilOver(signal: AbortSignal): Promise<void> {
    while (this.#listening.signal.aborted && !signal.aborted) {
      const over = this.#over
      const unsubscribe = onAbort(signal, over.resolve)
      await over.promise
      unsubscribe()
    }
  }
}

/**
 * @param limits the limits of the portal; null when they are unknown
 * @param quiet for a receiver that ends with an answer; null for one that continues
 */
export function dispositionBatcher(
  client: PortalClient,
  limits: Limits | null,
  quiet: QuietWhileAnswering | null = null,
): DispositionBatcher {
  const answered = <T>(answer: () => Promise<T>): Promise<T> => (quiet === null ? answer() : quiet.during(answer))
  return new Batcher({
    itemsMax: limits?.batchItemsMax ?? 0,
    bytesMax: limits?.batchBytesMax ?? 0,
    // A few files that come one after the other never wait for each other.
    awaitedItemsMin: 4,
    bytesOf: ({ answer }) =>
      FORM_BYTES + (answer.disposition === 'received' ? (answer.receipt?.length ?? 0) : problemBytesMax),
    sendAlone: ({ transferId, answer }, options) => answered(() => client.disposition(transferId, answer, options)),
    sendTogether: (dispositions, options) => answered(() => sendDispositions(client, dispositions, options)),
  })
}

/** Tries once to give a lease back. If that fails, or the portal is of an older version, the lease runs out by itself. */
export async function giveLeaseBack(
  answers: DispositionBatcher,
  { transferId, leaseId }: Pick<Offer, 'transferId' | 'leaseId'>,
): Promise<void> {
  const signal = AbortSignal.timeout(RELEASE_MS_MAX)
  await answers.send({ transferId, answer: { leaseId, disposition: 'released' } }, { signal }).catch(() => {})
}
