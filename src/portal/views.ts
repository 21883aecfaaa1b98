/** Converts the ledger's records to the messages of the protocol. */
import {
  type DeliveryStatus,
  type HeldPart,
  type Metadata,
  type Notification,
  type Offer,
  type ReceivedDelivery,
  type RequestOfTransfer,
  statusNotificationsBytesMax,
  type TransferStatus,
  type TransferSummary,
  wrappedKeyOf,
} from '../protocol/index.ts'
import type { Delivery, Transfer } from './ledger/contract.ts'

export function timestamp(ms: number): string {
  return new Date(ms).toISOString()
}

/** A member with a time, or none when the time is unknown. */
function time<Name extends string>(name: Name, ms: number | null): { readonly [Member in Name]?: string } {
  return ms === null ? {} : ({ [name]: timestamp(ms) } as { [Member in Name]: string })
}

/** The size, or how far a stream reaches whose size is not known. */
function sizeOf({ sizeBytes, isSizeKnown }: Transfer): { readonly sizeBytes: number; readonly isSizeKnown?: false } {
  return isSizeKnown ? { sizeBytes } : { sizeBytes, isSizeKnown }
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

/** The requests by which guests send, by the ids of the senders. */
type Requests = ReadonlyMap<number, RequestOfTransfer>

/** The request by which a transfer is sent, or none. */
function requestOf({ senderId }: Transfer, requests: Requests): { readonly request?: RequestOfTransfer } {
  const request = requests.get(senderId)
  return request === undefined ? {} : { request }
}

/** A delivery as its receiver sees it. @param transfer has only this delivery */
export function receivedDelivery(transfer: Transfer, requests: Requests): ReceivedDelivery {
  const [delivery] = transfer.deliveries
  if (delivery === undefined) throw new Error(`${transfer.transferId} has no delivery`)
  const { receiver, ...status } = deliveryStatus(delivery)
  return {
    transferId: transfer.transferId,
    from: transfer.sender,
    metadata: metadataFor(receiver, transfer.metadata),
    ...sizeOf(transfer),
    partSizeBytes: transfer.partSizeBytes,
    digestAlgorithm: transfer.digestAlgorithm,
    createdAt: timestamp(transfer.createdAtMs),
    expiresAt: timestamp(transfer.expiresAtMs),
    ...storedAt(transfer),
    ...status,
    ...requestOf(transfer, requests),
  }
}

/** Metadata with only the wrapped key of this receiver. Otherwise a page of files for many receivers would consist mostly of keys. */
function metadataFor(receiver: string, metadata: Metadata): Metadata {
  const key = wrappedKeyOf(metadata, receiver)
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
    ...sizeOf(transfer),
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
  upload: TransferStatus['upload'] | null = null,
): TransferStatus {
  const parts: HeldPart[] = [...held].sort(([a], [b]) => a - b).map(([partNumber, digest]) => ({ partNumber, digest }))
  const manifest = transfer.state === 'stored' || transfer.state === 'ended' ? transfer.manifest : null
  return {
    ...transferSummary(transfer),
    manifest,
    parts,
    ...(upload === null ? {} : { upload }),
    notifications: newestWithin(notifications, statusNotificationsBytesMax),
  }
}

/** The newest items that fit into `bytesMax`, oldest first. */
function newestWithin<Item>(items: readonly Item[], bytesMax: number): Item[] {
  let bytes = 0
  const tooOld = items.findLastIndex((item) => {
    bytes += Buffer.byteLength(JSON.stringify(item))
    return bytes > bytesMax
  })
  return items.slice(tooOld + 1)
}

/** @returns null when the delivery is not on offer */
export function offerOf(
  transfer: Transfer,
  delivery: Delivery,
  { leaseMs, requests }: { readonly leaseMs: number; readonly requests: Requests },
): Offer | null {
  if (delivery.state !== 'offered' || (transfer.state !== 'receiving' && transfer.state !== 'stored')) return null
  return {
    transferId: transfer.transferId,
    leaseId: delivery.lease.leaseId,
    leaseMs,
    state: transfer.state,
    from: transfer.sender,
    metadata: transfer.metadata,
    ...sizeOf(transfer),
    partSizeBytes: transfer.partSizeBytes,
    digestAlgorithm: transfer.digestAlgorithm,
    manifestDigest: transfer.state === 'stored' ? transfer.manifestDigest : null,
    manifest: transfer.state === 'stored' ? transfer.manifest : null,
    expiresAt: timestamp(transfer.expiresAtMs),
    ...requestOf(transfer, requests),
  }
}
