/** The receiver's answers to the portal. Answers that are ready at the same time share a request. */
import { Batcher, type DispositionOf, type PortalClient, sendDispositions } from '../client/index.ts'
import { type DispositionResult, type Limits, type Offer, problemBytesMax } from '../protocol/index.ts'

/** How long a receiver that stops waits for the portal. */
const RELEASE_MS_MAX = 2_000

/** An estimate of the bytes of an answer besides its receipt or problem. */
const FORM_BYTES = 1024

/** Resolves with the new state of a delivery. It throws like `PortalClient.disposition`. */
export type DispositionBatcher = Batcher<DispositionOf, DispositionResult>

/** @param limits the limits of the portal; null when they are unknown */
export function dispositionBatcher(client: PortalClient, limits: Limits | null): DispositionBatcher {
  return new Batcher({
    itemsMax: limits?.batchItemsMax ?? 0,
    bytesMax: limits?.batchBytesMax ?? 0,
    // A few files that come one after the other never wait for each other.
    awaitedItemsMin: 4,
    bytesOf: ({ answer }) =>
      FORM_BYTES + (answer.disposition === 'received' ? (answer.receipt?.length ?? 0) : problemBytesMax),
    sendAlone: ({ transferId, answer }, options) => client.disposition(transferId, answer, options),
    sendTogether: (dispositions, options) => sendDispositions(client, dispositions, options),
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
