/** Receiving in a page, within the limits of a browser. */
import type { ConcurrencyBounds } from '../../../client/index.ts'
import { offersOpenMax } from '../../../protocol/index.ts'
import { type PartBody, type ReceiveIntoOptions, type ReceiveResult, receiveInto } from '../../../receiver/index.ts'
import type { PageInbox } from './page-inbox.ts'

/** Each part is in memory twice, as it was sent and opened; and a browser has few connections. */
const CONTENTS_AT_ONCE = 2
const PARTS_IN_FLIGHT: ConcurrencyBounds = { min: 1, max: 2 }

/** The options of `receiveInto` that the page sets. */
export function receiveHere(
  inbox: PageInbox,
  options: Pick<
    ReceiveIntoOptions<PartBody>,
    'client' | 'trust' | 'from' | 'decide' | 'signal' | 'onEvent' | 'idleMs'
  > & {
    /** Ends after one delivery. */
    readonly isOnce?: boolean
  },
): Promise<ReceiveResult> {
  return receiveInto(inbox, {
    ...options,
    isOnce: options.isOnce ?? false,
    // While the user decides, all waiting offers are visible.
    transfersAtOnce: offersOpenMax,
    contentsAtOnce: CONTENTS_AT_ONCE,
    partsInFlight: PARTS_IN_FLIGHT,
  })
}
