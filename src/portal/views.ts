/** From the ledger's records to what travels. */
import type {
  DeliveryStatus,
  HeldPart,
  Notification,
  Offer,
  TransferStatus,
  TransferSummary,
} from '../protocol/index.ts'
import type { Delivery, Transfer } from './ledger/contract.ts'

function timestamp(ms: number): string {
  return new Date(ms).toISOString()
}

function deliveryStatus(delivery: Delivery): DeliveryStatus {
  const { receiver, state, fetchedBytes, offers } = delivery
  return {
    receiver,
    state,
    fetchedBytes,
    offers,
    ...(delivery.state === 'failed' ? { problem: delivery.problem } : {}),
  }
}

export function transferSummary(transfer: Transfer): TransferSummary {
  return {
    transferId: transfer.transferId,
    state: transfer.state,
    attempt: transfer.attempt,
    from: transfer.sender,
    to: transfer.deliveries.map((delivery) => delivery.receiver),
    metadata: transfer.metadata,
    sizeBytes: transfer.sizeBytes,
    partSizeBytes: transfer.partSizeBytes,
    digestAlgorithm: transfer.digestAlgorithm,
    createdAt: timestamp(transfer.createdAtMs),
    expiresAt: timestamp(transfer.expiresAtMs),
    deliveries: transfer.deliveries.map(deliveryStatus),
  }
}

export function transferStatus(
  transfer: Transfer,
  held: ReadonlyMap<number, string>,
  notifications: readonly Notification[],
): TransferStatus {
  const parts: HeldPart[] = [...held].sort(([a], [b]) => a - b).map(([partNumber, digest]) => ({ partNumber, digest }))
  const manifest = transfer.state === 'stored' || transfer.state === 'ended' ? transfer.manifest : null
  return { ...transferSummary(transfer), manifest, parts, notifications: [...notifications] }
}

/** @returns null when the delivery is not on offer */
export function offerOf(transfer: Transfer, delivery: Delivery, leaseMs: number): Offer | null {
  if (delivery.state !== 'offered' || (transfer.state !== 'receiving' && transfer.state !== 'stored')) return null
  return {
    transferId: transfer.transferId,
    leaseId: delivery.lease.leaseId,
    leaseMs,
    state: transfer.state,
    from: transfer.sender,
    metadata: transfer.metadata,
    sizeBytes: transfer.sizeBytes,
    partSizeBytes: transfer.partSizeBytes,
    digestAlgorithm: transfer.digestAlgorithm,
    manifestDigest: transfer.state === 'stored' ? transfer.manifestDigest : null,
    manifest: transfer.state === 'stored' ? transfer.manifest : null,
    expiresAt: timestamp(transfer.expiresAtMs),
  }
}
