/** What a caller of `receive` is told while it runs. */
import type { ProblemJson } from '../protocol/index.ts'

interface About {
  readonly transferId: string
  readonly from: string
  /** The name that the sender gave. Not to be shown unescaped. */
  readonly name: string
  readonly sizeBytes: number
  readonly isSealed: boolean
  /** Whether the portal holds all of it already, as far as is known. */
  readonly isStored: boolean
}

export type ReceiveEvent =
  | { readonly type: 'connected' }
  /** The connection to the portal is gone; the next try comes after a pause. */
  | { readonly type: 'disconnected'; readonly reason: string; readonly pauseMs: number }
  | ({ readonly type: 'offered'; readonly isResumed: boolean } & About)
  /** Somebody is asked whether to take it; told again when the portal has got all of it meanwhile. */
  | ({ readonly type: 'asking' } & About)
  /** `heldBytes` are written and verified; `redirectedBytes` have travelled from the portal's storage, and not by the portal. */
  | ({ readonly type: 'fetching'; readonly heldBytes: number; readonly redirectedBytes: number } & About)
  /** A part could not be had from the portal's storage. The portal itself is asked for it. */
  | ({ readonly type: 'link-failed'; readonly reason: string } & About)
  /** Bad content was deleted and asked for again. */
  | ({ readonly type: 'repeating'; readonly problem: ProblemJson } & About)
  /** The file stands under `path`, durable, and the portal knows. `isRenamed` when the name is not the sender's;
   * `signedBy` is the fingerprint of the keys by which the sender signed it, null where it signed nothing, or where an
   * earlier run has looked at that. */
  | ({
      readonly type: 'received'
      readonly path: string
      readonly isRenamed: boolean
      readonly signedBy: string | null
    } & About)
  | ({ readonly type: 'refused'; readonly problem: ProblemJson } & About)
  /** The portal withdrew the offer; what was there of it has been deleted. */
  | ({ readonly type: 'withdrawn'; readonly problem: ProblemJson } & About)
  /** The offer was lost before an answer could be given; what is verified is kept for the next one. */
  | ({ readonly type: 'given-up'; readonly reason: string } & About)
