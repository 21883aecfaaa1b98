/** What everything in the portal stands on, and what has to happen after each move of a transfer. */
import type { Logger } from 'pino'
import type { Turns } from '../hop/index.ts'
import { isFinalTransfer } from '../protocol/index.ts'
import type { Audit } from './audit.ts'
import type { Ledger, Transfer } from './ledger/contract.ts'
import type { Metrics } from './metrics.ts'
import type { PortalOptions } from './options.ts'
import { type Signals, topics } from './signals.ts'
import type { Store } from './store/contract.ts'
import type { Uploads } from './uploads.ts'

export interface PortalContext {
  readonly ledger: Ledger
  readonly store: Store
  readonly signals: Signals
  /** By transferId: whoever judges or removes what the store holds of it. */
  readonly turns: Turns
  readonly uploads: Uploads
  readonly options: PortalOptions
  readonly metrics: Metrics
  readonly log: Logger
  readonly audit: Audit
}

/** Wakes everybody whom a move of this transfer concerns; the parts of one that is over go at once. */
export function afterMove(context: PortalContext, transfer: Transfer): void {
  const { signals } = context
  signals.publish(topics.transfer(transfer.transferId))
  signals.publish(topics.events(transfer.senderId))
  for (const { receiverId } of transfer.deliveries) signals.publish(topics.inbox(receiverId), transfer.transferId)
  if (isFinalTransfer(transfer.state) && !isHeldInLedger(transfer)) {
    removeParts(context, transfer.transferId).catch((error: unknown) => {
      context.log.warn({ err: error, transferId: transfer.transferId }, 'parts not removed yet; the sweeper goes on')
    })
  }
}

/** Whether the ledger has, or had, the content. What the store may hold of it all the same the sweeper removes. */
export function isHeldInLedger(transfer: Transfer): boolean {
  return 'heldIn' in transfer && transfer.heldIn === 'ledger'
}

/**
 * Removes what the store holds of a transfer that the ledger does not know, says is over, or knows to have come in one
 * request, unless that request is under way. In its turn: one that begins waits until this is done.
 *
 * @returns whether anything of it was to be removed
 */
export function removeOrphan(
  { store, ledger, turns, uploads }: PortalContext,
  transferId: string,
  asks: 'anybody' | 'its upload' = 'anybody',
): Promise<boolean> {
  return turns.take(transferId, async () => {
    if (asks === 'anybody' && uploads.isUnderWay(transferId)) return false
    const transfer = await ledger.transfer(transferId)
    const isBrokenOff = transfer?.state === 'receiving' && transfer.isOneRequest
    if (transfer !== null && !isFinalTransfer(transfer.state) && !isBrokenOff) return false
    await store.remove(transferId)
    return true
  })
}

/** Removes the parts of a transfer that is over. The ledger remembers what is still to be removed. */
export async function removeParts({ store, ledger }: PortalContext, transferId: string): Promise<void> {
  await store.remove(transferId)
  await ledger.removed(transferId)
}
