/** Waits for a person's decision about an offer. */
import { type Decide, declined, type OpenOffer } from './decision.ts'
import type { LeasedOffer } from './leased-offer.ts'

/** What a person is asked about. */
export interface Question {
  readonly leased: LeasedOffer
  /** Called at the beginning, and again when the portal has stored the file meanwhile. */
  readonly tellAsking: () => void
  readonly offer: () => OpenOffer
}

/**
 * A file that has begun was accepted by an earlier run, and nobody is asked again.
 *
 * @throws Problem `declined`; the reason of the signal, for instance DeliveryWithdrawnError when the portal ends the delivery meanwhile
 */
export async function askPerson(
  decide: Decide,
  { leased, tellAsking, offer }: Question,
  signal: AbortSignal,
): Promise<void> {
  tellAsking()
  leased.onStored = tellAsking
  const ending = Promise.withResolvers<never>()
  const end = (): void => ending.reject(signal.reason)
  signal.addEventListener('abort', end, { once: true })
  try {
    signal.throwIfAborted()
    const decision = await Promise.race([decide(offer(), signal), ending.promise])
    if (decision !== 'accept') throw declined(decision.refuse)
  } finally {
    leased.onStored = null
    signal.removeEventListener('abort', end)
  }
}
