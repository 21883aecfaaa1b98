/** For several portals over one ledger: generations of parts, duties, the id of their store, and their address. */
import { type Kysely, sql } from 'kysely'
import { columnTypes } from './columns.ts'

export async function up(db: Kysely<unknown>): Promise<void> {
  const { text } = columnTypes(db)
  await db.schema
    .alterTable('transfers')
    .addColumn('generation', text, (column) => column.notNull().defaultTo(''))
    .execute()
  await db.schema
    .createTable('duties')
    .addColumn('duty', text, (column) => column.primaryKey().notNull())
    .addColumn('portal_id', text, (column) => column.notNull())
    .addColumn('expires_at_ms', 'bigint', (column) => column.notNull())
    .execute()
  await db.schema
    .createTable('address')
    .addColumn('id', 'integer', (column) => column.primaryKey().check(sql`id = 1`))
    .addColumn('url', text, (column) => column.notNull())
    .execute()
  await db.schema
    .createTable('pairing')
    .addColumn('id', 'integer', (column) => column.primaryKey().check(sql`id = 1`))
    .addColumn('ledger_id', text, (column) => column.notNull())
    .addColumn('store_id', text)
    .execute()
  await sql`insert into pairing (id, ledger_id) values (1, ${crypto.randomUUID()})`.execute(db)
}
