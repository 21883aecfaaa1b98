/**
 * The ledger in one SQLite file, with the SQLite that comes with Node. Several processes of one machine may use it: the portal, and the
 * commands of its operator.
 *
 * With `synchronous = full` every commit waits for the disk, so that every answer to a client is durable.
 */
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import {
  type Dialect,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type SqliteStatement,
} from 'kysely'
import { retry } from '../../async/index.ts'
import { FixedPath, type FolderStep } from '../../fs/index.ts'
import { Problem } from '../../protocol/index.ts'
import type { Ledger } from './contract.ts'
import { GroupCommitDriver, type GroupDatabase, type GroupOptions } from './group-commit.ts'
import { kyselyLedger } from './kysely/index.ts'
import { migrate } from './migrate.ts'
import { ProcessClock } from './process-clock.ts'
import type { LedgerTables } from './schema.ts'

export interface SqliteLedgerOptions {
  /** Path of the database file, created if absent; `:memory:` for a ledger that ends with the process. */
  readonly path: string
  /** The time of day, which may be set; by default that of the machine. */
  readonly now?: () => number
  /** A monotonic clock in milliseconds. If only `now` is given, `now` counts as monotonic. */
  readonly monotonicMs?: () => number
  /** Called with every SQL statement: for tests that check query plans. */
  readonly onQuery?: (sql: string, parameters: readonly unknown[]) => void
  /** Called after each commit with the number of its operations. */
  readonly onCommit?: (operationCount: number) => void
}

/** How long SQLite waits for a lock on the reading connection. The writing one handles its waits itself. */
const READER_BUSY_TIMEOUT_MS = 10_000
const WAL_TRIES_MAX = 100
const WAL_PAUSE_MS = 20
/** https://sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5
/** Bound of the cache of compiled statements. There are far fewer different ones. */
const STATEMENTS_MAX = 512

/** @throws Problem `ledger-unusable` with the path, when SQLite cannot use the file */
export async function sqliteLedger(options: SqliteLedgerOptions): Promise<Ledger> {
  try {
    return await opened(options)
  } catch (cause) {
    throw ledgerProblem(options.path, cause)
  }
}

/** https://sqlite.org/rescode.html: the lower eight bits of a code tell its kind. */
const SQLITE_KIND_BITS = 0xff
const sqliteReasons: Readonly<Record<number, string>> = {
  5: 'another program has it. End that one, then run the same command again',
  8: 'this user may not write it, or its disk can only be read. Run the command as the owner of the data, where it can be written',
  10: 'its disk reports an error, or its file system cannot carry a write-ahead log. Name a folder on a disk of this machine: --data DIR',
  11: 'it is damaged. Restore it from a backup',
  13: 'there is no room left on its disk. Make room, then run the same command again',
  14: 'this user may not write it or its folder. Run the command as the owner of the data, or name another folder: --data DIR',
  15: 'its file system cannot lock it. Name a folder on a disk of this machine: --data DIR',
  26: 'it is no ledger. Name the folder of a portal: --data DIR',
}

function ledgerProblem(path: string, cause: unknown): unknown {
  if (!(cause instanceof Error && 'errcode' in cause)) return cause
  const reason = sqliteReasons[Number(cause.errcode) & SQLITE_KIND_BITS]
  return reason === undefined ? cause : new Problem('ledger-unusable', { detail: `${path}: ${reason}` }, { cause })
}

async function opened(options: SqliteLedgerOptions): Promise<Ledger> {
  const { path, onQuery, onCommit } = options
  const database = new DatabaseSync(path, { timeout: 0, enableForeignKeyConstraints: true })
  await useWriteAheadLog(database)
  database.exec('pragma synchronous = full; pragma journal_size_limit = 67108864')
  // Keeps the data for undoing savepoints in memory. It is useless after the commit, and in a file it costs dozens of writes per operation.
  database.exec('pragma temp_store = memory')
  const db = new Kysely<LedgerTables>({
    dialect: ledgerDialect({
      writer: adapt(database),
      reader: openReader(path),
      beforeCommit: guardOf(path),
      onCommit,
    }),
    ...(onQuery === undefined ? {} : { log: ({ query }) => onQuery(query.sql, query.parameters) }),
  })
  await migrate(db)
  const clock = new ProcessClock(options)
  const { now } = clock
  const nowIn = async (): Promise<number> => now()
  return kyselyLedger({ db, now, nowIn, clock, isShared: false, transact: (act) => db.transaction().execute(act) })
}

/**
 * Switches to write-ahead logging. That changes only a new file. SQLite does not wait for another process that does the same at the
 * moment, so this tries again.
 */
async function useWriteAheadLog(database: DatabaseSync): Promise<void> {
  await retry(() => database.exec('pragma journal_mode = wal'), {
    delayMs: (error, tries) => {
      if (tries === WAL_TRIES_MAX || !isBusy(error)) throw error
      return WAL_PAUSE_MS
    },
  })
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY
}

/** Checks before each commit that the file is still in its place: SQLite would also write to a removed file, and that data would be lost. */
function guardOf(path: string): (() => void) | undefined {
  if (path === ':memory:') return undefined
  const file = new FixedPath(path, 'the ledger')
  return () => file.assertThereSync()
}

/** A read-only connection; null for a database in memory, which has only one. */
function openReader(path: string): GroupDatabase | null {
  if (path === ':memory:') return null
  return adapt(new DatabaseSync(path, { timeout: READER_BUSY_TIMEOUT_MS, readOnly: true }))
}

/**
 * Tells Kysely that SQLite can change its schema within a transaction. So an interrupted migration leaves nothing behind, and of two
 * processes that open a new file one waits for the other's migrations.
 */
class LedgerAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }

  /** True, because the driver itself lets only one connection write at a time. */
  override get supportsMultipleConnections(): boolean {
    return true
  }
}

function ledgerDialect(options: GroupOptions): Dialect {
  return {
    createDriver: () => new GroupCommitDriver(options),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: () => new LedgerAdapter(),
    createIntrospector: (db) => new SqliteIntrospector(db),
  }
}

/** Adapts Node's SQLite to the interface of Kysely's dialect. */
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

/** A trial whether SQLite can keep a ledger in a folder: in WAL mode, over two connections. */
export const sqliteStep: FolderStep = [
  "carry SQLite's write-ahead log, which needs locks and memory shared by a file",
  probeFolder,
]

/** @throws errors of SQLite; Error when SQLite does not behave as it must */
async function probeFolder(folder: string): Promise<void> {
  const path = join(folder, 'database')
  using writer = new DatabaseSync(path)
  const mode = writer.prepare('pragma journal_mode = wal').get()?.journal_mode
  if (mode !== 'wal') throw new Error(`SQLite keeps to its journal mode ${mode}`)
  writer.exec('pragma synchronous = full; create table probe (id integer) strict; insert into probe values (1)')
  using reader = new DatabaseSync(path, { readOnly: true })
  if (reader.prepare('select count(*) as count from probe').get()?.count !== 1) {
    throw new Error('a second connection does not see what was written')
  }
}
