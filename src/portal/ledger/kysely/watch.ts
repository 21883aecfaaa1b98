/** Queries for people who watch the portal. Each walks one index, and no delivery depends on them. */
import { sql } from 'kysely'
import type { ConnectedReceiver, Minute, WatchLedger } from '../watch-contract.ts'
import type { LedgerContext } from './context.ts'
import { prepared, together } from './prepared.ts'
import { RESUMABLE, toTransfer } from './rows.ts'
import { selectAllTotals } from './totals.ts'

/** The largest number of minute rows that are added up: an hour of many portals. */
const MINUTE_ROWS_MAX = 10_000

export function watch({ db, now, transact }: LedgerContext): WatchLedger {
  return {
    async transfersTo(receiverId, { before, limit }) {
      const deliveries = await db
        .selectFrom('deliveries')
        .selectAll()
        .where('receiver_id', '=', receiverId)
        // Written exactly like the condition of the index.
        .where(sql<boolean>`(state <> 'failed' or offers > 0)`)
        .$if(before !== null, (query) => query.where('transfer_id', '<', before ?? ''))
        .orderBy('transfer_id', 'desc')
        .limit(limit)
        .execute()
      if (deliveries.length === 0) return []
      const transfers = await db
        .selectFrom('transfers')
        .selectAll()
        .where(
          'transfer_id',
          'in',
          deliveries.map((row) => row.transfer_id),
        )
        .execute()
      const byId = new Map(transfers.map((row) => [row.transfer_id, row]))
      return deliveries.flatMap((delivery) => {
        const transfer = byId.get(delivery.transfer_id)
        return transfer === undefined ? [] : [toTransfer(transfer, [delivery])]
      })
    },

    async census() {
      const [[totals], [receiving], [offered], [resumable]] = await together(
        db,
        selectAllTotals.with(db),
        countReceiving.with(db),
        countOffered.with(db),
        countResumable.with(db),
      )
      if (totals === undefined) throw new Error('the ledger has no totals')
      const { ended, refused, cancelled, expired, delivered, failed } = totals
      const receivingCount = receiving?.count ?? 0
      const offeredCount = offered?.count ?? 0
      // The three statements run at different moments, so a difference could become negative.
      return {
        transfers: {
          receiving: receivingCount,
          stored: Math.max(0, totals.open_transfers - receivingCount),
          ended,
          refused,
          cancelled,
          expired,
        },
        deliveries: {
          waiting: Math.max(0, totals.open_deliveries - offeredCount),
          offered: offeredCount,
          delivered,
          failed,
        },
        openBytes: totals.open_bytes,
        accounts: totals.accounts,
        resumable: resumable?.count ?? 0,
      }
    },

    async problems(limit) {
      const events = await db
        .selectFrom('events')
        .select(['account_id', 'transfer_id', 'at_ms', 'notification', 'receiver', 'problem'])
        .where('problem', 'is not', null)
        .where('at_ms', '>', 0)
        .orderBy('at_ms', 'desc')
        .limit(limit)
        .execute()
      if (events.length === 0) return []
      const senders = await db
        .selectFrom('accounts')
        .select(['account_id', 'name'])
        .where('account_id', 'in', [...new Set(events.map((row) => row.account_id))])
        .execute()
      const names = new Map(senders.map((row) => [row.account_id, row.name]))
      return events.map((row) => ({
        atMs: row.at_ms,
        transferId: row.transfer_id,
        sender: names.get(row.account_id) ?? '',
        receiver: row.receiver,
        notification: row.notification,
        code: codeOf(row.problem),
      }))
    },

    async recordHeartbeat({ portalId, node, sinceMs, receivers }, minutes, { forgetMs }) {
      return transact(async (tx) => {
        const atMs = now()
        const before = await tx
          .selectFrom('portals')
          .select('seen_ms')
          .where('portal_id', '=', portalId)
          .executeTakeFirst()
        const seen = {
          node,
          since_ms: sinceMs,
          seen_ms: atMs,
          receiver_count: receivers.count,
          receivers: JSON.stringify(receivers.named.map((one) => [one.account, one.sinceMs])),
        }
        await tx
          .insertInto('portals')
          .values({ portal_id: portalId, ...seen })
          .onConflict((conflict) => conflict.column('portal_id').doUpdateSet(seen))
          .execute()
        for (const minute of minutes) {
          const moved = {
            stored_bytes: minute.storedBytes,
            delivered_bytes: minute.deliveredBytes,
            stored_count: minute.storedCount,
            delivered_count: minute.deliveredCount,
          }
          await tx
            .insertInto('minutes')
            .values({ at_ms: minute.atMs, portal_id: portalId, ...moved })
            .onConflict((conflict) => conflict.columns(['at_ms', 'portal_id']).doUpdateSet(moved))
            .execute()
        }
        await tx
          .deleteFrom('portals')
          .where('seen_ms', '<', atMs - forgetMs)
          .execute()
        await tx
          .deleteFrom('minutes')
          .where('at_ms', '<', atMs - forgetMs)
          .execute()
        return { atMs, beforeMs: before?.seen_ms ?? null }
      })
    },

    async portalGone(portalId) {
      await db.deleteFrom('portals').where('portal_id', '=', portalId).execute()
    },

    async portals(silentMs, limit) {
      const rows = await db
        .selectFrom('portals')
        .selectAll()
        .where('seen_ms', '>=', now() - silentMs)
        .limit(limit)
        .execute()
      return rows
        .map((row) => ({
          portalId: row.portal_id,
          node: row.node,
          sinceMs: row.since_ms,
          seenAtMs: row.seen_ms,
          receivers: { count: row.receiver_count, named: toReceivers(row.receivers) },
        }))
        .sort((one, other) => one.sinceMs - other.sinceMs)
    },

    async minutes(pastMs) {
      const rows = await db
        .selectFrom('minutes')
        .selectAll()
        .where('at_ms', '>', now() - pastMs)
        .orderBy('at_ms')
        .limit(MINUTE_ROWS_MAX)
        .execute()
      const sums = new Map<number, Minute>()
      for (const row of rows) {
        const sum = sums.get(row.at_ms)
        sums.set(row.at_ms, {
          atMs: row.at_ms,
          storedBytes: (sum?.storedBytes ?? 0) + row.stored_bytes,
          deliveredBytes: (sum?.deliveredBytes ?? 0) + row.delivered_bytes,
          storedCount: (sum?.storedCount ?? 0) + row.stored_count,
          deliveredCount: (sum?.deliveredCount ?? 0) + row.delivered_count,
        })
      }
      return [...sums.values()]
    },
  }
}

// The comparison with 0 makes each of them use only its index.
const countReceiving = prepared((db) =>
  db
    .selectFrom('transfers')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('state', '=', sql.lit('receiving'))
    .where('sender_id', '>', sql.lit(0)),
)

const countOffered = prepared((db) =>
  db
    .selectFrom('deliveries')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('state', '=', sql.lit('offered'))
    .where('lease_expires_at_ms', '>', sql.lit(0)),
)

const countResumable = prepared((db) =>
  db
    .selectFrom('transfers')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('state', '=', sql.lit('receiving'))
    .where('one_request', '=', sql.lit(RESUMABLE))
    .where('sender_id', '>', sql.lit(0)),
)

function codeOf(problem: string | null): string {
  return problem === null ? '' : String(JSON.parse(problem).code)
}

function toReceivers(text: string): ConnectedReceiver[] {
  const pairs: [string, number][] = JSON.parse(text)
  return pairs.map(([account, sinceMs]) => ({ account, sinceMs }))
}
