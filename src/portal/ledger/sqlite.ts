/**
 * The ledger in one SQLite file, by the SQLite that comes with Node. Several processes of one machine may have it
 * open: the portal, and the commands of its operator.
 *
 * `synchronous = full` makes every commit wait for the disk: what is told to a sender or a receiver is durable.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { setTimeout } from 'node:timers/promises'
import { Kysely, SqliteAdapter, type SqliteDatabase, SqliteDialect, type SqliteStatement } from 'kysely'
import type { Ledger } from './contract.ts'
import { kyselyLedger } from './kysely/index.ts'
import { migrate } from './migrate.ts'
import type { LedgerTables } from './schema.ts'

export interface SqliteLedgerOptions {
  /** Path of the database file, created if absent; `:memory:` for one that is gone with the process. */
  readonly path: string
  readonly now?: () => number
  /** Is shown every SQL statement that runs: for tests that look at query plans. */
  readonly onQuery?: (sql: string, parameters: readonly unknown[]) => void
}

/** How long a writer waits for a writer of another process. */
const BUSY_TIMEOUT_MS = 10_000
const WAL_TRIES_MAX = 100
const WAL_PAUSE_MS = 20
/** https://sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5
/** Statements are compiled once; there are far fewer different ones than this. */
const STATEMENTS_MAX = 512

export async function sqliteLedger({ path, now = Date.now, onQuery }: SqliteLedgerOptions): Promise<Ledger> {
  const database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true })
  await useWriteAheadLog(database)
  database.exec('pragma synchronous = full; pragma journal_size_limit = 67108864')
  const db = new Kysely<LedgerTables>({
    dialect: new LedgerDialect({ database: adapt(database) }),
    ...(onQuery === undefined ? {} : { log: ({ query }) => onQuery(query.sql, query.parameters) }),
  })
  await migrate(db)
  return kyselyLedger({ db, now })
}

/**
 * Only a new file has to be changed for this, and SQLite does not wait for another process that is just doing the
 * same. So it is tried again.
 */
async function useWriteAheadLog(database: DatabaseSync): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      database.exec('pragma journal_mode = wal')
      return
    } catch (error) {
      if (tries === WAL_TRIES_MAX || !isBusy(error)) throw error
      await setTimeout(WAL_PAUSE_MS)
    }
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY
}

/**
 * SQLite can change its schema within a transaction, though Kysely does not count on it. With this, a migration that
 * is cut off leaves nothing behind, and of two processes that open a new file one waits for the other's migrations.
 */
class LedgerDialect extends SqliteDialect {
  override createAdapter(): SqliteAdapter {
    return new (class extends SqliteAdapter {
      override get supportsTransactionalDdl(): boolean {
        return true
      }
    })()
  }
}

/** Node's SQLite in the shape that Kysely's dialect asks for. */
function adapt(database: DatabaseSync): SqliteDatabase {
  const statements = new Map<string, SqliteStatement>()
  return {
    close: () => database.close(),
    prepare(sql) {
      // A transaction that reads first and writes later could not wait for another process's write lock: it would
      // fail at once. So each takes the lock at its beginning.
      const text = sql === 'begin' ? 'begin immediate' : sql
      let statement = statements.get(text)
      if (statement === undefined) {
        if (statements.size >= STATEMENTS_MAX) statements.clear()
        statement = adaptStatement(database.prepare(text))
        statements.set(text, statement)
      }
      return statement
    },
  }
}

function adaptStatement(statement: StatementSync): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...(parameters as SQLInputValue[])),
    run: (parameters) => statement.run(...(parameters as SQLInputValue[])),
    iterate: (parameters) => statement.iterate(...(parameters as SQLInputValue[])),
  }
}
