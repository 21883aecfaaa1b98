/** The content of small files. */
import type { Kysely } from 'kysely'
import { columnTypes } from './columns.ts'

export async function up(db: Kysely<unknown>): Promise<void> {
  const { bytes, text } = columnTypes(db)
  await db.schema
    .alterTable('transfers')
    .addColumn('held_in_ledger', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
  await db.schema
    .createTable('contents')
    .addColumn('transfer_id', text, (column) =>
      column.primaryKey().references('transfers.transfer_id').onDelete('cascade'),
    )
    .addColumn('digest', text, (column) => column.notNull())
    .addColumn('content', bytes, (column) => column.notNull())
    .execute()
}
