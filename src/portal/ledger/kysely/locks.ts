/**
 * Row locks. PostgreSQL runs many transactions at a time, and each statement sees the data that was committed when it began (READ
 * COMMITTED). So a transaction that decides by a row locks that row until its commit. SQLite has only one writer and needs no
 * locks.
 *
 * Locks are taken in one order, which prevents deadlocks: a transfer, its deliveries, accounts, totals. A mistake in the order leads to
 * a repeated transaction, never to a wrong answer.
 *
 * - `change`: this transaction will change the row, or needs it unchanged. Excludes other `change` locks.
 * - `remove`: excludes all other locks. Waits for transactions that refer to the row.
 * - `refer`: the row must not be removed. Any number of `refer` locks are compatible, also with one `change`.
 */
import { PostgresAdapter, type SelectQueryBuilder, sql } from 'kysely'
import type { Db, Tx } from './context.ts'

export type LockMode = 'change' | 'remove' | 'refer'

/** Whether the database runs many transactions at a time. */
export function hasRowLocks(db: Db): boolean {
  return db.getExecutor().adapter instanceof PostgresAdapter
}

/** Locks the rows of a query. Waits for transactions that hold them, and gives the rows as they are afterwards. */
export function locking<Tables, Names extends keyof Tables, Row>(
  db: Db,
  mode: LockMode,
): (query: SelectQueryBuilder<Tables, Names, Row>) => SelectQueryBuilder<Tables, Names, Row> {
  return (query) => {
    if (!hasRowLocks(db)) return query
    if (mode === 'change') return query.forNoKeyUpdate()
    return mode === 'remove' ? query.forUpdate() : query.forKeyShare()
  }
}

/** Locks the rows of a query, and leaves out rows that another transaction holds. */
export function lockingFree<Tables, Names extends keyof Tables, Row>(
  db: Db,
): (query: SelectQueryBuilder<Tables, Names, Row>) => SelectQueryBuilder<Tables, Names, Row> {
  return (query) => (hasRowLocks(db) ? query.forNoKeyUpdate().skipLocked() : query)
}

/** The arbitrary fixed number of the advisory lock for changes of accounts. */
const ACCOUNT_CHANGES_LOCK = 7_464_601

/**
 * Allows one change of accounts at a time. They are rare. So the bound of open invites is exact, and changes become visible in
 * the order of their ids.
 */
export async function lockAccountChanges(tx: Tx): Promise<void> {
  if (hasRowLocks(tx)) await sql`select pg_advisory_xact_lock(${sql.lit(ACCOUNT_CHANGES_LOCK)})`.execute(tx)
}
