/** The services that all parts of the portal use, and the steps after each move of a transfer. */
import type { Logger } from 'pino'
import type { KeyedMutex } from '../async/index.ts'
import { isFinalTransfer } from '../protocol/index.ts'
import type { Ledger, Transfer } from './ledger/contract.ts'
import type { Audit } from './monitoring/audit.ts'
import type { Heartbeat } from './monitoring/heartbeat.ts'
import type { Metrics } from './monitoring/metrics.ts'
import type { PortalOptions } from './options.ts'
import { type Signals, topics } from './signals/index.ts'
import type { PartsKey, Store } from './store/contract.ts'
import type { ActiveUploads } from './uploads/active-uploads.ts'

export interface PortalContext {
  /** Identifies this process among the portals that share a ledger. */
  readonly portalId: string
  readonly ledger: Ledger
  readonly store: Store
  readonly signals: Signals
  /** By transferId: within this process, checks and removals of a transfer's parts exclude each other. */
  readonly turns: KeyedMutex
  readonly activeUploads: ActiveUploads
  readonly options: PortalOptions
  readonly metrics: Metrics
  readonly log: Logger
  readonly audit: Audit
  readonly heartbeat: Heartbeat
}

/**
 * Wakes all waiters that are concerned by a move of this transfer. Removes the parts of a transfer that is over.
 *
 * @param areReceiversAwake whether its receivers were woken within the transaction already
 */
export function afterMove(context: PortalContext, transfer: Transfer, { areReceiversAwake = false } = {}): void {
  const { signals } = context
  signals.publish(topics.transfer(transfer.transferId))
  signals.publish(topics.events(transfer.senderId))
  if (!areReceiversAwake) wakeReceivers(context, transfer)
  if (isFinalTransfer(transfer.state) && !isHeldInLedger(transfer)) {
    removeAll(context, transfer.transferId).catch((error: unknown) => {
      context.log.warn({ err: error, transferId: transfer.transferId }, 'parts not removed yet; the sweeper retries')
    })
  }
}

/** The receivers of this transfer look for offers, and at those that they have. */
export function wakeReceivers({ signals }: Pick<PortalContext, 'signals'>, transfer: Transfer): void {
  for (const { receiverId } of transfer.deliveries) signals.publish(topics.inbox(receiverId), transfer.transferId)
}

/** Whether the ledger has, or had, the content. If the store holds parts of it, too, the sweeper removes them. */
export function isHeldInLedger(transfer: Transfer): boolean {
  return 'heldIn' in transfer && transfer.heldIn === 'ledger'
}

/** Removes the parts of a transfer that is over. If that fails, the ledger remembers that they are still to be removed. */
export async function removeAll({ store, ledger }: PortalContext, transferId: string): Promise<void> {
  await store.remove(transferId)
  await ledger.removed(transferId)
}

/**
 * Removes parts that are about to be given up before the ledger records it, because on a full disk the ledger may need that room.
 * Called under the mutex of the transfer. It does so only if no other process can work on the parts. Otherwise the ledger decides
 * first, and the parts are removed after that.
 */
export async function makeRoom(context: PortalContext, parts: PartsKey): Promise<void> {
  if (isAlone(context)) await context.store.removeParts(parts)
}

/**
 * Whether a transfer in the ledger stays unchanged while this process holds the transfer's mutex. With a ledger in a database it may
 * change even without another portal: a commit whose answer was lost may take effect at any later time.
 */
export function isAlone({ store, ledger }: Pick<PortalContext, 'store' | 'ledger'>): boolean {
  return !store.traits.isShared && !ledger.traits.isShared
}

/** Removes parts of a generation that was given up. If this fails, the sweeper removes them when the transfer ends. */
export async function removeGivenUp({ store, log }: PortalContext, parts: PartsKey): Promise<void> {
  try {
    await store.removeParts(parts)
  } catch (error) {
    log.warn({ err: error, transferId: parts.transferId }, 'parts that were given up could not be removed')
  }
}

/** Whether parts belong, or may still come to belong, to a transfer that is not over. */
export function areAlive(transfer: Transfer | null, { generation }: PartsKey): boolean {
  return transfer !== null && !isFinalTransfer(transfer.state) && transfer.generation === generation
}
