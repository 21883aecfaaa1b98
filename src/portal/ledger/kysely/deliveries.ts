import { type CompiledQuery, sql } from 'kysely'
import { assertDeliveryMove, newLeaseId } from '../../../protocol/index.ts'
import type { DeliveryChange, Ledger } from '../contract.ts'
import type { Db, DeliveryRow, LedgerContext, TransferRow, Tx } from './context.ts'
import { type About, type EventContent, eventOf } from './events.ts'
import { guestsSettled } from './guest-admission.ts'
import { lockingFree } from './locks.ts'
import { prepared, together } from './prepared.ts'
import { loadRows, loadTransfer, lockRows, RENEW_BELOW, selectTransfer, toDelivery, toTransfer } from './rows.ts'
import { countTotals } from './totals.ts'
import { endOf, mustBe } from './transfers.ts'

// Literals instead of parameters, because only then a partial index can be used.
const waiting = sql.lit<'waiting'>('waiting')
const offered = sql.lit<'offered'>('offered')

/** Deliveries: offers with leases, and the method that changes their state. */
export function deliveries({
  db,
  now,
  transact,
}: LedgerContext): Pick<
  Ledger,
  | 'delivery'
  | 'deliveryAlone'
  | 'moveDelivery'
  | 'offerNext'
  | 'receiverConnected'
  | 'nextOfferInMs'
  | 'renewLease'
  | 'recordFetched'
