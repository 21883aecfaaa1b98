/** The first tables. A released migration is never edited; later migrations change its tables. */
import { type Kysely, sql } from 'kysely'
import { columnTypes } from './columns.ts'

export async function up(db: Kysely<unknown>): Promise<void> {
  const { count, identity, text } = columnTypes(db)
  await db.schema
    .createTable('accounts')
    .addColumn('account_id', 'integer', identity)
    .addColumn('name', text, (column) => column.notNull().unique())
    .addColumn('token_id', text, (column) => column.notNull().unique())
    .addColumn('token_hash', text, (column) => column.notNull())
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('open_transfers', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('open_bytes', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute()

  await db.schema
    .createTable('invites')
    .addColumn('secret_hash', text, (column) => column.primaryKey().notNull())
    .addColumn('name', text, (column) => column.notNull())
    .addColumn('expires_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('token_id', text)
    .execute()
  await db.schema.createIndex('invites_by_expiry').on('invites').column('expires_at_ms').execute()

  await db.schema
    .createTable('totals')
    .addColumn('id', 'integer', (column) => column.primaryKey().check(sql`id = 1`))
    .addColumn('open_transfers', 'bigint', (column) => column.notNull())
    .addColumn('open_bytes', 'bigint', (column) => column.notNull())
    .execute()
  await sql`insert into totals (id, open_transfers, open_bytes) values (1, 0, 0)`.execute(db)

  await db.schema
    .createTable('transfers')
    .addColumn('transfer_id', text, (column) => column.primaryKey().notNull())
    .addColumn('sender_id', 'integer', (column) => column.notNull().references('accounts.account_id'))
    .addColumn('sender', text, (column) => column.notNull())
    .addColumn('state', text, (column) => column.notNull())
    .addColumn('attempt', 'integer', (column) => column.notNull())
    .addColumn('announcement', text, (column) => column.notNull())
    .addColumn('metadata', text, (column) => column.notNull())
    .addColumn('size_bytes', 'bigint', (column) => column.notNull())
    .addColumn('part_size_bytes', 'bigint', (column) => column.notNull())
    .addColumn('digest_algorithm', text, (column) => column.notNull())
    .addColumn('manifest_digest', text)
    .addColumn('problem', text)
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('expires_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('upload_deadline_ms', 'bigint')
    .addColumn('open_deliveries', 'integer', (column) => column.notNull())
    .addColumn('ended_at_ms', 'bigint')
    .addColumn('parts_held', 'integer', (column) => column.notNull())
    .execute()
  await sql`create index transfers_by_sender on transfers (sender_id, transfer_id)`.execute(db)
  await sql`create index transfers_by_upload_deadline on transfers (upload_deadline_ms) where state = 'receiving'`.execute(
    db,
  )
  await sql`create index transfers_by_expiry on transfers (expires_at_ms) where state in ('receiving', 'stored')`.execute(
    db,
  )
  await sql`create index transfers_to_remove on transfers (ended_at_ms) where parts_held = 1 and ended_at_ms is not null`.execute(
    db,
  )
  await sql`create index transfers_by_end on transfers (ended_at_ms) where parts_held = 0 and ended_at_ms is not null`.execute(
    db,
  )

  await db.schema
    .createTable('deliveries')
    .addColumn('transfer_id', text, (column) =>
      column.notNull().references('transfers.transfer_id').onDelete('cascade'),
    )
    .addColumn('receiver_id', 'integer', (column) => column.notNull().references('accounts.account_id'))
    .addColumn('receiver', text, (column) => column.notNull())
    .addColumn('state', text, (column) => column.notNull())
    .addColumn('offers', 'integer', (column) => column.notNull())
    .addColumn('resends', 'integer', (column) => column.notNull())
    .addColumn('fetched_bytes', 'bigint', (column) => column.notNull())
    .addColumn('offer_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('lease_id', text)
    .addColumn('instance_id', text)
    .addColumn('lease_expires_at_ms', 'bigint')
    .addColumn('problem', text)
    .addPrimaryKeyConstraint('deliveries_key', ['transfer_id', 'receiver_id'])
    .execute()
  await sql`create index deliveries_waiting on deliveries (receiver_id, offer_at_ms) where state = 'waiting'`.execute(
    db,
  )
  await sql`create index deliveries_offered on deliveries (receiver_id, instance_id) where state = 'offered'`.execute(
    db,
  )
  await sql`create index deliveries_by_lease on deliveries (lease_expires_at_ms) where state = 'offered'`.execute(db)

  await db.schema
    .createTable('events')
    .addColumn('event_id', count, identity)
    .addColumn('account_id', 'integer', (column) => column.notNull().references('accounts.account_id'))
    .addColumn('transfer_id', text, (column) =>
      column.notNull().references('transfers.transfer_id').onDelete('cascade'),
    )
    .addColumn('at_ms', 'bigint', (column) => column.notNull())
    .addColumn('attempt', 'integer', (column) => column.notNull())
    .addColumn('notification', text, (column) => column.notNull())
    .addColumn('receiver', text)
    .addColumn('problem', text)
    .addColumn('wanted', text)
    .execute()
  await sql`create index events_by_account on events (account_id, event_id)`.execute(db)
  await sql`create index events_by_transfer on events (transfer_id, event_id)`.execute(db)
}
