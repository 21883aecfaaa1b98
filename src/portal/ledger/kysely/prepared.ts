/**
 * Statements that are built and compiled once, and run with other values each time. To put one together and to turn it into
 * text costs more than SQLite takes to run it; for those that every small file runs several times, that counts.
 */
import type { Compilable, CompiledQuery, Insertable, Selectable } from 'kysely'
import type { LedgerTables } from '../schema.ts'
import { hasRowLocks } from './locks.ts'
import type { Db } from './rows.ts'

/** Stands for a value while a statement is compiled. */
class Placeholder {
  readonly index: number

  constructor(index: number) {
    this.index = index
  }
}

export interface Prepared<Values extends readonly unknown[], Row> {
  /** Runs the statement with its values, in a transaction or outside of one. @returns its rows */
  (db: Db, ...values: Values): Promise<Row[]>
  /** The statement with its values, for `together`. */
  with(db: Db, ...values: Values): CompiledQuery<Row>
}

/**
 * @param build puts the statement together from values that it may only pass on as parameters, each at least once
 */
export function prepared<Values extends readonly unknown[], Row>(
  build: (db: Db, ...values: Values) => Compilable<Row>,
): Prepared<Values, Row> {
  // The first value is the database itself.
  return preparedOf(build.length - 1, (db, values: Values) => build(db, ...values))
}

function preparedOf<Values extends readonly unknown[], Row>(
  valueCount: number,
  build: (db: Db, values: Values) => Compilable<Row>,
): Prepared<Values, Row> {
  /** One for each kind of database: their texts differ. */
  const texts = new WeakMap<object, CompiledQuery<Row>>()
  const compile = (db: Db): CompiledQuery<Row> => {
    const placeholders = Array.from({ length: valueCount }, (_, index) => new Placeholder(index))
    const text = build(db, placeholders as unknown as Values).compile()
    const used = new Set(text.parameters.map((one) => (one instanceof Placeholder ? one.index : null)))
    if (placeholders.some(({ index }) => !used.has(index))) throw new Error('a value is not a parameter')
    return text
  }
  const bind = (db: Db, ...values: Values): CompiledQuery<Row> => {
    const { adapter } = db.getExecutor()
    let compiled = texts.get(adapter)
    if (compiled === undefined) {
      compiled = compile(db)
      texts.set(adapter, compiled)
    }
    const parameters = compiled.parameters.map((one) => (one instanceof Placeholder ? values[one.index] : one))
    return { ...compiled, parameters }
  }
  const run = async (db: Db, ...values: Values): Promise<Row[]> =>
    (await db.executeQuery<Row>(bind(db, ...values))).rows
  return Object.assign(run, { with: bind })
}

/** An insertion of one row, compiled once for each set of columns. It gives the row back. */
export function preparedInsert<Table extends keyof LedgerTables>(table: Table) {
  type Row = Selectable<LedgerTables[Table]>
  const texts = new Map<string, Prepared<readonly unknown[], Row>>()
  return (db: Db, row: Insertable<LedgerTables[Table]>): CompiledQuery<Row> => {
    const columns = Object.keys(row)
    const key = columns.join()
    let text = texts.get(key)
    if (text === undefined) {
      text = preparedOf(columns.length, (built, values) => {
        const value = Object.fromEntries(columns.map((column, index) => [column, values[index]]))
        return built
          .insertInto(table)
          .values(value as never)
          .returningAll() as unknown as Compilable<Row>
      })
      texts.set(key, text)
    }
    return text.with(db, ...Object.values(row))
  }
}

/**
 * Runs statements in their order, over one connection. A database that is reached over a network gets all of them at once, so
 * that they cost one round trip. In a transaction, none has an effect when one of them fails.
 *
 * @returns the rows of each
 */
export function together<Rows extends readonly unknown[]>(
  db: Db,
  ...statements: { readonly [Index in keyof Rows]: CompiledQuery<Rows[Index]> }
): Promise<{ -readonly [Index in keyof Rows]: Rows[Index][] }> {
  return db.getExecutor().provideConnection(async (connection) => {
    const run = async (statement: CompiledQuery) => (await connection.executeQuery(statement)).rows
    // SQLite may have ended a transaction by an error: nothing may follow then.
    const rows = hasRowLocks(db) ? await allInOrder(statements.map(run)) : []
    if (!hasRowLocks(db)) for (const statement of statements) rows.push(await run(statement))
    return rows as { -readonly [Index in keyof Rows]: Rows[Index][] }
  })
}

/**
 * What promises come to, when all have ended. Of several that fail, the error of the first in their order is thrown: where one
 * statement fails in a transaction, those behind it only say that it did.
 */
export async function allInOrder<Value>(promises: readonly Promise<Value>[]): Promise<Value[]> {
  const ends = await Promise.allSettled(promises)
  return ends.map((end) => {
    if (end.status === 'rejected') throw end.reason
    return end.value
  })
}
