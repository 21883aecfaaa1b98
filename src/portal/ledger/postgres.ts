/**
 * The ledger in PostgreSQL. Any number of portals may use it.
 *
 * A commit is answered when it is on the disk of the database, whatever the database's default is. A process that is paused in the
 * middle of a transaction finds it undone when it continues.
 */
import { Socket } from 'node:net'
import { Kysely, sql } from 'kysely'
import type { Pool, PoolConfig } from 'pg'
import { plainReason } from '../monitoring/log.ts'
import type { Ledger } from './contract.ts'
import { type DatabaseClock, databaseClock } from './database-clock.ts'
import type { Db, LedgerClock } from './kysely/context.ts'
import { kyselyLedger } from './kysely/index.ts'
import { UNWATCHED_MS_MAX } from './kysely/time.ts'
import { migrate } from './migrate.ts'
import { loadClient } from './postgres/client.ts'
import { startFault } from './postgres/faults.ts'
import { poolDialect } from './postgres/pool-driver.ts'
import { probeSessions, type SessionTraits } from './postgres/session-probe.ts'
import { retrying } from './postgres/transact.ts'
import { ProcessClock } from './process-clock.ts'
import type { LedgerTables } from './schema.ts'

export interface PostgresLedgerOptions {
  /** `postgres://user:password@host:port/database`, with `sslmode` and the like as its query. */
  readonly url: string
  /** The largest number of connections; at least two. */
  readonly connectionsMax?: number
  /** The time of day, which may be set; by default that of the database. */
  readonly now?: () => number
  /** A monotonic clock in milliseconds. If only `now` is given, `now` counts as monotonic. */
  readonly monotonicMs?: () => number
  /** Called with every SQL statement: for tests that check query plans. */
  readonly onQuery?: (sql: string, parameters: readonly unknown[]) => void
  /** Called with the error of each transaction that is run again. */
  readonly onRetry?: (error: unknown) => void
  /** Called with warnings for the operator. */
  readonly onWarning?: (message: string, details: Readonly<Record<string, unknown>>) => void
}

const CONNECTIONS_MAX = 10
/** The share of connections for statements outside of transactions. Transactions may all wait for a lock; reads must not wait with them. */
const LOOKING_SHARE = 0.3
const CONNECT_MS_MAX = 10_000
const IDLE_CONNECTION_MS_MAX = 60_000
const STATEMENT_MS_MAX = 30_000
const LOCK_MS_MAX = 10_000
/**
 * The database ends a transaction that is idle for this long, because its process was paused. It is less than the time that others
 * wait for a lock, because the process may hold the row of the totals.
 */
const IDLE_IN_TRANSACTION_MS_MAX = LOCK_MS_MAX - 2_000
/** An answer takes longer than this only when the connection to the database is broken. */
const ANSWER_MS_MAX = STATEMENT_MS_MAX + 10_000
/** The statements of a probe are quick, so their answers come sooner. */
const PROBE_ANSWER_MS_MAX = 15_000
const KEEP_ALIVE_AFTER_MS = 10_000

/** PostgreSQL's numbers of the types of `bigint` and of sums and counts. */
const INT8 = 20

/**
 * Checks the connection to the database, migrates the tables to this version's schema, and opens the ledger.
 *
 * @throws Problem `unavailable` when the database does not answer; `ledger-unusable` with `missing` when a pooler on the way lacks
 *   something that the ledger relies on; Error when the database cannot be used
 */
export async function postgresLedger(options: PostgresLedgerOptions): Promise<Ledger> {
  const { connectionsMax = CONNECTIONS_MAX, onRetry, onWarning = () => {} } = options
  const traits = await probed(options)
  await migrateOnce(options)
  await using opening = new AsyncDisposableStack()
  const lookingMax = Math.max(1, Math.floor(connectionsMax * LOOKING_SHARE))
  const db = await openDatabase(options, traits, lookingMax)
  opening.defer(() => db.destroy())
  const moving = await openDatabase(options, traits, Math.max(1, connectionsMax - lookingMax))
  opening.defer(() => moving.destroy())
  await lookAtSettings(db, onWarning)
  const clock = await openClock(db, options)
  opening.defer(() => clock.close())
  const ledger = kyselyLedger({
    db,
    now: clock.now,
    nowIn: options.now === undefined ? timeOf : async () => clock.now(),
    clock,
    isShared: true,
    transact: retrying(moving, onRetry),
  })
  const opened = opening.move()
  return { ...ledger, close: () => opened.disposeAsync() }
}

