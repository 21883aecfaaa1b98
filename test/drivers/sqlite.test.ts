/** What only the SQLite ledger can show: its plans, its schema, and several processes on one file. */
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { testFolder } from '../suites/folder.ts'
import { FakeClock, join } from '../suites/ledger.ts'
import { noting, withoutQuery, work } from '../suites/ledger-work.ts'
import { expectWritersAtOnce } from './writers.ts'

describe('query plans', () => {
  async function plans(): Promise<{ sql: string; steps: string[] }[]> {
    const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
    const clock = new FakeClock()
    const statements = new Set<string>()
    const called = new Set<string>()
    const ledger = await sqliteLedger({ path, now: clock.now, onQuery: (sql) => statements.add(sql) })
    await work(noting(ledger, called), clock)
    const uncalled = Object.keys(ledger).filter((member) => !withoutQuery.has(member) && !called.has(member))
    expect(uncalled, 'every method is looked at').toEqual([])
    await ledger.close()

    const database = new DatabaseSync(path, { readOnly: true })
    onTestFinished(() => database.close())
    return [...statements]
      .filter((sql) => /^(select|update|delete)\b/i.test(sql) && !/kysely_|sqlite_master|pragma/i.test(sql))
      .map((sql) => ({
        sql,
        steps: database
          .prepare(`explain query plan ${sql}`)
          .all()
          .map(({ detail }) => String(detail)),
      }))
  }

  test('no statement walks through a table, or sorts what it found', async () => {
    const found = await plans()
    expect(found.length).toBeGreaterThan(25)
    const slow = found.filter(({ steps }) => steps.some((step) => /^SCAN|TEMP B-TREE/.test(step)))
    expect(slow).toEqual([])
  })
})

describe('the schema', () => {
  test('is the one of schema.sql (refresh: vitest run --project unit test/drivers/sqlite -u)', async () => {
    const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
    await (await sqliteLedger({ path })).close()
    const database = new DatabaseSync(path, { readOnly: true })
    onTestFinished(() => database.close())
    const statements = database
      .prepare(
        "select sql from sqlite_schema where sql is not null and name not like 'sqlite_%' and name not like 'kysely_%' order by tbl_name, type desc, name",
      )
      .all()
      .map(({ sql }) => `${laidOut(String(sql))};\n`)
    const dump = [
      '-- What the migrations make of an empty SQLite database. Written by test/drivers/sqlite.test.ts, to be read.\n',
      ...statements,
    ].join('\n')
    await expect(dump).toMatchFileSnapshot('../../src/portal/ledger/schema.sql')
  })

  test('of a newer version is left alone', async () => {
    const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
    await (await sqliteLedger({ path })).close()
    const database = new DatabaseSync(path)
    database.exec("insert into kysely_migration (name, timestamp) values ('9999-later', '2099-01-01')")
    database.close()
    await expect(sqliteLedger({ path })).rejects.toThrow(
      'made by a newer version of this program, which added 9999-later',
    )
  })
})

/** One column a line. */
function laidOut(sql: string): string {
  if (!/^create table/i.test(sql)) return sql.replaceAll('"', '')
  let depth = 0
  let text = ''
  for (const char of sql.replaceAll('"', '')) {
    if (char === '(') depth++
    if (char === ')') depth--
    if (char === ')' && depth === 0) text += '\n'
    text += char
    if (depth === 1 && (char === ',' || (char === '(' && !text.includes('\n')))) text += '\n  '
  }
  return text.replace(/\n {3,}/g, '\n  ')
}

describe('several on one file', () => {
  test('of one process wait for each other, and hold up nothing else', async () => {
    const path = `${await testFolder()}/ledger.sqlite`
    const ledgers = [await sqliteLedger({ path }), await sqliteLedger({ path })]
    onTestFinished(async () => {
      for (const ledger of ledgers) await ledger.close()
    })
    const joined = ledgers.map(async (ledger, index) => {
      for (let number = 1; number <= 20; number++) await join(ledger, `account-${index}-${number}`)
    })
    await Promise.all(joined)
    expect(await ledgers[0]?.accounts({ after: '', limit: 100 })).toHaveLength(40)
  })
})

describe('several processes on one file', () => {
  test('make it, write and read at the same time without hindering each other', async () => {
    const path = `${await testFolder()}/ledger.sqlite`
    await expectWritersAtOnce(path, () => sqliteLedger({ path }))
  }, 30_000)
})
