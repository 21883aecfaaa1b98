/**
 * Copies a ledger from SQLite to PostgreSQL in one transaction: the database has all of it, or nothing. So a copy that is killed at any
 * moment is simply made again.
 */
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import type { Client } from 'pg'
import { Problem } from '../../../protocol/index.ts'
import { PORTAL_SILENT_MS } from '../../monitoring/heartbeat.ts'
import { loadClient } from '../postgres/client.ts'
import { startFault } from '../postgres/faults.ts'
import type { LedgerSource } from './source.ts'
import { type LedgerTable, tablesOf, tablesOfRunningPortals } from './tables.ts'

const ROWS_AT_ONCE_MAX = 500
/** The protocol of PostgreSQL counts parameters with 16 bits. */
const PARAMETERS_MAX = 65_535
const BYTES_AT_ONCE_MAX = 4 * 1024 * 1024
const CONNECT_MS_MAX = 10_000
const LOCK_MS_MAX = 10_000

export interface LedgerCopy {
  /** Address of a database that has the tables of this version. */
  readonly databaseUrl: string
  /** The store that belongs to the ledger from now on. */
  readonly storeId: string
}

/** Table -> rows that were copied. Empty when an earlier run had copied the ledger already. */
export type CopiedRows = ReadonlyMap<string, number>

type Source = Pick<LedgerSource, 'database' | 'ledgerId'>

/** @throws Problem `ledger-unusable` when the database has another ledger, or a portal works with it */
export function copyLedger({ database, ledgerId }: Source, copy: LedgerCopy): Promise<CopiedRows> {
  const tables = tablesOf(database)
  const moved = movedOf(tables)
  return inTransaction(copy.databaseUrl, async (client) => {
    await requireSameTables(client, tables)
    const names = tables.map(({ name }) => quoted(name)).join(', ')
    // A portal that starts at this moment waits, and then finds that its store does not belong to this ledger.
    await client.query(`lock table ${names} in access exclusive mode`)
    if ((await ledgerIdIn(client)) === ledgerId) return new Map()
    await requireNew(client, moved)
    const rows = new Map<string, number>()
    for (const table of moved) rows.set(table.name, await copyTable(database, client, table, copy))
    return rows
  })
}

/**
 * Whether a database has this ledger already. Otherwise it is new, and can get it.
 *
 * @throws Problem `ledger-unusable` when it is not new
 */
export function hasLedger({ database, ledgerId }: Source, databaseUrl: string): Promise<boolean> {
  const tables = tablesOf(database)
  return inTransaction(databaseUrl, async (client) => {
    await requireSameTables(client, tables)
    if ((await ledgerIdIn(client)) === ledgerId) return true
    await requireNew(client, movedOf(tables))
    return false
  })
}

function movedOf(tables: readonly LedgerTable[]): readonly LedgerTable[] {
  return tables.filter(({ name }) => !tablesOfRunningPortals.includes(name))
}

async function inTransaction<Result>(url: string, act: (client: Client) => Promise<Result>): Promise<Result> {
  const { Client } = await loadClient()
  const client = new Client({
    application_name: 'golooader',
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS_MAX,
  })
  // A broken connection fails the statement that waits. Without a listener, the process would end, too.
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query(
      `begin; set local lock_timeout = ${LOCK_MS_MAX}; set local statement_timeout = 0; ` +
        "set local idle_in_transaction_session_timeout = 0; set local synchronous_commit = 'on'",
    )
    const result = await act(client)
    await client.query('commit')
    return result
  } catch (error) {
    throw startFault(error)
  } finally {
    // Rolls an open transaction back.
    await client.end().catch(() => {})
  }
}

/** @throws Error when the two schemas differ, which would be a mistake of a migration */
async function requireSameTables(client: Client, tables: readonly LedgerTable[]): Promise<void> {
  const { rows } = await client.query<{ table: string; columns: string[] }>(
    'select table_name as table, array_agg(column_name::text order by column_name) as columns ' +
      "from information_schema.columns where table_schema = current_schema() and table_name not like 'kysely\\_%' group by 1",
  )
  const there = new Map(rows.map(({ table, columns }) => [table, columns.join()]))
  const wanted = new Map(tables.map(({ name, columns }) => [name, [...columns].sort().join()]))
  for (const name of new Set([...there.keys(), ...wanted.keys()])) {
    if (there.get(name) !== wanted.get(name)) throw new Error(`the table ${name} differs between the two ledgers`)
  }
}

