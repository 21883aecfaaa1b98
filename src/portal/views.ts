/** From the ledger's records to what travels. */
import type {
  DeliveryStatus,
  HeldPart,
  Metadata,
  Notification,
  Offer,
  ReceivedDelivery,
  TransferStatus,
  TransferSummary,
} from '../protocol/index.ts'
import type { Delivery, Transfer } from './ledger/contract.ts'

export function timestamp(ms: number): string {
  return new Date(ms).toISOString()
}

/** A member for a time that is known. */
function time<Name extends string>(name: Name, ms: number | null): { readonly [Member in Name]?: string } {
  return ms === null ? {} : ({ [name]: timestamp(ms) } as { [Member in Name]: string })
}

function storedAt(transfer: Transfer): { readonly storedAt?: string } {
  return 'storedAtMs' in transfer ? time('storedAt', transfer.storedAtMs) : {}
}

function deliveryTimes(delivery: Delivery): Pick<DeliveryStatus, 'offeredAt' | 'endedAt'> {
  const endedAtMs = 'endedAtMs' in delivery ? delivery.endedAtMs : null
  return { ...time('offeredAt', delivery.offeredAtMs), ...time('endedAt', endedAtMs) }
}

function deliveryStatus(delivery: Delivery): DeliveryStatus {
  const { receiver, state, fetchedBytes, offers } = delivery
  return {
    receiver,
    state,
    fetchedBytes,
    offers,
    ...(delivery.state === 'failed' ? { problem: delivery.problem } : {}),
    ...deliveryTimes(delivery),
  }
}

/** A delivery as its receiver sees it. @param transfer of which it has that delivery alone */
export function receivedDelivery(transfer: Transfer): ReceivedDelivery {
  const [delivery] = transfer.deliveries
  if (delivery === undefined) throw new Error(`${transfer.transferId} has no delivery`)
  const { receiver, ...status } = deliveryStatus(delivery)
  return {
    transferId: transfer.transferId,
    from: transfer.sender,
    metadata: metadataFor(receiver, transfer.metadata),
    sizeBytes: transfer.sizeBytes,
    partSizeBytes: transfer.partSizeBytes,
    digestAlgorithm: transfer.digestAlgorithm,
    createdAt: timestamp(transfer.createdAtMs),
    expiresAt: timestamp(transfer.expiresAtMs),
    ...storedAt(transfer),
    ...status,
  }
}

/** Of a seal only the key that its receiver can open: a page of files for many would be mostly keys of others. */
function metadataFor(receiver: string, metadata: Metadata): Metadata {
  const key = 'sealed' in metadata ? metadata.keys[receiver] : undefined
  return 'sealed' in metadata && key !== undefined ? { sealed: metadata.sealed, keys: { [receiver]: key } } : metadata
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
    ...storedAt(transfer),
    ...time('endedAt', transfer.endedAtMs),
    ...('problem' in transfer ? { problem: transfer.problem } : {}),
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
