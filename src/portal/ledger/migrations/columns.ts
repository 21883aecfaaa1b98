/** Where the same column has another type in another database. For SQLite these are what the first migrations always said. */
import {
  type ColumnBuilderCallback,
  type ColumnDataType,
  type Expression,
  type Kysely,
  PostgresAdapter,
  sql,
} from 'kysely'

export function isPostgres(db: Kysely<never> | Kysely<unknown>): boolean {
  return db.getExecutor().adapter instanceof PostgresAdapter
}

export interface ColumnTypes {
  /** Compared and put in order by its bytes, whatever the language of the database. */
  readonly text: ColumnDataType | Expression<unknown>
  /** Holds what counts without an end: the ids of events, and of changes. */
  readonly count: ColumnDataType
  readonly bytes: ColumnDataType
  /** A primary key that the database gives, larger each time. */
  readonly identity: ColumnBuilderCallback
}

export function columnTypes(db: Kysely<unknown>): ColumnTypes {
  if (isPostgres(db)) {
    return {
      text: sql`text collate "C"`,
      count: 'bigint',
      bytes: 'bytea',
      identity: (column) => column.generatedByDefaultAsIdentity().primaryKey(),
    }
  }
  return {
    text: 'text',
    count: 'integer',
    bytes: 'blob',
    identity: (column) => column.primaryKey().autoIncrement(),
  }
}