async function ledgerIdIn(client: Client): Promise<string | undefined> {
  const { rows } = await client.query<{ ledger_id: string }>('select ledger_id from pairing')
  return rows[0]?.ledger_id
}

/** @throws Problem `ledger-unusable` when a portal works with this database, or has worked with it */
async function requireNew(client: Client, tables: readonly LedgerTable[]): Promise<void> {
  const { rows } = await client.query<{ node: string }>(
    'select node from portals where seen_ms > extract(epoch from clock_timestamp()) * 1000 - $1 limit 1',
    [PORTAL_SILENT_MS],
  )
  const [running] = rows
  if (running !== undefined) throw taken(`a portal works with it, at ${running.node}`)
  const used: string[] = []
  for (const { name, isSingle } of tables) {
    if (isSingle) continue
    const found = await client.query(`select from ${quoted(name)} limit 1`)
    if (found.rowCount !== 0) used.push(name)
  }
  const bound = await client.query('select from pairing where store_id is not null')
  if (bound.rowCount !== 0) used.push('pairing')
  if (used.length > 0) throw taken(`it has a ledger of its own (${used.join(', ')})`)
}

function taken(what: string): Problem {
  return new Problem('ledger-unusable', {
    detail: `the database is not new: ${what}. Stop that portal and name an empty database`,
  })
}

/** @returns how many rows the table has */
async function copyTable(source: DatabaseSync, client: Client, table: LedgerTable, copy: LedgerCopy): Promise<number> {
  const { name, columns } = table
  const select = source.prepare(`select ${columns.map(quoted).join(', ')} from ${quoted(name)}`)
  // Numbers beyond 2^53 stay exact.
  select.setReadBigInts(true)
  const rowsMax = Math.min(ROWS_AT_ONCE_MAX, Math.floor(PARAMETERS_MAX / columns.length))
  let batch: SQLOutputValue[] = []
  let bytes = 0
  let count = 0
  const insert = async (): Promise<void> => {
    if (batch.length > 0) await client.query(insertSql(table, batch.length / columns.length), batch)
    batch = []
    bytes = 0
  }
  for (const row of select.iterate()) {
    count++
    for (const column of columns) {
      const value = name === 'pairing' && column === 'store_id' ? copy.storeId : (row[column] ?? null)
      bytes += sizeOf(value)
      batch.push(value)
    }
    if (batch.length >= rowsMax * columns.length || bytes >= BYTES_AT_ONCE_MAX) await insert()
  }
  await insert()
  await continueNumbers(source, client, table)
  await requireCount(client, table, count)
  return count
}

function sizeOf(value: SQLOutputValue): number {
  if (value === null) return 0
  if (typeof value === 'string') return value.length
  return value instanceof Uint8Array ? value.byteLength : BigInt64Array.BYTES_PER_ELEMENT
}

function insertSql({ name, columns, isSingle }: LedgerTable, rowCount: number): string {
  const row = (at: number): string => `(${columns.map((_, column) => `$${at * columns.length + column + 1}`).join()})`
  const values = Array.from({ length: rowCount }, (_, at) => row(at)).join()
  const set = columns.map((column) => `${quoted(column)} = excluded.${quoted(column)}`).join()
  const others = isSingle ? ` on conflict (id) do update set ${set}` : ''
  return `insert into ${quoted(name)} (${columns.map(quoted).join()}) values ${values}${others}`
}

/** New rows get higher numbers than any row that ever was: an id of an event never comes twice. */
async function continueNumbers(source: DatabaseSync, client: Client, { name, identity }: LedgerTable): Promise<void> {
  if (identity === null) return
  const last = source.prepare('select seq from sqlite_sequence where name = ?').get(name)?.seq
  if (last === undefined || last === null || Number(last) === 0) return
  await client.query('select setval(pg_get_serial_sequence($1, $2), $3::bigint)', [name, identity, String(last)])
}

/** @throws Error when the database has other rows than were copied */
async function requireCount(client: Client, { name, isSingle }: LedgerTable, count: number): Promise<void> {
  if (isSingle) return
  const { rows } = await client.query<{ count: string }>(`select count(*) as count from ${quoted(name)}`)
  if (Number(rows[0]?.count) !== count) throw new Error(`${name} has ${rows[0]?.count} rows instead of ${count}`)
}

function quoted(name: string): string {
  return `"${name}"`
}
