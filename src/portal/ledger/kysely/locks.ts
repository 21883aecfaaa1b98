/**
 * Row locks. PostgreSQL runs many transactions at a time, each statement of which sees what was committed when it began (READ
 * COMMITTED). So whoever decides by what a row says holds the lock of that row until its commit. SQLite has one writer, and
 * there is nothing to lock.
 *
 * Locks are taken in one order, so that nobody waits in a circle: a transfer, its deliveries, accounts, totals. Whoever breaks
 * it by mistake costs a transaction that is run again, never a wrong answer.
 *
 * - `change`: this row is going to change, or must not change. Two of them exclude each other.
 * - `remove`: nobody may even refer to the row. It waits for everybody who does.
 * - `refer`: the row stays what it is to those who refer to it. Any number of them go together, and with one `change`.
 */
import { PostgresAdapter, type SelectQueryBuilder, sql } from 'kysely'
import type { Db, Tx } from './rows.ts'

export type LockMode = 'change' | 'remove' | 'refer'

/** Whether many transactions run at a time. */
export function hasRowLocks(db: Db): boolean {
  return db.getExecutor().adapter instanceof PostgresAdapter
}

/** Locks the rows that a query finds: it waits for whoever holds them, and finds them as they are then. */
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

/** Locks the rows that a query finds, and leaves out those that somebody else holds. */
export function lockingFree<Tables, Names extends keyof Tables, Row>(
  db: Db,
): (query: SelectQueryBuilder<Tables, Names, Row>) => SelectQueryBuilder<Tables, Names, Row> {
  return (query) => (hasRowLocks(db) ? query.forNoKeyUpdate().skipLocked() : query)
}

/** Any number, as long as it is always the same: it names the lock of all changes of accounts. */
const ACCOUNT_CHANGES_LOCK = 7_464_601

/**
 * One change of accounts at a time. They are rare, and so the bounds of invites are exact, and changes become visible in the
 * order of their ids.
 */
export async function lockAccountChanges(tx: Tx): Promise<void> {
  if (hasRowLocks(tx)) await sql`select pg_advisory_xact_lock(${sql.lit(ACCOUNT_CHANGES_LOCK)})`.execute(tx)
}
