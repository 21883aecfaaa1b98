/**
 * The last event before which no further event can appear, whatever its account.
 *
 * Events of one account become visible in the order of their ids. Those of different accounts do not in PostgreSQL: a transaction may have
 * taken a number and commit only after others with larger numbers. Such a transaction holds a lock on the table of events (ROW EXCLUSIVE,
 * from before it takes the number until it has ended). So a look notes the largest visible number, and then the transactions
 * that hold that lock. Once none of these holds it any more, all events up to the noted number are visible.
 */
import { sql } from 'kysely'
import type { Db } from './context.ts'
import { newestEvent } from './events.ts'
import { hasRowLocks } from './locks.ts'

interface Noted {
  readonly eventNumber: number
  /** Transactions that may still add an event before it. */
  readonly open: readonly string[]
}

export class SettledEvents {
  readonly #db: Db
  #noted: Noted | null = null
  #last = 0

  constructor(db: Db) {
    this.#db = db
  }

  /** The number of that event, as of the last look. SQLite has one writer, so every event that is visible is settled. */
  get last(): number {
    return hasRowLocks(this.#db) ? this.#last : Number.MAX_SAFE_INTEGER
  }

  /** Brings `last` up to date, as far as running transactions let it. */
  async look(): Promise<void> {
    if (!hasRowLocks(this.#db)) return
    const eventNumber = this.#noted?.eventNumber ?? (await newestEvent(this.#db))
    const writing = await this.#writing()
    const open = this.#noted?.open.filter((one) => writing.has(one)) ?? [...writing]
    this.#noted = open.length > 0 ? { eventNumber, open } : null
    // A ledger that was restored from a backup continues with smaller numbers.
    if (open.length === 0) this.#last = eventNumber
  }

  /** The transactions that write events at the moment. */
  async #writing(): Promise<Set<string>> {
    const { rows } = await sql<{ id: string }>`select virtualtransaction as id from pg_locks
      where relation = 'events'::regclass and mode = 'RowExclusiveLock'
      and database = (select oid from pg_database where datname = current_database())`.execute(this.#db)
    return new Set(rows.map(({ id }) => id))
  }
}
