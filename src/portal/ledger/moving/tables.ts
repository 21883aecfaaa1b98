/**
 * The tables of a ledger, read from the schema of its SQLite file. So a table that a later migration adds is moved like the others.
 */
import type { DatabaseSync } from 'node:sqlite'

export interface LedgerTable {
  readonly name: string
  readonly columns: readonly string[]
  /** The column of row numbers that the database generates; null where it generates none. */
  readonly identity: string | null
  /** A table of one row, whose key is `id`. Migrations make its row, and `totals` has more of them in PostgreSQL. */
  readonly isSingle: boolean
}

/** Tables that belong to running portals. They are not moved, because no portal runs. */
export const tablesOfRunningPortals: readonly string[] = ['duties', 'portals']

/** All tables, each after those that it refers to. */
export function tablesOf(database: DatabaseSync): LedgerTable[] {
  const found = database
    .prepare(
      "select name, sql from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\' " +
        "and name not like 'kysely\\_%' escape '\\' order by name",
    )
    .all()
    .map(({ name, sql }) => describe(database, String(name), String(sql)))
  return ordered(found)
}

type Described = LedgerTable & { readonly refersTo: readonly string[] }

function describe(database: DatabaseSync, name: string, definition: string): Described {
  const columns = database.prepare('select name, pk from pragma_table_info(?)').all(name)
  const key = columns.filter(({ pk }) => Number(pk) > 0).map((column) => String(column.name))
  const references = database.prepare('select "table" as target from pragma_foreign_key_list(?)').all(name)
  return {
    name,
    columns: columns.map((column) => String(column.name)),
    identity: /\bautoincrement\b/i.test(definition) ? (key[0] ?? null) : null,
    isSingle: key.length === 1 && key[0] === 'id',
    refersTo: references.map(({ target }) => String(target)).filter((target) => target !== name),
  }
}

function ordered(tables: readonly Described[]): LedgerTable[] {
  const done = new Map<string, LedgerTable>()
  const add = (table: Described): void => {
    if (done.has(table.name)) return
    for (const target of table.refersTo) {
      const other = tables.find(({ name }) => name === target)
      if (other === undefined) throw new Error(`${table.name} refers to ${target}, which is no table of the ledger`)
      add(other)
    }
    const { refersTo: _, ...rest } = table
    done.set(table.name, rest)
  }
  for (const table of tables) add(table)
  return [...done.values()]
}
