/**
 * The ledger in PostgreSQL. Any number of portals may have it open.
 *
 * A commit is answered when it is on the disk of the database, whatever the default of that database is. A process that stops in
 * the middle of a transaction, and goes on later, finds it undone.
 */
import { Socket } from 'node:net'
import { Kysely, sql } from 'kysely'
import type { Pool, PoolConfig } from 'pg'
import { plainReason } from '../log.ts'
import type { Ledger } from './contract.ts'
import { databaseClock } from './database-clock.ts'
import { kyselyLedger } from './kysely/index.ts'
import type { Db } from './kysely/rows.ts'
import { migrate } from './migrate.ts'
import { startFault } from './postgres/faults.ts'
import { PoolDialect } from './postgres/pool-driver.ts'
import { retrying } from './postgres/transact.ts'
import type { LedgerTables } from './schema.ts'

export interface PostgresLedgerOptions {
  /** `postgres://user:password@host:port/database`, with `sslmode` and the like as its query. */
  readonly url: string
  /** So many connections at most, and at least two. */
  readonly connectionsMax?: number
  /** The clock that the ledger goes by; that of the database if not given. */
  readonly now?: () => number
  /** Is shown every SQL statement that runs: for tests that look at query plans. */
  readonly onQuery?: (sql: string, parameters: readonly unknown[]) => void
  /** Is shown the error of each transaction that is run again. */
  readonly onRetry?: (error: unknown) => void
  /** Is told what its operator should know. */
  readonly onWarning?: (message: string, details: Readonly<Record<string, unknown>>) => void
}

const CONNECTIONS_MAX = 10
/** Of all connections, for what is no transaction. Those may all be waiting for a lock; who just looks must not. */
const LOOKING_SHARE = 0.3
const CONNECT_MS_MAX = 10_000
const IDLE_CONNECTION_MS_MAX = 60_000
const STATEMENT_MS_MAX = 30_000
const LOCK_MS_MAX = 10_000
/**
 * Fences a process that was paused in the middle of a transaction. Less than others wait for its locks, which may be those of a row
 * that many accounts have in common.
 */
const IDLE_IN_TRANSACTION_MS_MAX = LOCK_MS_MAX - 2_000
/** An answer is later than this only if the way to the database is cut. */
const ANSWER_MS_MAX = STATEMENT_MS_MAX + 10_000
const KEEP_ALIVE_AFTER_MS = 10_000

/** What PostgreSQL calls the types of `bigint` and of sums, counts among them. */
const INT8 = 20

/**
 * Opens the ledger, and brings its tables to the schema of this version.
 *
 * @throws Problem `unavailable` when the database is not there; Error when it cannot be used
 */
export async function postgresLedger(options: PostgresLedgerOptions): Promise<Ledger> {
  const { connectionsMax = CONNECTIONS_MAX, onRetry, onWarning = () => {} } = options
  await migrateOnce(options)
  await using opening = new AsyncDisposableStack()
  const lookingMax = Math.max(1, Math.floor(connectionsMax * LOOKING_SHARE))
  const db = await openDatabase(options, lookingMax)
  opening.defer(() => db.destroy())
  const moving = await openDatabase(options, Math.max(1, connectionsMax - lookingMax))
  opening.defer(() => moving.destroy())
  await lookAtSettings(db, onWarning)
  const clock = options.now === undefined ? await databaseClock({ measure: (act) => askTime(db, act) }) : null
  opening.defer(() => clock?.close())
  const now = options.now ?? clock?.now ?? Date.now
  const ledger = kyselyLedger({
    db,
    now,
    nowIn: clock === null ? async () => now() : timeOf,
    isShared: true,
    transact: retrying(moving, onRetry),
  })
  const opened = opening.move()
  return { ...ledger, close: () => opened.disposeAsync() }
}

/** Opens the ledger as `postgresLedger` does, where there is one: null in a database in which none has been made. */
export async function postgresLedgerThere(options: PostgresLedgerOptions): Promise<Ledger | null> {
  const isThere = await beforehand(options, async (db) => {
    const { rows } = await sql<{ table: string | null }>`select to_regclass('kysely_migration') as table`.execute(db)
    return rows[0]?.table !== null
  })
  return isThere ? postgresLedger(options) : null
}

