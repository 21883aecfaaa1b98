/** Public keys of accounts, signed manifests of transfers, signed receipts in events. All are opaque to the portal. */
import type { Kysely } from 'kysely'
import { columnTypes } from './columns.ts'

export async function up(db: Kysely<unknown>): Promise<void> {
  const { text } = columnTypes(db)
  await db.schema.alterTable('accounts').addColumn('keys', text).execute()
  await db.schema.alterTable('transfers').addColumn('manifest', text).execute()
  await db.schema.alterTable('events').addColumn('receipt', text).execute()
}
