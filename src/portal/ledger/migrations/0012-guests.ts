/** Guests, which are accounts with an owner, and requests for files from people without an account. */
import { type Kysely, sql } from 'kysely'
import { columnTypes } from './columns.ts'

export async function up(db: Kysely<unknown>): Promise<void> {
  const { text } = columnTypes(db)
  const accounts = db.schema.alterTable('accounts')
  await accounts.addColumn('owner_id', 'integer').execute()
  await accounts.addColumn('request_id', text).execute()
  await accounts.addColumn('expires_at_ms', 'bigint').execute()
  await accounts.addColumn('guest_state', text).execute()
  await accounts.addColumn('guest_transfers', 'integer', (column) => column.notNull().defaultTo(0)).execute()
  await accounts.addColumn('guest_bytes', 'bigint', (column) => column.notNull().defaultTo(0)).execute()
  await db.schema.alterTable('transfers').addColumn('guest_owner_id', 'integer').execute()

  for (const index of [
    'accounts_of_people on accounts (name) where owner_id is null',
    // Of an owner: all that may still be used, those that count as open, and those that it has made itself.
    'guests_active on accounts (owner_id) where owner_id is not null and revoked_at_ms is null',
    "guests_open on accounts (owner_id) where guest_state in ('fresh', 'open')",
    'guests_made on accounts (owner_id, created_at_ms) where owner_id is not null and request_id is null',
    'guests_of_request on accounts (request_id) where request_id is not null',
    // For the sweeper.
    'guests_to_expire on accounts (expires_at_ms) where owner_id is not null and revoked_at_ms is null',
    "guests_to_clear on accounts (created_at_ms) where guest_state = 'ended' and guest_transfers = 0 and revocation_due = 0",
    "guests_cleared on accounts (account_id) where guest_state = 'cleared'",
  ]) {
    await sql.raw(`create index ${index}`).execute(db)
  }

  await db.schema
    .createTable('file_requests')
    .addColumn('request_id', text, (column) => column.primaryKey().notNull())
    .addColumn('owner_id', 'integer', (column) => column.notNull().references('accounts.account_id'))
    .addColumn('secret_hash', text, (column) => column.notNull().unique())
    .addColumn('label', text)
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('ends_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('is_closed', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('uploads_due', 'integer', (column) => column.notNull().defaultTo(1))
    .addColumn('files_max', 'integer', (column) => column.notNull())
    .addColumn('bytes_max', 'bigint', (column) => column.notNull())
    .addColumn('guests', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('files', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('bytes', 'bigint', (column) => column.notNull().defaultTo(0))
    .execute()
  for (const index of [
    'file_requests_of_owner on file_requests (owner_id, request_id)',
    'file_requests_made on file_requests (owner_id, created_at_ms)',
    'file_requests_open on file_requests (owner_id, ends_at_ms)',
    'file_requests_to_settle on file_requests (ends_at_ms) where uploads_due = 1',
    'file_requests_to_forget on file_requests (ends_at_ms) where uploads_due = 0',
  ]) {
    await sql.raw(`create index ${index}`).execute(db)
  }
}