async function openDatabase(options: PostgresLedgerOptions, max: number): Promise<Db> {
  const { onQuery, onWarning } = options
  const { pool, close } = await openPool(options, { max, query_timeout: ANSWER_MS_MAX })
  pool.on('error', (error) =>
    onWarning?.('an idle connection to the database was lost', { reason: plainReason(error) }),
  )
  return new Kysely<LedgerTables>({
    dialect: new PoolDialect({ pool, close, sessionSql: sessionSql(STATEMENT_MS_MAX, LOCK_MS_MAX) }),
    ...(onQuery === undefined ? {} : { log: ({ query }) => onQuery(query.sql, query.parameters) }),
  })
}

/** Over a connection of its own: a change of large tables may take longer than any statement of the ledger. */
function migrateOnce(options: PostgresLedgerOptions): Promise<void> {
  return beforehand(options, async (db) => {
    await mustBeUtf8(db)
    await migrate(db)
  })
}

async function beforehand<Result>(
  options: PostgresLedgerOptions,
  act: (db: Kysely<unknown>) => Promise<Result>,
): Promise<Result> {
  const { pool, close } = await openPool(options, { max: 1 })
  pool.on('error', () => {})
  const db = new Kysely<unknown>({ dialect: new PoolDialect({ pool, close, sessionSql: sessionSql(0, 0) }) })
  try {
    return await act(db)
  } catch (error) {
    throw startFault(error)
  } finally {
    await db.destroy()
  }
}

async function openPool(
  { url }: PostgresLedgerOptions,
  config: PoolConfig,
): Promise<{ pool: Pool; close: () => Promise<void> }> {
  const { default: pg } = await import('pg')
  /** A client that lacks a password leaves its connection open, and the server waits for it for a minute. */
  const sockets = new Set<Socket>()
  const pool = new pg.Pool({
    application_name: 'golooader',
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    idleTimeoutMillis: IDLE_CONNECTION_MS_MAX,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
    pipeline: true,
    stream: () => {
      const socket = new Socket()
      sockets.add(socket)
      return socket.once('close', () => sockets.delete(socket))
    },
    types: {
      getTypeParser: (type: number, format?: 'text' | 'binary') =>
        type === INT8 ? toNumber : pg.types.getTypeParser(type, format),
    },
    ...config,
  } as PoolConfig)
  // A connection in use tells of its end by the statement that fails; without a listener it would end the process, too.
  pool.on('connect', (client) => client.on('error', () => {}))
  const close = async (): Promise<void> => {
    await pool.end()
    for (const socket of sockets) socket.destroy()
  }
  return { pool, close }
}

function toNumber(text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number)) throw new RangeError(`the ledger holds a number that is too large: ${text}`)
  return number
}

/**
 * A copy of the database answers as well, but with what was true a while ago: what it does not know of yet, a portal would
 * remove. Stronger than `on` is only `remote_apply`, so that one may stay.
 */
function sessionSql(statementMsMax: number, lockMsMax: number): string {
  return `
    do $$ begin
      if pg_is_in_recovery() then raise 'this server is only a copy of the database' using errcode = '25006'; end if;
    end $$;
    set statement_timeout = ${statementMsMax};
    set lock_timeout = ${lockMsMax};
    set idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MS_MAX};
    select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') <> 'remote_apply'`
}

/** @throws Error where the database cannot hold every text */
async function mustBeUtf8(db: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<{ encoding: string }>`select current_setting('server_encoding') as encoding`.execute(db)
  const encoding = rows[0]?.encoding
  if (encoding !== 'UTF8') throw new Error(`the encoding of the database must be UTF8, and is ${encoding}`)
}

/** Without these, a database forgets at a loss of power what it had promised. */
async function lookAtSettings(db: Db, onWarning: NonNullable<PostgresLedgerOptions['onWarning']>): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select name from pg_settings where name in ('fsync', 'full_page_writes') and setting = 'off' order by name
  `.execute(db)
  for (const { name } of rows) {
    onWarning(`the database runs with ${name} = off: at a loss of power it loses what it has promised`, {
      setting: name,
    })
  }
}

async function askTime(db: Db, act: (ask: () => Promise<number>) => Promise<void>): Promise<void> {
  await db.connection().execute((connection) => act(() => timeOf(connection)))
}

async function timeOf(db: Db): Promise<number> {
  const { rows } = await sql<{ ms: number }>`
    select (extract(epoch from clock_timestamp()) * 1000)::double precision as ms
  `.execute(db)
  const ms = rows[0]?.ms
  if (ms === undefined) throw new Error('the database did not say what time it is')
  return ms
}
