/**
 * Prepared statements, for statements that every small file runs several times: Kysely builds and compiles them once, and they are
 * bound to other values each time, because building a statement costs more than SQLite takes to run it. All other statements are built
 * where they run. The decision is docs/decisions/0060-one-sql-builder.md.
 */
import type { Compilable, CompiledQuery } from 'kysely'
import type { Db } from './context.ts'
import { hasRowLocks } from './locks.ts'

/** Stands for a value, or for one column of a row, while a statement is compiled. */
class Placeholder {
  readonly #index: number
  readonly #column: string | null

  constructor(index: number, column: string | null = null) {
    this.#index = index
    this.#column = column
  }

  /** The value of this placeholder in a call. */
  of(values: readonly unknown[]): unknown {
    const value = values[this.#index]
    return this.#column === null ? value : (value as Readonly<Record<string, unknown>>)[this.#column]
  }
}

export interface Prepared<Values extends readonly unknown[], Row> {
  /** Runs the statement with its values, in a transaction or outside of one. @returns its rows */
  (db: Db, ...values: Values): Promise<Row[]>
  /** The statement with its values, for `together`. */
  with(db: Db, ...values: Values): CompiledQuery<Row>
}

/**
 * @param build makes the statement. It may use the values only as parameters, each at least once. A plain object is a row: each of its
 *   columns is such a value, and each call has the same columns
 */
export function prepared<Values extends readonly unknown[], Row>(
  build: (db: Db, ...values: Values) => Compilable<Row>,
): Prepared<Values, Row> {
  /** One compiled statement for each kind of database, because the SQL differs. */
  const texts = new WeakMap<object, CompiledQuery<Row>>()
  const bind = (db: Db, ...values: Values): CompiledQuery<Row> => {
    const { adapter } = db.getExecutor()
    let compiled = texts.get(adapter)
    if (compiled === undefined) {
      compiled = compile(db, build, values)
      texts.set(adapter, compiled)
    }
    const parameters = compiled.parameters.map((one) => (one instanceof Placeholder ? one.of(values) : one))
    return { ...compiled, parameters }
  }
  const run = async (db: Db, ...values: Values): Promise<Row[]> =>
    (await db.executeQuery<Row>(bind(db, ...values))).rows
  return Object.assign(run, { with: bind })
}

/** @param values the values of the first call, which show the rows and their columns */
function compile<Values extends readonly unknown[], Row>(
  db: Db,
  build: (db: Db, ...values: Values) => Compilable<Row>,
  values: Values,
): CompiledQuery<Row> {
  const placeholders: Placeholder[] = []
  const placeholder = (index: number, column?: string): Placeholder => {
    const made = new Placeholder(index, column)
    placeholders.push(made)
    return made
  }
  const shape = values.map((value, index) =>
    isRow(value)
      ? Object.fromEntries(Object.keys(value).map((column) => [column, placeholder(index, column)]))
      : placeholder(index),
  )
  const text = build(db, ...(shape as unknown as Values)).compile()
  if (placeholders.some((one) => !text.parameters.includes(one))) throw new Error('a value is not a parameter')
  return text
}

function isRow(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)
}

/**
 * Runs statements in their order over one connection. PostgreSQL gets all of them at once, so that they cost one round trip. In a
 * transaction, none has an effect when one of them fails.
 *
 * @returns the rows of each
 */
export function together<Rows extends readonly unknown[]>(
  db: Db,
  ...statements: { readonly [Index in keyof Rows]: CompiledQuery<Rows[Index]> }
): Promise<{ -readonly [Index in keyof Rows]: Rows[Index][] }> {
  return db.getExecutor().provideConnection(async (connection) => {
    const run = async (statement: CompiledQuery) => (await connection.executeQuery(statement)).rows
    // One after another in SQLite: an error may end the transaction, and then no further statement may run.
    const rows = hasRowLocks(db) ? await allInOrder(statements.map(run)) : []
    if (!hasRowLocks(db)) for (const statement of statements) rows.push(await run(statement))
    return rows as { -readonly [Index in keyof Rows]: Rows[Index][] }
  })
}

/**
 * The results of promises when all have settled. If several fail, the error of the first in their order is thrown, because after a
 * failed statement the later ones of a transaction report only that failure.
 */
export async function allInOrder<Value>(promises: readonly Promise<Value>[]): Promise<Value[]> {
  const ends = await Promise.allSettled(promises)
  return ends.map((end) => {
    if (end.status === 'rejected') throw end.reason
    return end.value
  })
}
