/** Converts rows of the database to records of the contract. */
import type { Notification, ProblemJson } from '../../../protocol/index.ts'
import type { Delivery, Transfer } from '../contract.ts'
import type { Db, DeliveryRow, EventRow, TransferRow, Tx } from './context.ts'
import { eventIdOf } from './event-ids.ts'
import { locking } from './locks.ts'
import { prepared, together } from './prepared.ts'

/** A deadline is extended only when less than this share of its time is left, so that most renewals cost no write. */
export const RENEW_BELOW = 0.75

/** The value of `one_request` of a transfer that later requests may continue. */
export const RESUMABLE = 2

/** The value of a column that must be set in this state. */
function must<T>(value: T | null, column: string): T {
  if (value === null) throw new Error(`the ledger has no ${column} where the state needs one`)
  return value
}

/** A delivery from its row. */
export function toDelivery(row: DeliveryRow): Delivery {
  const base = {
    receiverId: row.receiver_id,
    receiver: row.receiver,
    offers: row.offers,
    resends: row.resends,
    fetchedBytes: row.fetched_bytes,
    offeredAtMs: row.offered_at_ms,
  }
  switch (row.state) {
    case 'waiting':
      return { ...base, state: row.state, offerAtMs: row.offer_at_ms }
    case 'offered': {
      const lease = {
        leaseId: must(row.lease_id, 'lease_id'),
        instanceId: must(row.instance_id, 'instance_id'),
        expiresAtMs: must(row.lease_expires_at_ms, 'lease_expires_at_ms'),
      }
      return { ...base, state: row.state, lease }
    }
    case 'delivered':
      return {
        ...base,
        state: row.state,
        leaseId: must(row.lease_id, 'lease_id'),
        endedAtMs: row.ended_at_ms,
      }
    case 'failed':
      return {
        ...base,
        state: row.state,
        leaseId: row.lease_id,
        problem: JSON.parse(must(row.problem, 'problem')),
        endedAtMs: row.ended_at_ms,
      }
  }
}

/** A transfer from its rows. */
export function toTransfer(row: TransferRow, deliveries: readonly DeliveryRow[]): Transfer {
  const base = {
    transferId: row.transfer_id,
    senderId: row.sender_id,
    sender: row.sender,
    attempt: row.attempt,
    metadata: JSON.parse(row.metadata),
    sizeBytes: row.size_bytes,
    isSizeKnown: row.size_known === 1,
    partSizeBytes: row.part_size_bytes,
    digestAlgorithm: row.digest_algorithm,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
    isOneRequest: row.one_request > 0,
    generation: row.generation,
    endedAtMs: row.ended_at_ms,
    deliveries: deliveries.map(toDelivery),
  }
  switch (row.state) {
    case 'receiving':
      return { ...base, state: row.state, uploadDeadlineMs: row.upload_deadline_ms }
    case 'stored':
    case 'ended':
      return {
        ...base,
        state: row.state,
        manifestDigest: must(row.manifest_digest, 'manifest_digest'),
        manifest: row.manifest,
        heldIn: row.held_in_ledger === 1 ? 'ledger' : 'store',
        storedAtMs: row.stored_at_ms,
      }
    case 'refused':
    case 'cancelled':
    case 'expired':
      return { ...base, state: row.state, problem: JSON.parse(must(row.problem, 'problem')) }
  }
}

export const selectTransfer = prepared((db, transferId: string) =>
  db.selectFrom('transfers').selectAll().where('transfer_id', '=', transferId),
)

const lockTransfer = prepared((db, transferId: string) =>
  db.selectFrom('transfers').selectAll().where('transfer_id', '=', transferId).$call(locking(db, 'change')),
)

const lockDelivery = prepared((db, transferId: string, receiverId: number) =>
  db
    .selectFrom('deliveries')
    .select('state')
    .where('transfer_id', '=', transferId)
    .where('receiver_id', '=', receiverId)
    .$call(locking(db, 'change')),
)

export const selectDeliveries = prepared((db, transferId: string) =>
  db.selectFrom('deliveries').selectAll().where('transfer_id', '=', transferId).orderBy('receiver_id'),
)

/** The rows of a transfer and its deliveries, in the announced order; null when there is no such transfer. */
export async function loadRows(
  db: Db,
  transferId: string,
): Promise<{ transfer: TransferRow; deliveries: DeliveryRow[] } | null> {
  const [[transfer], deliveries] = await together(
    db,
    selectTransfer.with(db, transferId),
    selectDeliveries.with(db, transferId),
  )
  return transfer === undefined ? null : { transfer, deliveries }
}

/** Like `loadRows`, and locks the transfer until the transaction ends. */
export async function lockTransferRows(tx: Tx, transferId: string): ReturnType<typeof loadRows> {
  const [[transfer], deliveries] = await together(
    tx,
    lockTransfer.with(tx, transferId),
    selectDeliveries.with(tx, transferId),
  )
  return transfer === undefined ? null : { transfer, deliveries }
}

/** Like `loadRows`, and locks the transfer and the delivery to one receiver until the transaction ends. */
export async function lockRows(
  tx: Tx,
  transferId: string,
  receiverId: number,
): Promise<{ transfer: TransferRow; deliveries: DeliveryRow[] } | null> {
  const [[transfer], , deliveries] = await together(
    tx,
    lockTransfer.with(tx, transferId),
    lockDelivery.with(tx, transferId, receiverId),
    selectDeliveries.with(tx, transferId),
  )
  return transfer === undefined ? null : { transfer, deliveries }
}

/** A transfer with its deliveries; null when there is none. */
export async function loadTransfer(db: Db, transferId: string): Promise<Transfer | null> {
  const rows = await loadRows(db, transferId)
  return rows === null ? null : toTransfer(rows.transfer, rows.deliveries)
}

/** A transfer row with its deliveries. */
export async function withDeliveries(db: Db, row: TransferRow): Promise<Transfer> {
  return toTransfer(row, await selectDeliveries(db, row.transfer_id))
}

/** An event as clients get it. */
export function toNotification(row: EventRow): Notification {
  const base = {
    eventId: eventIdOf(row),
    at: new Date(row.at_ms).toISOString(),
    transferId: row.transfer_id,
    attempt: row.attempt,
  }
  const problem = (): ProblemJson => JSON.parse(must(row.problem, 'problem'))
  switch (row.notification) {
    case 'stored':
      return { ...base, notification: row.notification }
    case 'resend':
      return {
        ...base,
        notification: row.notification,
        problem: problem(),
        wanted: JSON.parse(must(row.wanted, 'wanted')),
      }
    case 'refused':
      return { ...base, notification: row.notification, problem: problem() }
    case 'delivered':
      return {
        ...base,
        notification: row.notification,
        receiver: must(row.receiver, 'receiver'),
        ...(row.receipt === null ? {} : { receipt: row.receipt }),
      }
    case 'failed':
      return { ...base, notification: row.notification, receiver: must(row.receiver, 'receiver'), problem: problem() }
  }
}