> {
  return {
    async delivery(transferId, receiverId) {
      const transfer = await loadTransfer(db, transferId)
      const delivery = transfer?.deliveries.find((one) => one.receiverId === receiverId)
      return transfer === null || delivery === undefined ? null : { transfer, delivery }
    },

    async deliveryAlone(transferId, receiverId) {
      const [row] = await selectDelivery(db, transferId, receiverId)
      return row === undefined ? null : toDelivery(row)
    },

    async moveDelivery(transferId, receiverId, from, change) {
      assertDeliveryMove(from.state, change.state)
      if (from.state === 'waiting' && change.state === 'offered') {
        throw new Error('a delivery cannot be offered here: only offerNext gives it a lease')
      }
      return transact(async (tx) => {
        const atMs = now()
        if (change.state === 'waiting' || change.state === 'offered') {
          const rows = await loadRows(tx, transferId)
          if (rows === null) return null
          const { transfer, deliveries } = rows
          const [moved] = (await tx.executeQuery(moveOf(tx, transfer, receiverId, from, change, atMs))).rows
          return moved === undefined ? null : toTransfer(transfer, withMoved(deliveries, moved))
        }
        // The transfer is locked, because its state decides whether the outcome is notified and whether the transfer ends.
        const rows = await lockRows(tx, transferId, receiverId)
        if (rows === null) return null
        const { transfer: before, deliveries } = rows
        const delivery = deliveries.find((row) => row.receiver_id === receiverId)
        if (delivery?.state !== from.state) return null
        if (from.state === 'offered' && delivery.lease_id !== from.leaseId) return null
        // Checked after the compare: when another move was first, it may have ended the transfer.
        if (change.state === 'delivered' && before.state !== 'stored') {
          throw new Error(`a transfer that is ${before.state} cannot be delivered`)
        }
        const isLast = before.state === 'stored' && before.open_deliveries === 1
        const counted = { open_deliveries: -1, [change.state]: 1 }
        const closing = isLast ? endOf(tx, before, atMs, counted) : ([closeDelivery.with(tx, transferId)] as const)
        // Before the transfer is stored there is no second notification. `moveTransfer` writes it when the transfer is stored.
        const notified =
          before.state === 'stored' ? [eventOf(tx, aboutOf(before, atMs), outcomeOf(change, delivery.receiver))] : []
        const [[moved], [after]] = await together(
          tx,
          moveOf(tx, before, receiverId, from, change, atMs),
          ...closing,
          ...guestsSettled(tx, [delivery], change.state === 'delivered' ? 'taken' : 'failed'),
          ...notified,
          ...(isLast ? [] : [countTotals(tx, before.sender_id, counted)]),
        )
        return toTransfer(mustBe(after, before.state), withMoved(deliveries, mustBe(moved, from.state)))
      })
    },

    async offerNext(receiverId, instanceId, { leaseMs, limit, areStreamsWanted = false }) {
      assertDeliveryMove('waiting', 'offered')
      return transact(async (tx) => {
        const atMs = now()
        const due = await selectDue(tx, receiverId, atMs, limit)
        if (areStreamsWanted && due.length < limit) {
          due.push(...(await selectDueStreams(tx, receiverId, atMs, limit - due.length)))
        }
        const offers = due.map(({ transfer_id }) =>
          giveLease.with(tx, newLeaseId(), instanceId, atMs, atMs + leaseMs, transfer_id, receiverId),
        )
        const transfers = due.map(({ transfer_id }) => selectTransfer.with(tx, transfer_id))
        const rows = await together(tx, ...offers, ...transfers)
        return due.flatMap((_, index) => {
          const [transfer] = rows[due.length + index] as TransferRow[]
          return transfer === undefined ? [] : [toTransfer(transfer, rows[index] as DeliveryRow[])]
        })
      })
    },

    async receiverConnected(receiverId, instanceId) {
      assertDeliveryMove('offered', 'waiting')
      await transact(async (tx) => {
        const atMs = now()
        const own = tx
          .updateTable('deliveries')
          .set(waitingColumns(0, atMs))
          .where('receiver_id', '=', receiverId)
          .where('instance_id', '=', instanceId)
          .where('state', '=', offered)
        const putOff = tx
          .updateTable('deliveries')
          .set({ offer_at_ms: atMs })
          .where('receiver_id', '=', receiverId)
          .where('state', '=', waiting)
          // Both values, so that the index leads to the time.
          .where('size_known', 'in', [sql.lit(0), sql.lit(1)])
          .where('offer_at_ms', '>', atMs)
        await together(tx, own.compile(), putOff.compile())
      })
    },

    async nextOfferInMs(receiverId, { areStreamsWanted = false } = {}) {
      const rows = await selectNext(db, receiverId)
      if (areStreamsWanted) rows.push(...(await selectNextStream(db, receiverId)))
      return rows.length === 0 ? null : Math.max(0, Math.min(...rows.map((row) => row.offer_at_ms)) - now())
    },

    async renewLease(transferId, receiverId, leaseId, { leaseMs, fetchedBytes }) {
      const atMs = now()
      // Read first, because most renewals need no write.
      const lease = await db
        .selectFrom('deliveries')
        .select(['lease_id', 'lease_expires_at_ms'])
        .where('transfer_id', '=', transferId)
        .where('receiver_id', '=', receiverId)
        .where('state', '=', offered)
        .executeTakeFirst()
      if (lease?.lease_id !== leaseId || lease.lease_expires_at_ms === null) return false
      if (lease.lease_expires_at_ms >= atMs + leaseMs * RENEW_BELOW) return true
      const renewed = await db
        .updateTable('deliveries')
        .set({
          lease_expires_at_ms: atMs + leaseMs,
          ...(fetchedBytes === null ? {} : { fetched_bytes: fetchedBytes }),
        })
        .where('transfer_id', '=', transferId)
        .where('receiver_id', '=', receiverId)
        .where('state', '=', offered)
        .where('lease_id', '=', leaseId)
        .executeTakeFirst()
      return renewed.numUpdatedRows > 0n
    },

    async recordFetched({ transferId, receiverId, leaseId, fetchedBytes }) {
      await db
        .updateTable('deliveries')
        .set({ fetched_bytes: fetchedBytes })
        .where('transfer_id', '=', transferId)
        .where('receiver_id', '=', receiverId)
        .where('state', '=', offered)
        .where('lease_id', '=', leaseId)
        .where('fetched_bytes', '!=', fetchedBytes)
        .execute()
    },
  }
}

const selectDelivery = prepared((db, transferId: string, receiverId: number) =>
  db.selectFrom('deliveries').selectAll().where('transfer_id', '=', transferId).where('receiver_id', '=', receiverId),
)

const selectDue = dueWhere(1)
const selectDueStreams = dueWhere(0)

function dueWhere(sizeKnown: 0 | 1) {
  return prepared((db, receiverId: number, atMs: number, limit: number) =>
    db
      .selectFrom('deliveries')
      .select('transfer_id')
      .where('receiver_id', '=', receiverId)
      .where('state', '=', waiting)
      .where('size_known', '=', sql.lit(sizeKnown))
      .where('offer_at_ms', '<=', atMs)
      .orderBy('offer_at_ms')
      .limit(limit)
      .$call(lockingFree(db)),
  )
}

const selectNext = nextWhere(1)
const selectNextStream = nextWhere(0)

function nextWhere(sizeKnown: 0 | 1) {
  return prepared((db, receiverId: number) =>
    db
      .selectFrom('deliveries')
      .select('offer_at_ms')
      .where('receiver_id', '=', receiverId)
      .where('state', '=', waiting)
      .where('size_known', '=', sql.lit(sizeKnown))
      .orderBy('offer_at_ms')
      .limit(1),
  )
}

