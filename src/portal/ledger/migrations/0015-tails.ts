/** The bytes of unfinished parts of uploads of unknown length, so that they count in the quota of their sender. */
import type { Kysely } from 'kysely'
import { columnTypes } from './columns.ts'

export async function up(db: Kysely<unknown>): Promise<void> {
  const { count } = columnTypes(db)
  await db.schema
    .alterTable('transfers')
    .addColumn('tail_bytes', count, (column) => column.notNull().defaultTo(0))
    .execute()
}
