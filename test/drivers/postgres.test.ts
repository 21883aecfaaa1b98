/** The PostgreSQL ledger: the suite of the contract, its plans, its schema, and several processes that start at once. */
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { postgresLedger } from '../../src/portal/ledger/postgres.ts'
import { testDatabase } from '../servers/postgres.ts'
import { FakeClock, testLedger } from '../suites/ledger.ts'
import { noting, withoutQuery, work } from '../suites/ledger-work.ts'
import { expectWritersAtOnce } from './writers.ts'

testLedger('postgres', async (now) => postgresLedger({ url: await emptyDatabase(), now }))

let used: Promise<{ url: string }> | null = null

/** An emptied database. All tests of the suite use the same one, because making one takes longer than most tests. */
async function emptyDatabase(): Promise<string> {
  if (used === null) {
    used = testDatabase()
    return (await used).url
  }
  const { url } = await used
  const client = await connect(url)
  const { rows } = await client.query<{ name: string }>(
    "select tablename as name from pg_tables where schemaname = 'public' and tablename not like 'kysely%'",
  )
  const names = rows.map(({ name }) => name).filter((name) => !constant.includes(name))
  await client.query(`
    truncate ${names.join()} restart identity cascade;
    update totals set open_transfers = 0, open_bytes = 0, ended = 0, refused = 0, cancelled = 0, expired = 0,
      open_deliveries = 0, delivered = 0, failed = 0, accounts = 0;
    update audit_log set change_id = 0;
    update pairing set ledger_id = gen_random_uuid(), store_id = null`)
  return url
}

/** Tables whose number of rows never grows. */
const constant = ['totals', 'audit_log', 'pairing']

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client(url)
  await client.connect()
  onTestFinished(() => client.end())
  return client
}

describe('query plans', () => {
  interface Plan {
    readonly 'Node Type': string
    readonly 'Relation Name'?: string
    readonly 'Index Cond'?: string
    readonly Filter?: string
    readonly Plans?: readonly Plan[]
  }

  function stepsOf(plan: Plan): Plan[] {
    return [plan, ...(plan.Plans ?? []).flatMap(stepsOf)]
  }

  function isSlow(step: Plan): boolean {
    const kind = step['Node Type']
    if (constant.includes(step['Relation Name'] ?? '')) return false
    if (kind === 'Seq Scan' || kind === 'Sort') return true
    // An index scan is as bad as a table scan unless it reads only the wanted rows.
    return /^Index|^Bitmap Index/.test(kind) && step['Index Cond'] === undefined && step.Filter !== undefined
  }

  /** Many accounts with transfers and deliveries in every state. With few rows PostgreSQL would not choose the right index. */
  const crowd = `
    insert into accounts (name, token_id, token_hash, created_at_ms)
      select 'crowd ' || n, 'crowd token ' || n, '', 0 from generate_series(1, 200) n;
    insert into transfers select (jsonb_populate_record(one.row, jsonb_build_object(
        'transfer_id', 'crowd ' || n, 'sender_id', a.account_id,
        'state', (array['receiving', 'stored', 'ended', 'refused'])[1 + n % 4],
        'created_at_ms', n, 'expires_at_ms', n, 'upload_deadline_ms', n,
        'ended_at_ms', case when n % 4 > 1 then n end, 'parts_held', n / 4 % 2))).*
      from (select row from transfers row limit 1) one, generate_series(1, 8000) n
      join accounts a on a.name = 'crowd ' || (1 + n % 200);
    insert into deliveries select (jsonb_populate_record(one.row, jsonb_build_object(
        'transfer_id', t.transfer_id, 'receiver_id', a.account_id,
        'state', (array['waiting', 'offered', 'delivered'])[1 + t.created_at_ms % 3],
        'offer_at_ms', t.created_at_ms, 'lease_id', t.transfer_id, 'instance_id', 'crowd ' || t.created_at_ms,
        'lease_expires_at_ms', t.created_at_ms))).*
      from (select row from deliveries row limit 1) one, transfers t
      join accounts a on a.name = 'crowd ' || (1 + t.created_at_ms * 7 % 200) where t.transfer_id like 'crowd%';
    insert into events (account_id, transfer_id, at_ms, attempt, notification)
      select sender_id, transfer_id, created_at_ms, 1, 'stored' from transfers where transfer_id like 'crowd%';
    update events set problem = '{}' where at_ms % 10 = 0;
    insert into contents select transfer_id, '', '' from transfers where transfer_id like 'crowd%';
    insert into invites select 'crowd ' || n, 'crowd ' || n % 500, n, case when n % 3 > 0 then '' end, null
      from generate_series(1, 2000) n;
    insert into accounts (name, token_id, token_hash, created_at_ms, owner_id, request_id, expires_at_ms, guest_state)
      select 'guest ' || n, 'guest token ' || n, '', n, a.account_id, case when n % 2 = 0 then 'crowd ' || n % 100 end, n,
        (array['fresh', 'open', 'taken', 'ended', 'cleared'])[1 + n % 5]
      from generate_series(1, 2000) n join accounts a on a.name = 'crowd ' || (1 + n % 200);
    insert into file_requests (request_id, owner_id, secret_hash, created_at_ms, ends_at_ms, files_max, bytes_max, uploads_due)
      select 'crowd ' || n, a.account_id, 'crowd ' || n, n, n, 1, 1, n % 2
      from generate_series(1, 2000) n join accounts a on a.name = 'crowd ' || (1 + n % 200);
    insert into account_changes (at_ms, change, name) select n, '', '' from generate_series(1, 2000) n;
    insert into portals select 'crowd ' || n, '', n, n, 0, '[]' from generate_series(1, 2000) n;
    insert into minutes select n / 4, 'crowd ' || n % 4, 0, 0, 0, 0 from generate_series(1, 2000) n;
    analyze`

  test('no statement scans a table or sorts its result', async () => {
    const { url } = await testDatabase()
    const clock = new FakeClock()
    const statements = new Map<string, readonly unknown[]>()
    const called = new Set<string>()
    const ledger = await postgresLedger({ url, now: clock.now, onQuery: (sql, values) => statements.set(sql, values) })
    await work(noting(ledger, called), clock)
    const uncalled = Object.keys(ledger).filter((method) => !withoutQuery.has(method) && !called.has(method))
    expect(uncalled, 'every method is looked at').toEqual([])
    await ledger.close()

    const client = await connect(url)
    await client.query(crowd)
    // With these few rows a table scan may be right. The test asks whether an index could be used.
    await client.query('set enable_seqscan = off')
    await client.query('set enable_sort = off')
    const looked = [...statements].filter(([sql]) =>
      /\b(accounts|invites|account_changes|transfers|deliveries|events|contents|portals|minutes|file_requests|webhooks|webhook_messages)"/.test(
        sql,
      ),
    )
    expect(looked.length).toBeGreaterThan(40)
    const slow: string[] = []
    for (const [sql, values] of looked) {
      const { rows } = await client.query(`explain (format json) ${sql}`, [...values])
      const steps = stepsOf(rows[0]['QUERY PLAN'][0].Plan)
      if (steps.some(isSlow)) slow.push(`${sql}\n${JSON.stringify(steps.filter(isSlow))}`)
    }
    expect(slow).toEqual([])
  })
})

