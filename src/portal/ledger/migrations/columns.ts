/** Column types that differ between databases. The types for SQLite are those of the first migrations. */
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
  /** Compared and sorted by its bytes, whatever the locale of the database. */
  readonly text: ColumnDataType | Expression<unknown>
  /** For unbounded counters: the ids of events and changes. */
  readonly count: ColumnDataType
  readonly bytes: ColumnDataType
  /** A primary key that the database generates, larger each time. */
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
