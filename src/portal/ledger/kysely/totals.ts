/**
 * Totals: the number of transfers and deliveries by state, and their bytes. Every move updates them in its transaction, so
 * that the rows never have to be counted.
 */
import { type CompiledQuery, sql } from 'kysely'
import type { Db, TransferRow, Tx } from './context.ts'
import { hasRowLocks } from './locks.ts'
import { prepared } from './prepared.ts'

const totalsColumns = [
  // Transfers that have not ended, and their bytes.
  'open_transfers',
  'open_bytes',
  // Ended transfers that are still remembered.
  'ended',
  'refused',
  'cancelled',
  'expired',
  'open_deliveries',
  'delivered',
  'failed',
  'accounts',
] as const
type Totals = Readonly<Record<(typeof totalsColumns)[number], number>>

/** The change of each total by a move. Missing ones do not change. */
export type TotalsChange = Partial<Totals>

const noChange = Object.fromEntries(totalsColumns.map((column) => [column, 0])) as Totals

/**
 * The statements that count a transfer that is opened or ended, in the totals of its account, of the owner of its guests, and of the
 * portal. The caller has locked the rows of both accounts, if it opens the transfer.
 */
export function countOpen(
  tx: Tx,
  { sender_id, guest_owner_id }: Pick<TransferRow, 'sender_id' | 'guest_owner_id'>,
  change: TotalsChange & Pick<Totals, 'open_transfers' | 'open_bytes'>,
): readonly CompiledQuery[] {
  return [
    addToAccount.with(tx, change.open_transfers, change.open_bytes, sender_id),
    ...(guest_owner_id === null ? [] : [addGuestBytes.with(tx, change.open_bytes, guest_owner_id)]),
    countTotals(tx, sender_id, change),
  ]
}

/** The statement that changes only the totals of the portal. It comes last in its transaction: see `locks.ts`. */
export function countTotals(tx: Tx, accountId: number, change: TotalsChange): CompiledQuery {
  return addToTotals.with(tx, { ...noChange, ...change }, totalsRow(tx, accountId))
}

/**
 * In PostgreSQL the totals are spread over this many rows. With one row, every announcement would wait for the commit of the one
 * before. Admission reads the sum without a lock, so transfers admitted at the same moment may exceed the bound of the storage.
 * The bound of an account is exact.
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

const addGuestBytes = prepared((db, bytes: number, ownerId: number) =>
  db
    .updateTable('accounts')
    .set((eb) => ({ guest_bytes: eb('guest_bytes', '+', bytes) }))
    .where('account_id', '=', ownerId),
)

const addToTotals = prepared((db, change: Totals, id: number) =>
  db
    .updateTable('totals')
    .set((eb) => Object.fromEntries(totalsColumns.map((column) => [column, eb(column, '+', change[column])])))
    .where('id', '=', id),
)

export const selectTotals = sumOf(['open_transfers', 'open_bytes'])

export const selectAllTotals = sumOf(totalsColumns)

function sumOf<Column extends keyof Totals>(columns: readonly Column[]) {
  return prepared((db) =>
    db
      .selectFrom('totals')
      .select((eb) => columns.map((column) => eb.cast<number>(eb.fn.sum(column), 'bigint').as(column)))
      .where('id', '<=', sql.lit(TOTALS_ROWS)),
  )
}
