import { sql } from 'kysely'
import { type DeliveryState, isGuestName, type TransferState } from '../../../protocol/index.ts'
import type { Ledger } from '../contract.ts'
import type { LedgerContext } from './context.ts'
import { forgetGuests, forgetRequests } from './guest-rows.ts'
import { lockingFree } from './locks.ts'
import { withDeliveries } from './rows.ts'
import { countedMs } from './time.ts'
import { countTotals, selectTotals, type TotalsChange } from './totals.ts'

const DAY_MS = 24 * 60 * 60 * 1000
/** No account has this id. It is used where a change of the totals belongs to no single account. */
const NOBODY = 0

/** The sweeper's queries. Each walks one partial index, oldest first. */
export function sweeps(
  context: LedgerContext,
): Pick<
  Ledger,
  | 'dueUploads'
  | 'dueLeases'
  | 'dueExpiries'
  | 'dueRevocations'
  | 'openWith'
  | 'revocationSettled'
  | 'dueRemovals'
  | 'removed'
  | 'prune'
  | 'totals'
> {
  const { db, now, transact } = context
  return {
    async dueUploads(limit) {
      const rows = await db
        .selectFrom('transfers')
        .selectAll()
        .where('state', '=', sql.lit('receiving'))
        .where('upload_deadline_ms', '<=', now())
        .orderBy('upload_deadline_ms')
        .limit(limit)
        .execute()
      return Promise.all(rows.map((row) => withDeliveries(db, row)))
    },

    async dueLeases(limit) {
      const rows = await db
        .selectFrom('deliveries')
        .select(['transfer_id', 'receiver_id', 'lease_id', 'offers'])
        .where('state', '=', sql.lit('offered'))
        .where('lease_expires_at_ms', '<=', now())
        .orderBy('lease_expires_at_ms')
        .limit(limit)
        .execute()
      return rows.flatMap(({ transfer_id, receiver_id, lease_id, offers }) =>
        lease_id === null ? [] : [{ transferId: transfer_id, receiverId: receiver_id, leaseId: lease_id, offers }],
      )
    },

    async dueExpiries(limit) {
      const rows = await db
        .selectFrom('transfers')
        .selectAll()
        .where('state', 'in', sql<'receiving' | 'stored'>`('receiving', 'stored')`)
        .where('expires_at_ms', '<=', now())
        .orderBy('expires_at_ms')
        .limit(limit)
        .execute()
      return Promise.all(rows.map((row) => withDeliveries(db, row)))
    },

    async dueRevocations(limit) {
      const rows = await db
        .selectFrom('accounts')
        .select(['account_id', 'name', 'revoked_at_ms', 'expires_at_ms'])
        .where('revocation_due', '=', sql.lit(1))
        .where('revoked_at_ms', 'is not', null)
        .orderBy('revoked_at_ms')
        .limit(limit)
        .execute()
      return rows.flatMap(({ account_id, name, revoked_at_ms, expires_at_ms }) => {
        if (revoked_at_ms === null) return []
        const isExpired = expires_at_ms !== null && expires_at_ms <= revoked_at_ms
        return [{ accountId: account_id, name, revokedAtMs: revoked_at_ms, isExpired }]
      })
    },

    async openWith(accountId, limit) {
      const uploads = await db
        .selectFrom('transfers')
        .select('transfer_id')
        .where('sender_id', '=', accountId)
        .where('state', '=', sql.lit('receiving'))
        .limit(limit)
        .execute()
      const deliveries: string[] = []
      // Ordered like an index that begins with the receiver. Otherwise PostgreSQL might walk through the deliveries of all receivers.
      for (const [state, order] of [
        [sql.lit<'waiting'>('waiting'), 'size_known'],
        [sql.lit<'offered'>('offered'), 'instance_id'],
      ] as const) {
        const rows = await db
          .selectFrom('deliveries')
          .select('transfer_id')
          .where('receiver_id', '=', accountId)
          .where('state', '=', state)
          .orderBy(order)
          .limit(limit)
          .execute()
        deliveries.push(...rows.map((row) => row.transfer_id))
      }
      return { uploads: uploads.map((row) => row.transfer_id), deliveries }
    },

    async revocationSettled({ accountId, revokedAtMs }) {
      await db
        .updateTable('accounts')
        .set({ revocation_due: 0 })
        .where('account_id', '=', accountId)
        .where('revoked_at_ms', '=', revokedAtMs)
        .execute()
    },

    async dueRemovals(limit) {
      const rows = await db
        .selectFrom('transfers')
        .select('transfer_id')
        .where('parts_held', '=', sql.lit(1))
        .where('ended_at_ms', 'is not', null)
        .orderBy('ended_at_ms')
        .limit(limit)
        .execute()
      return rows.map((row) => row.transfer_id)
    },

    async removed(transferId) {
      await db.updateTable('transfers').set({ parts_held: 0 }).where('transfer_id', '=', transferId).execute()
    },

    async prune(historyMs, limit) {
      const countedAtMs = await countedMs(context)
      const beforeMs = countedAtMs - historyMs
      return transact(async (tx) => {
        const rows = await tx
          .selectFrom('transfers')
          .select(['transfer_id', 'state', 'sender', 'sender_id'])
          .where('parts_held', '=', sql.lit(0))
          .where('ended_at_ms', '<=', beforeMs)
          .orderBy('ended_at_ms')
          .limit(limit)
          .$call(lockingFree(tx))
          .execute()
        const states: (TransferState | DeliveryState)[] = []
        const guestIds: number[] = []
        for (const { transfer_id, state, sender, sender_id } of rows) {
          const deliveries = await tx
            .deleteFrom('deliveries')
            .where('transfer_id', '=', transfer_id)
            .returning(['state', 'receiver', 'receiver_id'])
            .execute()
          await tx.deleteFrom('transfers').where('transfer_id', '=', transfer_id).execute()
          states.push(state, ...deliveries.map((delivery) => delivery.state))
          if (isGuestName(sender)) guestIds.push(sender_id)
          guestIds.push(...deliveries.flatMap((one) => (isGuestName(one.receiver) ? [one.receiver_id] : [])))
        }
        await tx.deleteFrom('invites').where('expires_at_ms', '<=', beforeMs).execute()
        await tx.deleteFrom('account_changes').where('at_ms', '<=', beforeMs).execute()
        const madeBeforeMs = countedAtMs - DAY_MS
        await forgetGuests(tx, guestIds, { madeBeforeMs, limit })
        await forgetRequests(tx, beforeMs, madeBeforeMs)
        if (rows.length > 0) await tx.executeQuery(countTotals(tx, NOBODY, forgottenOf(states)))
        return rows.length
      })
    },

    async totals() {
      const [row] = await selectTotals(db)
      if (row === undefined) throw new Error('the ledger has no totals')
      return { openTransfers: row.open_transfers, openBytes: row.open_bytes }
    },
  }
}

/** The change of the totals when rows in these states are deleted. Only ended ones are deleted. */
function forgottenOf(states: readonly (TransferState | DeliveryState)[]): TotalsChange {
  const minus = (state: TransferState | DeliveryState): number => -states.filter((one) => one === state).length
  return {
    ended: minus('ended'),
    refused: minus('refused'),
    cancelled: minus('cancelled'),
    expired: minus('expired'),
    delivered: minus('delivered'),
    failed: minus('failed'),
  }
}
