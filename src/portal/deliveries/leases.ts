/** Who may answer for a delivery: the holder of its current lease, and the receiver that repeats the answer which ended it. */
import { backoffMs } from '../../async/index.ts'
import { type Disposition, Problem } from '../../protocol/index.ts'
import { afterMove, type PortalContext } from '../context.ts'
import type { Account, Delivery, Transfer } from '../ledger/contract.ts'

/** A request of a receiver: account, transfer, lease, and progress. */
export interface LeaseClaim {
  readonly account: Account
  readonly transferId: string
  readonly leaseId: string
  /** The bytes that the receiver holds, verified; null when it does not report them. */
  readonly heldBytes: number | null
}

/** A delivery whose lease is the claimed one. */
export interface Leased {
  readonly transfer: Transfer
  readonly delivery: Delivery & { readonly state: 'offered' }
}

/** A lease that is over without an outcome. */
export interface EndedLease {
  readonly transferId: string
  readonly receiverId: number
  readonly leaseId: string
  /** How often the file was offered, this lease included. */
  readonly offers: number
}

/**
 * The lease of an offer ran out, or its receiver gave it back: the file is offered again after a pause.
 *
 * @returns null when it was not the lease of the delivery any more
 */
export async function leaseEnded(
  context: PortalContext,
  { transferId, receiverId, leaseId, offers }: EndedLease,
): Promise<'waiting' | null> {
  const { ledger, options } = context
  const offerInMs = backoffMs(offers, { minMs: options.offerPauseMsMin, maxMs: options.offerPauseMsMax, jitter: 0 })
  const from = { state: 'offered', leaseId } as const
  const moved = await ledger.moveDelivery(transferId, receiverId, from, { state: 'waiting', offerInMs })
  if (moved === null) return null
  afterMove(context, moved)
  return 'waiting'
}

/** A claim after a wait, without the progress, which is outdated by then. */
export function waited(claim: LeaseClaim): LeaseClaim {
  return { ...claim, heldBytes: null }
}

/** @throws Problem `delivery-ended`, `lease-lost` unless the delivery has that lease */
export function requireLease(transfer: Transfer, delivery: Delivery, leaseId: string): Leased {
  if (delivery.state === 'delivered') throw new Problem('delivery-ended')
  if (delivery.state === 'failed') throw new Problem('delivery-ended', { problem: delivery.problem })
  if (delivery.state !== 'offered' || delivery.lease.leaseId !== leaseId) throw new Problem('lease-lost')
  return { transfer, delivery }
}

/**
 * Whether this is a repetition of the answer that ended the delivery, because the first response may have been lost.
 *
 * @throws Problem `manifest-mismatching` when the answer names other content than the first one
 */
export function isRepetition(transfer: Transfer, delivery: Delivery, answer: Disposition): boolean {
  const { disposition, leaseId } = answer
  if (delivery.state === 'delivered' && disposition === 'received' && delivery.leaseId === leaseId) {
    requireManifestDigest(transfer, answer.manifestDigest)
    return true
  }
  return delivery.state === 'failed' && disposition !== 'received' && delivery.leaseId === leaseId
}

/** @throws Problem `manifest-mismatching` */
export function requireManifestDigest(transfer: Transfer, manifestDigest: string): void {
  if ('manifestDigest' in transfer && transfer.manifestDigest !== manifestDigest) {
    throw new Problem('manifest-mismatching', { expected: transfer.manifestDigest })
  }
}