/** Opens an existing ledger like `postgresLedger`; null for a database without a ledger. */
export async function postgresLedgerThere(options: PostgresLedgerOptions): Promise<Ledger | null> {
  const isThere = await beforehand(options, async (db) => {
    const { rows } = await sql<{ table: string | null }>`select to_regclass('kysely_migration') as table`.execute(db)
    return rows[0]?.table !== null
  })
  return isThere ? postgresLedger(options) : null
}

async function openDatabase(options: PostgresLedgerOptions, traits: SessionTraits, max: number): Promise<Db> {
  const { onQuery, onWarning } = options
  const { pool, close } = await openPool(options, { max, query_timeout: ANSWER_MS_MAX })
  pool.on('error', (error) =>
    onWarning?.('an idle connection to the database was lost', { reason: plainReason(error) }),
  )
  return new Kysely<LedgerTables>({
    dialect: poolDialect({ pool, close, traits, sessionSql: sessionSql(STATEMENT_MS_MAX, LOCK_MS_MAX) }),
    ...(onQuery === undefined ? {} : { log: ({ query }) => onQuery(query.sql, query.parameters) }),
  })
}

/** What the way to the database is able to do. */
async function probed(options: PostgresLedgerOptions): Promise<SessionTraits> {
  const { pool, close } = await openPool(options, { max: 2, query_timeout: PROBE_ANSWER_MS_MAX })
  pool.on('error', () => {})
  try {
    return await probeSessions(pool, sessionSql(STATEMENT_MS_MAX, LOCK_MS_MAX))
  } catch (error) {
    throw startFault(error)
  } finally {
    await close()
  }
}

/** Uses a connection of its own, because a migration of large tables may take longer than any statement of the ledger. */
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
  const dialect = poolDialect({ pool, close, traits: { namedStatements: false }, sessionSql: sessionSql(0, 0) })
  const db = new Kysely<unknown>({ dialect })
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
  const { Pool, types, Client } = await loadClient()
  /** Open sockets. A client without a password leaves its connection open, and the server would wait for it for a minute. */
  const sockets = new Set<Socket>()
  const pool = new Pool({
    Client,
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
        type === INT8 ? toNumber : types.getTypeParser(type, format),
    },
    ...config,
  } as PoolConfig)
  // When a used connection breaks, its statement fails. Without a listener for the error, the process would end, too.
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
 * The settings of a session. A read replica is refused: it answers with older data, and a portal would remove parts that the replica
 * does not know yet. `synchronous_commit` is set to `on`; only `remote_apply` is stronger and stays.
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

/** @throws Error when the database cannot store every text */
async function mustBeUtf8(db: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<{ encoding: string }>`select current_setting('server_encoding') as encoding`.execute(db)
  const encoding = rows[0]?.encoding
  if (encoding !== 'UTF8') throw new Error(`the encoding of the database must be UTF8, and is ${encoding}`)
}

/** Warns when settings of the database make commits undurable. */
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

async function openClock(
  db: Db,
  options: PostgresLedgerOptions,
): Promise<LedgerClock & Pick<DatabaseClock, 'now' | 'close'>> {
  if (options.now !== undefined) return { ...new ProcessClock(options), close: () => {} }
  const clock = await databaseClock({ measure: (act) => askTime(db, act) })
  return {
    ...clock,
    timeOfDayMs: () => timeOf(db),
    monotonicMs: () => performance.now(),
    unwatchedMsMax: UNWATCHED_MS_MAX,
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
  if (ms === undefined) throw new Error('the database did not answer the time')
  return ms
}
