/** Migrations of databases with data. */
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import { postgresLedger } from '../../src/portal/ledger/postgres.ts'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { testDatabase } from '../servers/postgres.ts'
import { testFolder } from '../suites/folder.ts'
import { FakeClock } from '../suites/ledger.ts'
import { work } from '../suites/ledger-work.ts'

/** Undoes `0008-watch` and the later migrations. */
const withoutWatch = [
  'drop table webhook_messages',
  'drop table webhooks',
  'alter table transfers drop column tail_bytes',
  'drop table upload_parts',
  'drop table uploads',
  'drop index transfers_resumable',
  // They are not counted as accounts of people, and an older version has none.
  'update accounts set revoked_at_ms = 1 where owner_id is not null',
  'drop table file_requests',
  'drop index accounts_of_people',
  ...['active', 'open', 'made', 'of_request', 'to_expire', 'to_clear', 'cleared'].map(
    (one) => `drop index guests_${one}`,
  ),
  ...['owner_id', 'request_id', 'expires_at_ms', 'guest_state', 'guest_transfers', 'guest_bytes'].map(
    (column) => `alter table accounts drop column ${column}`,
  ),
  'alter table transfers drop column guest_owner_id',
  'drop index deliveries_waiting',
  "create index deliveries_waiting on deliveries (receiver_id, offer_at_ms) where state = 'waiting'",
  ...['transfers', 'deliveries'].map((table) => `alter table ${table} drop column size_known`),
  'drop table clock',
  'drop index deliveries_received',
  'drop index events_with_problem',
  'drop table portals',
  'drop table minutes',
  'alter table accounts drop column is_operator',
  'alter table invites drop column is_operator',
  'alter table transfers drop column stored_at_ms',
  ...['offered_at_ms', 'ended_at_ms'].map((column) => `alter table deliveries drop column ${column}`),
  ...['ended', 'refused', 'cancelled', 'expired', 'open_deliveries', 'delivered', 'failed', 'accounts'].map(
    (column) => `alter table totals drop column ${column}`,
  ),
  "delete from kysely_migration where name >= '0008-watch'",
]

/** Fills a ledger, undoes the migration, opens it again, and expects the same data. */
async function expectSame(open: () => Promise<Ledger>, run: (sql: string) => Promise<void>): Promise<void> {
  const before = await open()
  await work(before, new FakeClock())
  const census = await before.census()
  await before.close()
  for (const sql of withoutWatch) await run(sql)
  const after = await open()
  onTestFinished(() => after.close())
  expect(await after.census()).toEqual(census)
  // How many ended ones were removed before depends on the plan of the database.
  expect(census.transfers.ended).toBeGreaterThan(0)
  const ada = await after.accountByName('ada')
  expect(ada?.isOperator).toBe(false)
  for (const { deliveries } of await after.transfersOf(ada?.accountId ?? 0, { before: null, limit: 100 })) {
    for (const { offeredAtMs } of deliveries) expect(offeredAtMs).toBeNull()
  }
}

test('a database of the older version has the right totals, and unknown times: SQLite', async () => {
  const path = `${await testFolder()}/ledger.sqlite`
  await expectSame(
    () => sqliteLedger({ path, now: new FakeClock().now }),
    async (sql) => {
      const database = new DatabaseSync(path)
      database.exec(sql)
      database.close()
    },
  )
})

test('a database of the older version has the right totals, and unknown times: PostgreSQL', async () => {
  const { url } = await testDatabase()
  const client = new pg.Client(url)
  await client.connect()
  onTestFinished(() => client.end())
  await expectSame(
    () => postgresLedger({ url, now: new FakeClock().now }),
    async (sql) => {
      await client.query(sql)
    },
  )
})
