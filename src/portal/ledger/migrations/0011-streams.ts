/** Streams: transfers whose size is not known before they are complete. Most receivers are offered them only then. */
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const table of ['transfers', 'deliveries']) {
    await db.schema
      .alterTable(table)
      .addColumn('size_known', 'integer', (column) => column.notNull().defaultTo(1))
      .execute()
  }
  await sql`drop index deliveries_waiting`.execute(db)
  await sql`
    create index deliveries_waiting on deliveries (receiver_id, size_known, offer_at_ms) where state = 'waiting'
  `.execute(db)
}
