/**
 * How many there are, by state, and how much they hold: kept exact by every move, in its transaction, so that nobody ever has to
 * count what is remembered.
 */
import { type CompiledQuery, sql } from 'kysely'
import { hasRowLocks } from './locks.ts'
import { prepared } from './prepared.ts'
import type { Db, Tx } from './rows.ts'

/** By how much a move changes each total; what is not named stays. */
export interface TotalsChange {
  /** Transfers that have not ended, and the bytes that they hold. */
  readonly transfers?: number
  readonly bytes?: number
  readonly ended?: number
  readonly refused?: number
  readonly cancelled?: number
  readonly expired?: number
  readonly openDeliveries?: number
  readonly delivered?: number
  readonly failed?: number
  readonly accounts?: number
}

/**
 * How much open transfers hold, by account and in all: kept exact by every change that opens or ends one. The statements that
 * do it, to be run by whoever holds the account's row.
 */
export function countOpen(
  tx: Tx,
  senderId: number,
  change: TotalsChange & { readonly transfers: number; readonly bytes: number },
): readonly [CompiledQuery, CompiledQuery] {
  return [addToAccount.with(tx, change.transfers, change.bytes, senderId), countTotals(tx, senderId, change)]
}

/** The statement for what changes no account. It comes last in its transaction: see `locks.ts`. */
export function countTotals(tx: Tx, accountId: number, change: TotalsChange): CompiledQuery {
  return addToTotals.with(
    tx,
    change.transfers ?? 0,
    change.bytes ?? 0,
    change.ended ?? 0,
    change.refused ?? 0,
    change.cancelled ?? 0,
    change.expired ?? 0,
    change.openDeliveries ?? 0,
    change.delivered ?? 0,
    change.failed ?? 0,
    change.accounts ?? 0,
    totalsRow(tx, accountId),
  )
}

/**
 * Where many transactions run at a time, the total is spread over rows: with one, every announcement and every end would wait for
 * the commit of the one before. Admission reads their sum without a lock, so the bound of the storage may be passed by what is
 * admitted at the same instant; that of an account never is.
 */
export const TOTALS_ROWS = 16

function totalsRow(db: Db, accountId: number): number {
  return hasRowLocks(db) ? 1 + (accountId % TOTALS_ROWS) : 1
}

const addToAccount = prepared((db, transfers: number, bytes: number, accountId: number) =>
  db
    .updateTable('accounts')
    .set((eb) => ({
      open_transfers: eb('open_transfers', '+', transfers),
      open_bytes: eb('open_bytes', '+', bytes),
    }))
    .where('account_id', '=', accountId),
)

const addToTotals = prepared(
  (
    db,
    transfers: number,
    bytes: number,
    ended: number,
    refused: number,
    cancelled: number,
    expired: number,
    openDeliveries: number,
    delivered: number,
    failed: number,
    accounts: number,
    id: number,
  ) =>
    db
      .updateTable('totals')
      .set((eb) => ({
        open_transfers: eb('open_transfers', '+', transfers),
        open_bytes: eb('open_bytes', '+', bytes),
        ended: eb('ended', '+', ended),
        refused: eb('refused', '+', refused),
        cancelled: eb('cancelled', '+', cancelled),
        expired: eb('expired', '+', expired),
        open_deliveries: eb('open_deliveries', '+', openDeliveries),
        delivered: eb('delivered', '+', delivered),
        failed: eb('failed', '+', failed),
        accounts: eb('accounts', '+', accounts),
      }))
      .where('id', '=', id),
)

export const selectTotals = prepared((db) =>
  db
    .selectFrom('totals')
    .select((eb) => [
      eb.cast<number>(eb.fn.sum('open_transfers'), 'bigint').as('open_transfers'),
      eb.cast<number>(eb.fn.sum('open_bytes'), 'bigint').as('open_bytes'),
    ])
    .where('id', '<=', sql.lit(TOTALS_ROWS)),
)

export const selectAllTotals = prepared((db) =>
  db
    .selectFrom('totals')
    .select((eb) => {
      const sumOf = <Column extends TotalsColumn>(column: Column) =>
        eb.cast<number>(eb.fn.sum(column), 'bigint').as(column)
      return [
        sumOf('open_transfers'),
        sumOf('open_bytes'),
        sumOf('ended'),
        sumOf('refused'),
        sumOf('cancelled'),
        sumOf('expired'),
        sumOf('open_deliveries'),
        sumOf('delivered'),
        sumOf('failed'),
        sumOf('accounts'),
      ]
    })
    .where('id', '<=', sql.lit(TOTALS_ROWS)),
)

type TotalsColumn =
  | 'open_transfers'
  | 'open_bytes'
  | 'ended'
  | 'refused'
  | 'cancelled'
  | 'expired'
  | 'open_deliveries'
  | 'delivered'
  | 'failed'
  | 'accounts'
