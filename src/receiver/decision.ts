/** What a person decides about an offer. */
import { Problem } from '../protocol/index.ts'

/** What a person may write to the sender. */
export const declineReasonCharactersMax = 500

/** What somebody decides about. The sender has been checked, and the seal, if there is one, is open. */
export interface OpenOffer {
  readonly transferId: string
  readonly from: string
  /** The name that the sender gave. Not to be shown unescaped. */
  readonly name: string
  /** Of the file itself. */
  readonly sizeBytes: number
}

/** The reason goes to the sender, cut at {@link declineReasonCharactersMax}; it may be empty. */
export type Decision = 'accept' | { readonly refuse: string }

/**
 * Asked before any content travels, and not again for what has begun. It may take its time: the lease is kept meanwhile.
 *
 * @param signal aborts when the question is void: the portal has withdrawn the offer, or the receiver stops
 */
export type Decide = (offer: OpenOffer, signal: AbortSignal) => Promise<Decision>

/** The problem that a refusal is told as. It reaches the sender as it is. */
export function declined(reason: string): Problem {
  const detail = [...reason.trim()].slice(0, declineReasonCharactersMax).join('')
  return new Problem('declined', detail === '' ? {} : { detail })
}
