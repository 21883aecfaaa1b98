/**
 * Finds out by trial whether the way to the database gives each client a session of its own.
 *
 * A pooler between portal and database may hand one session to several clients, answer a write that it has not committed, or lose
 * notifications, and report no error. The ledger relies on all of these, so it tries them before a portal listens.
 */
import type { Pool, PoolClient } from 'pg'
import { withDeadline } from '../../../async/index.ts'
import { Problem, randomText } from '../../../protocol/index.ts'
import { plainReason } from '../../monitoring/log.ts'
import { connectFault, isServerError, statementFault } from './faults.ts'

/** Abilities without which the ledger can work, too. */
export interface SessionTraits {
  /** Whether a named statement can be run again by its name. */
  readonly namedStatements: boolean
}

const ROUNDS = 3
const PIPELINED = 4
const PIPELINED_MS_MAX = 5_000
const CHANNEL_BYTES = 9
const NOTIFICATION_MS_MAX = 5_000
/** How often a wait asks whether the database answers at all. */
const LOOKS = 5
/** The first of the two numbers of an advisory lock, the same for all probes. The second is random. */
const LOCK_CLASS = 1_735_357_807
const LOCK_ID_MAX = 2 ** 31

/** In these modes of pgpool-II a single write may be answered and never committed. */
const UNCOMMITTING_MODES: ReadonlySet<string> = new Set(['raw', 'slony'])

const WITHOUT_POOLER = 'or give --database the address of PostgreSQL itself'

/** The abilities that can be missing, and the setting of a pooler that provides each. */
const missingTexts = {
  sessions:
    'the way to the database hands one session to several clients, so locks and settings of a session mean nothing. ' +
    `PgBouncer needs pool_mode = session for this database, ${WITHOUT_POOLER}`,
  pipelining:
    'the way to the database does not answer statements that are sent without waiting for the one before. ' +
    `Update the pooler, ${WITHOUT_POOLER}`,
  notifications:
    'what one client notifies (NOTIFY) never reaches another one that listens (LISTEN). ' +
    `PgBouncer needs pool_mode = session for this database, ${WITHOUT_POOLER}`,
  commits:
    'the way to the database answers a write that it has not committed. ' +
    `pgpool-II needs backend_clustering_mode = 'streaming_replication', ${WITHOUT_POOLER}`,
  reads:
    'pgpool-II may read from a standby, which does not know yet what was just committed. ' +
    `It needs load_balance_mode = off, ${WITHOUT_POOLER}`,
} as const

type Missing = keyof typeof missingTexts

/**
 * Tries what the ledger needs of sessions. Changes nothing in the database.
 *
 * @param pool gives two connections at a time
 * @param sessionSql is run first on each connection
 * @throws Problem `ledger-unusable` with `missing`, and the needed setting of the pooler in its detail; `unavailable`
 */
export function probeSessions(pool: Pool, sessionSql: string): Promise<SessionTraits> {
  return withTwo(pool, sessionSql, async (one, other) => {
    await requireOwnSessions(one, other)
    await requirePipelining(one, other)
    await requireNotifications(one, other)
    await requireSafePgpool(one)
    return { namedStatements: await hasNamedStatements(one, other) }
  })
}

async function withTwo<Result>(
  pool: Pool,
  sessionSql: string,
  act: (one: PoolClient, other: PoolClient) => Promise<Result>,
): Promise<Result> {
  const clients: PoolClient[] = []
  try {
    const one = await connected(pool, sessionSql, clients)
    const other = await connected(pool, sessionSql, clients)
    return await act(one, other)
  } catch (error) {
    throw error instanceof Problem ? error : statementFault(error)
  } finally {
    // Closes the connections, which ends all locks and transactions.
    for (const client of clients) client.release(true)
  }
}

async function connected(pool: Pool, sessionSql: string, clients: PoolClient[]): Promise<PoolClient> {
  try {
    const client = await pool.connect()
    clients.push(client)
    await client.query(sessionSql)
    return client
  } catch (error) {
    throw connectFault(error)
  }
}

/** A lock that both clients get, or a session that changes meanwhile, reveals a pooler in transaction mode. */
async function requireOwnSessions(one: PoolClient, other: PoolClient): Promise<void> {
  for (let round = 1; round <= ROUNDS; round++) {
    const lock = [LOCK_CLASS, Math.floor(Math.random() * LOCK_ID_MAX)]
    await one.query('select pg_advisory_lock($1::int, $2::int)', lock)
    const { rows } = await other.query<{ isTaken: boolean }>(
      'select pg_try_advisory_lock($1::int, $2::int) as "isTaken"',
      lock,
    )
    const isShared = rows[0]?.isTaken !== false
    // Releases both levels of a lock that one session took twice. A client that got another session releases nothing.
    const levels = isShared ? [one, other] : [one]
    for (const client of levels) await client.query('select pg_advisory_unlock($1::int, $2::int)', lock)
    if (isShared) throw missing('sessions')

    const before = await sessionOf(one)
    await other.query('begin')
    await sessionOf(other)
    const after = await sessionOf(one)
    await other.query('rollback')
    if (after !== before) throw missing('sessions')
  }
}

