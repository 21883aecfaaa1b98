/** Upload resources, by which later requests continue the upload of one request, and the parts that each of them has. */
import { type Kysely, sql } from 'kysely'
import { columnTypes } from './columns.ts'

export async function up(db: Kysely<unknown>): Promise<void> {
  const { text } = columnTypes(db)
  await db.schema
    .createTable('uploads')
    .addColumn('transfer_id', text, (column) =>
      column.primaryKey().notNull().references('transfers.transfer_id').onDelete('cascade'),
    )
    .addColumn('account_id', 'integer', (column) => column.notNull())
    .addColumn('protocol', text, (column) => column.notNull())
    .addColumn('secret_hash', text, (column) => column.notNull().unique())
    .addColumn('attempt', 'integer', (column) => column.notNull())
    .addColumn('generation', text, (column) => column.notNull())
    .addColumn('is_keyed', 'integer', (column) => column.notNull())
    .addColumn('length_bytes', 'bigint')
    .addColumn('repr_digest', text)
    .addColumn('metadata', text)
    .addColumn('writer_id', text)
    .addColumn('offset_bytes', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('tail', text, (column) => column.notNull().defaultTo('[]'))
    .execute()
  await db.schema
    .createTable('upload_parts')
    .addColumn('transfer_id', text, (column) => column.notNull().references('uploads.transfer_id').onDelete('cascade'))
    .addColumn('part_number', 'integer', (column) => column.notNull())
    .addColumn('digest', text, (column) => column.notNull())
    .addPrimaryKeyConstraint('upload_parts_pk', ['transfer_id', 'part_number'])
    .execute()
  // The open uploads of an account. 2: see the column `one_request`.
  await sql`
    create index transfers_resumable on transfers (sender_id) where state = 'receiving' and one_request = 2
  `.execute(db)
}
