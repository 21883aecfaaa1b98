/** Receiving in a page: what a browser bears of it. */
import type { InFlightBounds } from '../../../client/index.ts'
import { offersOpenMax } from '../../../protocol/index.ts'
import { type PartBody, type ReceiveIntoOptions, type ReceiveResult, receiveInto } from '../../../receiver/index.ts'
import type { PageInbox } from './page-inbox.ts'

/** Parts are held in memory as a whole, once as they travelled and once opened; and a browser has few connections. */
const CONTENTS_AT_ONCE = 2
const PARTS_IN_FLIGHT: InFlightBounds = { min: 1, max: 2 }

/** The options are those of `receiveInto` that a page decides about. */
export function receiveHere(
  inbox: PageInbox,
  options: Pick<ReceiveIntoOptions<PartBody>, 'client' | 'trust' | 'from' | 'decide' | 'signal' | 'onEvent' | 'idleMs'>,
): Promise<ReceiveResult> {
  return receiveInto(inbox, {
    ...options,
    isOnce: false,
    // While a person decides, all that waits is to be seen.
    transfersAtOnce: offersOpenMax,
    contentsAtOnce: CONTENTS_AT_ONCE,
    partsInFlight: PARTS_IN_FLIGHT,
  })
}