async function sessionOf(client: PoolClient): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  return rows[0]?.pid
}

/** Runs a transaction whose statements are sent without waiting for answers, as the ledger does. */
async function requirePipelining(client: PoolClient, other: PoolClient): Promise<void> {
  for (let round = 1; round <= ROUNDS; round++) {
    const numbers = Array.from({ length: PIPELINED }, (_, index) => round * PIPELINED + index)
    const begun = client.query('begin')
    const asked = numbers.map((number) =>
      client.query<{ answer: number }>('select $1::int as answer', [number]).then(({ rows }) => rows[0]?.answer),
    )
    const all = Promise.all([begun, ...asked]).then(
      ([, ...answers]) => answers,
      (error: unknown) => {
        throw isServerError(error) ? missing('pipelining', error) : error
      },
    )
    const answers = await whileAnswering(other, all, PIPELINED_MS_MAX)
    if (answers?.join() !== numbers.join()) throw missing('pipelining')
    await client.query('rollback')
  }
}

async function requireNotifications(listener: PoolClient, other: PoolClient): Promise<void> {
  const channel = `golooader_probe_${Buffer.from(randomText(CHANNEL_BYTES)).toString('hex')}`
  const heard = new Promise<true>((resolve) => {
    listener.on('notification', (notification) => {
      if (notification.channel === channel) resolve(true)
    })
  })
  await listener.query(`listen ${channel}`)
  await other.query('select pg_notify($1, $2)', [channel, ''])
  if ((await whileAnswering(listener, heard, NOTIFICATION_MS_MAX)) === null) throw missing('notifications')
}

/**
 * Waits for what the way to the database may have lost. Only time in which the database answers other questions counts: one that stands still
 * loses nothing.
 *
 * @returns null for what did not come
 */
async function whileAnswering<Result>(client: PoolClient, wanted: Promise<Result>, ms: number): Promise<Result | null> {
  for (let look = 1; look <= LOOKS; look++) {
    const result = await withDeadline(wanted, ms / LOOKS, () => null)
    if (result !== null) return result
    await client.query('select 1')
  }
  return withDeadline(wanted, 0, () => null)
}

/**
 * Asks pgpool-II for settings that no trial shows reliably: whether it spreads reads over replicas, where only one server is behind it, and
 * whether it commits single writes, which depends on what its process remembers of the table.
 */
async function requireSafePgpool(client: PoolClient): Promise<void> {
  // Only pgpool-II answers this. PostgreSQL does not know the parameter.
  if ((await settingOf(client, 'show pool_version')) === null) return
  const mode = await settingOf(client, 'pgpool show backend_clustering_mode')
  if (mode !== null && UNCOMMITTING_MODES.has(mode)) throw missing('commits')
  if ((await settingOf(client, 'pgpool show load_balance_mode')) === 'on') throw missing('reads')
}

/** @returns null where there is no such setting */
async function settingOf(client: PoolClient, question: string): Promise<string | null> {
  try {
    const { rows } = await client.query<Record<string, unknown>>(question)
    return String(Object.values(rows[0] ?? {})[0] ?? '')
  } catch (error) {
    if (isServerError(error) && error.severity === 'ERROR') return null
    throw error
  }
}

/** Two clients use one name for different statements, as several portals do, and each must get its own statement. */
async function hasNamedStatements(one: PoolClient, other: PoolClient): Promise<boolean> {
  const name = 'golooader_probe'
  const ask = async (client: PoolClient, text: string): Promise<string | undefined> =>
    (await client.query<{ answer: string }>({ name, text, values: [] })).rows[0]?.answer
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      const answers = [await ask(one, `select 'one' as answer`), await ask(other, `select 'other' as answer`)]
      if (answers.join() !== 'one,other') return false
    }
    return true
  } catch (error) {
    if (isServerError(error) && error.severity === 'ERROR') return false
    throw error
  }
}

function missing(what: Missing, cause?: Error): Problem {
  const said = cause === undefined ? '' : `. It says: ${plainReason(cause)}`
  return new Problem(
    'ledger-unusable',
    { detail: missingTexts[what] + said, missing: what },
    cause === undefined ? {} : { cause },
  )
}
