/** With many transactions at a time, the totals are spread over rows: see `TOTALS_ROWS`. */
import { type Kysely, sql } from 'kysely'
import { isPostgres } from './columns.ts'

const ROWS = 16

export async function up(db: Kysely<unknown>): Promise<void> {
  if (!isPostgres(db)) return
  await sql`alter table totals drop constraint totals_id_check`.execute(db)
  await sql`alter table totals add constraint totals_id_check check (id between 1 and ${sql.lit(ROWS)})`.execute(db)
  await sql`
    insert into totals (id, open_transfers, open_bytes) select id, 0, 0 from generate_series(2, ${sql.lit(ROWS)}) as id
  `.execute(db)
}
