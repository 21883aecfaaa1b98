/** Data for people who watch the portal: times of both hops, totals by state, portals, throughput, and operators' accounts. */
import { type Kysely, sql } from 'kysely'
import { columnTypes } from './columns.ts'

export async function up(db: Kysely<unknown>): Promise<void> {
  const { text } = columnTypes(db)
  await db.schema.alterTable('transfers').addColumn('stored_at_ms', 'bigint').execute()
  await db.schema.alterTable('deliveries').addColumn('offered_at_ms', 'bigint').execute()
  await db.schema.alterTable('deliveries').addColumn('ended_at_ms', 'bigint').execute()
  // A delivery that failed before it was offered is not shown to its receiver.
  await sql`create index deliveries_received on deliveries (receiver_id, transfer_id) where state <> 'failed' or offers > 0`.execute(
    db,
  )
  await sql`create index events_with_problem on events (at_ms) where problem is not null`.execute(db)

  for (const table of ['accounts', 'invites'] as const) {
    await db.schema
      .alterTable(table)
      .addColumn('is_operator', 'integer', (column) => column.notNull().defaultTo(0))
      .execute()
  }

  for (const [column, table, condition] of [
    ['ended', 'transfers', sql`state = 'ended'`],
    ['refused', 'transfers', sql`state = 'refused'`],
    ['cancelled', 'transfers', sql`state = 'cancelled'`],
    ['expired', 'transfers', sql`state = 'expired'`],
    ['open_deliveries', 'deliveries', sql`state in ('waiting', 'offered')`],
    ['delivered', 'deliveries', sql`state = 'delivered'`],
    ['failed', 'deliveries', sql`state = 'failed'`],
    ['accounts', 'accounts', sql`revoked_at_ms is null`],
  ] as const) {
    await db.schema
      .alterTable('totals')
      .addColumn(column, 'bigint', (type) => type.notNull().defaultTo(0))
      .execute()
    await sql`
      update totals set ${sql.ref(column)} = (select count(*) from ${sql.table(table)} where ${condition}) where id = 1
    `.execute(db)
  }

  await db.schema
    .createTable('portals')
    .addColumn('portal_id', text, (column) => column.primaryKey().notNull())
    .addColumn('node', text, (column) => column.notNull())
    .addColumn('since_ms', 'bigint', (column) => column.notNull())
    .addColumn('seen_ms', 'bigint', (column) => column.notNull())
    .addColumn('receiver_count', 'integer', (column) => column.notNull())
    .addColumn('receivers', 'text', (column) => column.notNull())
    .execute()
  await sql`create index portals_by_sight on portals (seen_ms)`.execute(db)
  await db.schema
    .createTable('minutes')
    .addColumn('at_ms', 'bigint', (column) => column.notNull())
    .addColumn('portal_id', text, (column) => column.notNull())
    .addColumn('stored_bytes', 'bigint', (column) => column.notNull())
    .addColumn('delivered_bytes', 'bigint', (column) => column.notNull())
    .addColumn('stored_count', 'integer', (column) => column.notNull())
    .addColumn('delivered_count', 'integer', (column) => column.notNull())
    .addPrimaryKeyConstraint('minutes_key', ['at_ms', 'portal_id'])
    .execute()
}
