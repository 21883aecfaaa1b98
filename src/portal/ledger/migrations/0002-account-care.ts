/** Accounts can be revoked and renewed, and their changes are recorded. */
import { type Kysely, sql } from 'kysely'
import { columnTypes } from './columns.ts'

export async function up(db: Kysely<unknown>): Promise<void> {
  const { count, identity, text } = columnTypes(db)
  await db.schema.alterTable('accounts').addColumn('revoked_at_ms', 'bigint').execute()
  await db.schema
    .alterTable('accounts')
    .addColumn('revocation_due', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
  await sql`create index accounts_to_settle on accounts (revoked_at_ms) where revocation_due = 1`.execute(db)
  await sql`create index transfers_receiving on transfers (sender_id) where state = 'receiving'`.execute(db)

  await db.schema
    .alterTable('invites')
    .addColumn('account_id', 'integer', (column) => column.references('accounts.account_id'))
    .execute()
  await sql`create index invites_open on invites (name, expires_at_ms) where token_id is null`.execute(db)

  await db.schema
    .createTable('account_changes')
    .addColumn('change_id', count, identity)
    .addColumn('at_ms', 'bigint', (column) => column.notNull())
    .addColumn('change', text, (column) => column.notNull())
    .addColumn('name', text, (column) => column.notNull())
    .addColumn('dead_token_id', text)
    .execute()
  await db.schema.createIndex('account_changes_by_time').on('account_changes').column('at_ms').execute()

  await db.schema
    .createTable('audit_log')
    .addColumn('id', 'integer', (column) => column.primaryKey().check(sql`id = 1`))
    .addColumn('change_id', count, (column) => column.notNull())
    .execute()
  await sql`insert into audit_log (id, change_id) values (1, 0)`.execute(db)
}
