/** A person's decision about an offer. */
import { Problem } from '../protocol/index.ts'
import type { RequestOfFile, ShownTraits } from './traits.ts'

const REASON_CHARACTERS_MAX = 500

/** An offer that a person decides about. The sender has been checked, and sealed metadata has been opened. */
export interface OpenOffer extends ShownTraits {
  readonly transferId: string
  readonly from: string
  /** The name that the sender gave. Not to be shown unescaped. */
  readonly name: string
  /** The size of the file itself, without what sealing adds. */
  readonly sizeBytes: number
  /** Only of a stream that has not ended: then `sizeBytes` is 0. */
  readonly isSizeKnown?: false
  /** The request for files by which a guest sent it. */
  readonly request?: RequestOfFile
}

/** The reason goes to the sender: see {@link reasonForSender}. It may be empty. */
export type Decision = 'accept' | { readonly refuse: string }

/**
 * Called before any content travels, but not again for a file that has begun. It may take any time: the lease is renewed meanwhile.
 *
 * @param signal aborts when the answer is no longer needed: the portal has withdrawn the offer, or the receiver stops
 */
export type Decide = (offer: OpenOffer, signal: AbortSignal) => Promise<Decision>

/** The problem of a refusal. It reaches the sender unchanged. */
export function declined(reason: string): Problem {
  const detail = reasonForSender(reason)
  return new Problem('declined', detail === '' ? {} : { detail })
}

/** A reason as the sender gets it: 500 characters at most. */
export function reasonForSender(reason: string): string {
  return [...reason.trim()].slice(0, REASON_CHARACTERS_MAX).join('')
}
