/** Which transfers were sent in one request, so that no sender continues them part by part. */
import type { Kysely } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .alterTable('transfers')
    .addColumn('one_request', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
}
