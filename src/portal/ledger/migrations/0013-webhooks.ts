/** Webhooks: each has a cursor in the log of events, and messages that are made from the events behind it. */
import { type Kysely, sql } from 'kysely'
import { columnTypes } from './columns.ts'

export async function up(db: Kysely<unknown>): Promise<void> {
  const { text } = columnTypes(db)
  await db.schema
    .createTable('webhooks')
    .addColumn('webhook_id', text, (column) => column.primaryKey().notNull())
    .addColumn('account_id', 'integer', (column) => column.notNull().references('accounts.account_id'))
    .addColumn('url', text, (column) => column.notNull())
    .addColumn('kinds', text, (column) => column.notNull())
    .addColumn('secret', text, (column) => column.notNull())
    .addColumn('whole_portal', 'integer', (column) => column.notNull())
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('cursor_event', 'bigint', (column) => column.notNull())
    .addColumn('open_messages', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('failures', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('failing_since_ms', 'bigint')
    .addColumn('pause_until_ms', 'bigint')
    .addColumn('next_at_ms', 'bigint')
    .addColumn('served_at_ms', 'bigint', (column) => column.notNull().defaultTo(0))
    .addColumn('lease_portal_id', text)
    .addColumn('lease_expires_at_ms', 'bigint')
    .addColumn('disabled_at_ms', 'bigint')
    .addColumn('reason', text)
    .execute()
  await db.schema
    .createTable('webhook_messages')
    .addColumn('message_id', text, (column) => column.primaryKey().notNull())
    .addColumn('webhook_id', text, (column) => column.notNull().references('webhooks.webhook_id').onDelete('cascade'))
    .addColumn('event_number', 'bigint', (column) => column.notNull())
    .addColumn('kind', text, (column) => column.notNull())
    .addColumn('transfer_id', text)
    .addColumn('state', text, (column) => column.notNull())
    .addColumn('body', text)
    .addColumn('created_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('attempts', 'integer', (column) => column.notNull().defaultTo(0))
    .addColumn('next_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('give_up_at_ms', 'bigint', (column) => column.notNull())
    .addColumn('tried_at_ms', 'bigint')
    .addColumn('ended_at_ms', 'bigint')
    .addColumn('status', 'integer')
    .addColumn('reason', text)
    .execute()
  for (const index of [
    'webhooks_of_account on webhooks (account_id, webhook_id)',
    'webhooks_active on webhooks (served_at_ms) where disabled_at_ms is null',
    "webhook_messages_due on webhook_messages (webhook_id, next_at_ms, event_number) where state = 'pending'",
    "webhook_messages_open on webhook_messages (webhook_id, transfer_id, event_number) where state in ('pending', 'queued')",
    'webhook_messages_log on webhook_messages (webhook_id, created_at_ms, message_id)',
    'webhook_messages_ended on webhook_messages (ended_at_ms) where ended_at_ms is not null',
  ]) {
    await sql.raw(`create index ${index}`).execute(db)
  }
}
