/** What everything in the portal stands on, and what has to happen after each move of a transfer. */
import type { Logger } from 'pino'
import type { Turns } from '../hop/index.ts'
import { isFinalTransfer } from '../protocol/index.ts'
import type { Attendance } from './attendance.ts'
import type { Audit } from './audit.ts'
import type { Ledger, Transfer } from './ledger/contract.ts'
import type { Metrics } from './metrics.ts'
import type { PortalOptions } from './options.ts'
import { type Signals, topics } from './signals/index.ts'
import type { PartsKey, Store } from './store/contract.ts'
import type { Uploads } from './uploads.ts'

export interface PortalContext {
  /** Of this process, among those that share a ledger. */
  readonly portalId: string
  readonly ledger: Ledger
  readonly store: Store
  readonly signals: Signals
  /** By transferId: whoever judges or removes what the store holds of it, in this process. */
  readonly turns: Turns
  readonly uploads: Uploads
  readonly options: PortalOptions
  readonly metrics: Metrics
  readonly log: Logger
  readonly audit: Audit
  readonly attendance: Attendance
}

/** Wakes everybody whom a move of this transfer concerns; the parts of one that is over go at once. */
export function afterMove(context: PortalContext, transfer: Transfer): void {
  const { signals } = context
  signals.publish(topics.transfer(transfer.transferId))
  signals.publish(topics.events(transfer.senderId))
  for (const { receiverId } of transfer.deliveries) signals.publish(topics.inbox(receiverId), transfer.transferId)
  if (isFinalTransfer(transfer.state) && !isHeldInLedger(transfer)) {
    removeAll(context, transfer.transferId).catch((error: unknown) => {
      context.log.warn({ err: error, transferId: transfer.transferId }, 'parts not removed yet; the sweeper goes on')
    })
  }
}

/** Whether the ledger has, or had, the content. What the store may hold of it all the same the sweeper removes. */
export function isHeldInLedger(transfer: Transfer): boolean {
  return 'heldIn' in transfer && transfer.heldIn === 'ledger'
}

/** Removes the parts of a transfer that is over. The ledger remembers what is still to be removed. */
export async function removeAll({ store, ledger }: PortalContext, transferId: string): Promise<void> {
  await store.remove(transferId)
  await ledger.removed(transferId)
}

/**
 * Removes what is about to be given up, before the ledger says so: on a full disk it may need that room to write it down.
 * In the turn of its transfer, and only where nobody else can be at work on it. Elsewhere the ledger decides first, and then that
 * generation is dead.
 */
export async function makeRoom(context: PortalContext, parts: PartsKey): Promise<void> {
  if (isAlone(context)) await context.store.removeParts(parts)
}

/**
 * Whether what the ledger says of a transfer stays true in the turn of that transfer. With a ledger that is elsewhere it may
 * not, even where no other portal has the store: a commit whose answer was lost may come about at any later time.
 */
export function isAlone({ store, ledger }: Pick<PortalContext, 'store' | 'ledger'>): boolean {
  return !store.traits.isShared && !ledger.traits.isShared
}

/** Removes parts that nobody will look at again. Where this fails, they go with the transfer at its end. */
export async function removeGivenUp({ store, log }: PortalContext, parts: PartsKey): Promise<void> {
  try {
    await store.removeParts(parts)
  } catch (error) {
    log.warn({ err: error, transferId: parts.transferId }, 'parts that were given up are still there')
  }
}

/** Whether parts may still come to be, or are, those of a transfer that is not over. */
export function areAlive(transfer: Transfer | null, { generation }: PartsKey): boolean {
  return transfer !== null && !isFinalTransfer(transfer.state) && transfer.generation === generation
}
