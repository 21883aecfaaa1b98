/** The time at which a portal last checked the clock, to distinguish a clock that was set from time that has passed. */
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('clock')
    .addColumn('id', 'integer', (column) => column.primaryKey().check(sql`id = 1`))
    .addColumn('at_ms', 'bigint', (column) => column.notNull())
    .addColumn('uncounted_ms', 'bigint', (column) => column.notNull())
    .execute()
  await sql`insert into clock (id, at_ms, uncounted_ms) values (1, 0, 0)`.execute(db)
}
