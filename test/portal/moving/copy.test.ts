/**
 * Every table and every column of a ledger arrives in PostgreSQL. The rows are made from the schema, so that a table of a later
 * migration is looked at as well.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { copyLedger, hasLedger } from '../../../src/portal/ledger/moving/copy.ts'
import { tablesOf, tablesOfRunningPortals } from '../../../src/portal/ledger/moving/tables.ts'
import { postgresLedger } from '../../../src/portal/ledger/postgres.ts'
import { sqliteLedger } from '../../../src/portal/ledger/sqlite.ts'
import { psql, testDatabase } from '../../servers/postgres.ts'

const STORE_ID = 'the-new-store'
const LEDGER_ID = 'the-ledger'
const CONTENT = Uint8Array.from({ length: 256 }, (_, at) => at)

/** A ledger whose tables all have a row of which every value is known. */
async function filledLedger(): Promise<{ database: DatabaseSync; ledgerId: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'golooader-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'ledger.sqlite')
  await (await sqliteLedger({ path })).close()
  const database = new DatabaseSync(path)
  onTestFinished(() => database.close())
  for (const { name } of tablesOf(database)) {
    const columns = database.prepare('select name, type, pk from pragma_table_info(?)').all(name)
    const references = database.prepare('select "from" as source from pragma_foreign_key_list(?)').all(name)
    const isLinked = new Set(references.map(({ source }) => source))
    const values = columns.map((column, at): SQLInputValue => {
      const isKey = Number(column.pk) > 0 || isLinked.has(column.name)
      if (column.type === 'BLOB' || column.type === 'blob') return CONTENT
      if (name === 'pairing' && column.name === 'ledger_id') return LEDGER_ID
      if (/int/i.test(String(column.type))) return isKey ? 1 : 1000 + at
      return isKey ? 'key' : `${name} ${column.name} – ü 🙂`
    })
    database.exec(`delete from "${name}"`)
    database.prepare(`insert into "${name}" values (${values.map(() => '?').join()})`).run(...values)
  }
  return { database, ledgerId: LEDGER_ID }
}

async function emptyLedger(): Promise<string> {
  const { url } = await testDatabase()
  await (await postgresLedger({ url })).close()
  return url
}

async function rowsOf(url: string, table: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { rows } = await client.query(`select * from "${table}" order by 1`)
  await client.end()
  return rows
}

test('all columns of all tables arrive, except the tables of running portals', async () => {
  const source = await filledLedger()
  const url = await emptyLedger()
  const copied = await copyLedger(source, { databaseUrl: url, storeId: STORE_ID })
  const tables = source.database.prepare("select name from sqlite_master where type = 'table'").all()
  const all = tables.map(({ name }) => String(name)).filter((name) => !/^(?:sqlite|kysely)_/.test(name))
  expect([...copied.keys(), ...tablesOfRunningPortals].sort()).toEqual(all.sort())
  for (const name of copied.keys()) {
    const wanted = source.database.prepare(`select * from "${name}"`).get() ?? {}
    if (name === 'pairing') wanted.store_id = STORE_ID
    const [row = {}] = await rowsOf(url, name)
    const text = (value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : String(value))
    for (const [column, value] of Object.entries(wanted)) {
      expect(text(row[column]), `${name}.${column}`).toBe(text(value))
    }
  }
})

test('new rows get numbers above those that a deleted row had', async () => {
  const source = await filledLedger()
  source.database.exec("update sqlite_sequence set seq = 41 where name = 'events'")
  const url = await emptyLedger()
  await copyLedger(source, { databaseUrl: url, storeId: STORE_ID })
  await psql(url, "insert into account_changes (at_ms, change, name) values (1, 'x', 'x')")
  await psql(
    url,
    "insert into events (account_id, transfer_id, at_ms, attempt, notification) values (1, 'key', 1, 1, 'stored')",
  )
  expect(await psql(url, 'select max(event_id) from events')).toBe('42')
  expect(await psql(url, 'select max(change_id) from account_changes')).toBe('2')
})

test('a copy that has been made is not made again, and one that fails leaves nothing', async () => {
  const source = await filledLedger()
  const url = await emptyLedger()
  // A row that PostgreSQL refuses comes late: NUL in a text.
  source.database.prepare('update transfers set metadata = ?').run('a\0b')
  const copy = { databaseUrl: url, storeId: STORE_ID }
  await expect(copyLedger(source, copy)).rejects.toThrow()
  expect(await psql(url, 'select count(*) from accounts')).toBe('0')
  source.database.prepare('update transfers set metadata = ?').run('ab')
  expect((await copyLedger(source, copy)).size).toBeGreaterThan(10)
  expect((await copyLedger(source, copy)).size).toBe(0)
  await expect(hasLedger(source, url)).resolves.toBe(true)
})

test.each([
  ['an invite', "insert into invites (secret_hash, name, expires_at_ms) values ('x', 'bob', 1)", 'invites'],
  ['a store', "update pairing set store_id = 'other'", 'pairing'],
  [
    'a portal that runs',
    "insert into portals values ('p', 'host-of-p', 0, extract(epoch from clock_timestamp()) * 1000 - 20000, 0, '')",
    'at host-of-p',
  ],
])('a database with %s is refused', async (_, statement, said) => {
  const source = await filledLedger()
  const url = await emptyLedger()
  await psql(url, statement)
  const refusal = expect.objectContaining({ code: 'ledger-unusable', message: expect.stringContaining(said) })
  await expect(hasLedger(source, url)).rejects.toEqual(refusal)
  await expect(copyLedger(source, { databaseUrl: url, storeId: STORE_ID })).rejects.toEqual(refusal)
  expect(await psql(url, 'select count(*) from accounts')).toBe('0')
})