const giveLease = prepared(
  (
    db,
    leaseId: string,
    instanceId: string,
    atMs: number,
    expiresAtMs: number,
    transferId: string,
    receiverId: number,
  ) =>
    db
      .updateTable('deliveries')
      .set((eb) => ({
        state: 'offered',
        offers: eb('offers', '+', 1),
        fetched_bytes: 0,
        lease_id: leaseId,
        instance_id: instanceId,
        lease_expires_at_ms: expiresAtMs,
        offered_at_ms: eb.fn.coalesce('offered_at_ms', eb.val(atMs)),
      }))
      .where('transfer_id', '=', transferId)
      .where('receiver_id', '=', receiverId)
      .where('state', '=', waiting)
      .returningAll(),
)

type DeliveryFrom = Parameters<Ledger['moveDelivery']>[2]

/** The compare-and-set statement of a move. It gives the row of the delivery, or none. */
function moveOf(
  tx: Tx,
  { transfer_id, size_bytes }: TransferRow,
  receiverId: number,
  from: DeliveryFrom,
  change: DeliveryChange,
  atMs: number,
): CompiledQuery<DeliveryRow> {
  if (change.state === 'delivered' && from.state === 'offered') {
    return markDelivered.with(tx, size_bytes, atMs, transfer_id, receiverId, from.leaseId)
  }
  return updateOf(tx, transfer_id, receiverId, from, columnsOf(change, size_bytes, atMs))
    .$if(change.state === 'offered', (query) => query.set((eb) => ({ resends: eb('resends', '+', 1) })))
    .compile()
}

/** The move to `delivered`, with which most deliveries end. */
const markDelivered = prepared(
  (db, sizeBytes: number, atMs: number, transferId: string, receiverId: number, leaseId: string) => {
    const columns = columnsOf({ state: 'delivered' }, sizeBytes, atMs)
    return updateOf(db, transferId, receiverId, { state: 'offered', leaseId }, columns)
  },
)

function updateOf(
  db: Db,
  transferId: string,
  receiverId: number,
  from: DeliveryFrom,
  columns: ReturnType<typeof columnsOf>,
) {
  return db
    .updateTable('deliveries')
    .set(columns)
    .where('transfer_id', '=', transferId)
    .where('receiver_id', '=', receiverId)
    .where('state', '=', from.state)
    .$if(from.state === 'offered', (query) =>
      query.where('lease_id', '=', from.state === 'offered' ? from.leaseId : ''),
    )
    .returningAll()
}

function withMoved(deliveries: readonly DeliveryRow[], moved: DeliveryRow): DeliveryRow[] {
  return deliveries.map((row) => (row.receiver_id === moved.receiver_id ? moved : row))
}

/** Counts one open delivery less. */
const closeDelivery = prepared((db, transferId: string) =>
  db
    .updateTable('transfers')
    .set((eb) => ({ open_deliveries: eb('open_deliveries', '-', 1) }))
    .where('transfer_id', '=', transferId)
    .returningAll(),
)

function waitingColumns(offerInMs: number, atMs: number) {
  return {
    state: 'waiting' as const,
    offer_at_ms: atMs + offerInMs,
    lease_id: null,
    instance_id: null,
    lease_expires_at_ms: null,
  }
}

function aboutOf({ sender_id, transfer_id, attempt }: TransferRow, atMs: number): About {
  return { accountId: sender_id, transferId: transfer_id, atMs, attempt }
}

/** The event for the sender about an outcome. */
function outcomeOf(change: Extract<DeliveryChange, { state: 'delivered' | 'failed' }>, receiver: string): EventContent {
  return change.state === 'delivered'
    ? { notification: 'delivered', receiver, receipt: change.receipt }
    : { notification: 'failed', receiver, problem: change.problem }
}

function columnsOf(change: DeliveryChange | { state: 'delivered' }, sizeBytes: number, atMs: number) {
  switch (change.state) {
    case 'waiting':
      return waitingColumns(change.offerInMs, atMs)
    case 'offered':
      return { lease_expires_at_ms: atMs + change.leaseMs }
    case 'delivered':
      // The lease id stays in the row, so that a repeated answer is recognised.
      return { state: change.state, lease_expires_at_ms: null, fetched_bytes: sizeBytes, ended_at_ms: atMs }
    case 'failed':
      return {
        state: change.state,
        problem: JSON.stringify(change.problem),
        lease_expires_at_ms: null,
        ended_at_ms: atMs,
      }
  }
}