describe('the schema', () => {
  test('equals schema.postgres.sql (refresh: vitest run --project unit test/drivers/postgres.test -u)', async () => {
    const { url } = await testDatabase()
    await (await postgresLedger({ url })).close()
    const client = await connect(url)
    /** Table -> its rows. */
    const lines = async (statement: string): Promise<Map<string, string[]>> => {
      const { rows } = await client.query<{ name: string; line: string }>(statement)
      const found = new Map<string, string[]>()
      for (const { name, line } of rows) found.set(name, [...(found.get(name) ?? []), line])
      return found
    }
    const columns = await lines(`
      select c.relname as name, concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
        case when l.collname <> 'default' then 'collate "' || l.collname || '"' end,
        case when a.attidentity <> '' then 'generated by default as identity' end,
        case when a.attnotnull then 'not null' end,
        'default ' || pg_get_expr(d.adbin, d.adrelid)) as line
      from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      left join pg_collation l on l.oid = a.attcollation
      left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
      where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and c.relname not like 'kysely%'
      order by c.relname, a.attnum`)
    const constraints = await lines(`
      select conrelid::regclass::text as name, 'constraint ' || conname || ' ' || pg_get_constraintdef(oid) as line
      from pg_constraint
      where connamespace = 'public'::regnamespace and conrelid::regclass::text not like 'kysely%'
      order by conrelid::regclass::text, contype desc, conname`)
    const indexes = await lines(`
      select tablename as name, replace(indexdef, ' public.', ' ') || ';' as line
      from pg_indexes
      where schemaname = 'public' and tablename not like 'kysely%'
        and indexname not in (select conname from pg_constraint where connamespace = 'public'::regnamespace)
      order by tablename, indexname`)
    const linesOf = (found: Map<string, string[]>, name: string) => found.get(name) ?? []
    const tables = [...columns.keys()].map((name) => {
      const inside = [...linesOf(columns, name), ...linesOf(constraints, name)].join(',\n  ')
      return [`create table ${name} (\n  ${inside}\n);`, ...linesOf(indexes, name)].join('\n')
    })
    const head =
      '-- What the migrations make of an empty PostgreSQL database. Written by test/drivers/postgres.test.ts, to be read.'
    await expect(`${[head, ...tables].join('\n\n')}\n`).toMatchFileSnapshot(
      '../../src/portal/ledger/schema.postgres.sql',
    )
  })

  test('of a newer version is not changed', async () => {
    const { url } = await testDatabase()
    await (await postgresLedger({ url })).close()
    const client = await connect(url)
    await client.query("insert into kysely_migration (name, timestamp) values ('9999-later', '2099-01-01')")
    await expect(postgresLedger({ url })).rejects.toThrow(
      'made by a newer version of this program, which added 9999-later',
    )
  })

  test('requires a database with UTF-8', async () => {
    const { url } = await testDatabase()
    const name = `latin_${process.pid}`
    const client = await connect(url)
    await client.query(`create database ${name} encoding 'LATIN1' locale 'C' template template0`)
    const other = new URL(url)
    other.pathname = `/${name}`
    await expect(postgresLedger({ url: other.href })).rejects.toThrow('must be UTF8')
    await client.query(`drop database ${name}`)
  })
})

describe('several processes on one database', () => {
  test('create its tables, write and read at the same time without blocking each other', async () => {
    const { url } = await testDatabase()
    await expectWritersAtOnce(url, () => postgresLedger({ url }))
  })
})
