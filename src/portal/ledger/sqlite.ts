/**
 * The ledger in one SQLite file, by the SQLite that comes with Node. Several processes of one machine may have it
 * open: the portal, and the commands of its operator.
 *
 * `synchronous = full` makes every commit wait for the disk: what is told to a sender or a receiver is durable.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { setTimeout } from 'node:timers/promises'
import {
  type Dialect,
  type Driver,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type SqliteStatement,
} from 'kysely'
import type { Ledger } from './contract.ts'
import { GroupCommitDriver, type GroupDatabase, type GroupOptions } from './group-commit.ts'
import { kyselyLedger } from './kysely/index.ts'
import { migrate } from './migrate.ts'
import type { LedgerTables } from './schema.ts'

export interface SqliteLedgerOptions {
  /** Path of the database file, created if absent; `:memory:` for one that is gone with the process. */
  readonly path: string
  readonly now?: () => number
  /** Is shown every SQL statement that runs: for tests that look at query plans. */
  readonly onQuery?: (sql: string, parameters: readonly unknown[]) => void
  /** Is told after each commit how many operations it made durable. */
  readonly onCommit?: (operationCount: number) => void
}

/** How long a reader waits where it has to at all. Writers wait by themselves. */
const READER_BUSY_TIMEOUT_MS = 10_000
const WAL_TRIES_MAX = 100
const WAL_PAUSE_MS = 20
/** https://sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5
/** Statements are compiled once; there are far fewer different ones than this. */
const STATEMENTS_MAX = 512

export async function sqliteLedger({ path, now = Date.now, onQuery, onCommit }: SqliteLedgerOptions): Promise<Ledger> {
  const database = new DatabaseSync(path, { timeout: 0, enableForeignKeyConstraints: true })
  await useWriteAheadLog(database)
  database.exec('pragma synchronous = full; pragma journal_size_limit = 67108864')
  const db = new Kysely<LedgerTables>({
    dialect: new LedgerDialect({ writer: adapt(database), reader: openReader(path), onCommit }),
    ...(onQuery === undefined ? {} : { log: ({ query }) => onQuery(query.sql, query.parameters) }),
  })
  await migrate(db)
  const nowIn = async (): Promise<number> => now()
  return kyselyLedger({ db, now, nowIn, isShared: false, transact: (act) => db.transaction().execute(act) })
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

/** A connection that only reads; null where there can be no second one. */
function openReader(path: string): GroupDatabase | null {
  if (path === ':memory:') return null
  return adapt(new DatabaseSync(path, { timeout: READER_BUSY_TIMEOUT_MS, readOnly: true }))
}

/**
 * SQLite can change its schema within a transaction, though Kysely does not count on it. With this, a migration that
 * is cut off leaves nothing behind, and of two processes that open a new file one waits for the other's migrations.
 */
class LedgerAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }

  /** The driver itself sees to it that only one changes anything at a time. */
  override get supportsMultipleConnections(): boolean {
    return true
  }
}

class LedgerDialect implements Dialect {
  readonly #options: GroupOptions

  constructor(options: GroupOptions) {
    this.#options = options
  }

  createDriver(): Driver {
    return new GroupCommitDriver(this.#options)
  }

  createQueryCompiler(): SqliteQueryCompiler {
    return new SqliteQueryCompiler()
  }

  createAdapter(): SqliteAdapter {
    return new LedgerAdapter()
  }

  createIntrospector(db: Kysely<unknown>): SqliteIntrospector {
    return new SqliteIntrospector(db)
  }
}

/** Node's SQLite in the shape that Kysely's dialect asks for. */
export function adapt(database: DatabaseSync): GroupDatabase {
  const statements = new Map<string, SqliteStatement>()
  return {
    close: () => database.close(),
    isInTransaction: () => database.isTransaction,
    isBusy,
    prepare(sql) {
      let statement = statements.get(sql)
      if (statement === undefined) {
        if (statements.size >= STATEMENTS_MAX) statements.clear()
        statement = adaptStatement(database.prepare(sql))
        statements.set(sql, statement)
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
