/**
 * Statements that are built and compiled once, and run with other values each time. To put one together and to turn it into
 * text costs more than SQLite takes to run it; for those that every small file runs several times, that counts.
 */
import type { Compilable, CompiledQuery } from 'kysely'
import type { Db } from './rows.ts'

/** Stands for a value while a statement is compiled. */
class Placeholder {
  readonly index: number

  constructor(index: number) {
    this.index = index
  }
}

/** Runs a statement with its values, in a transaction or outside of one. @returns its rows */
export type Prepared<Values extends readonly unknown[], Row> = (db: Db, ...values: Values) => Promise<Row[]>

/**
 * @param build puts the statement together from values that it may only pass on as parameters, each at least once
 */
export function prepared<Values extends readonly unknown[], Row>(
  build: (db: Db, ...values: Values) => Compilable<Row>,
): Prepared<Values, Row> {
  /** One for each kind of database: their texts differ. */
  const texts = new WeakMap<object, CompiledQuery<Row>>()
  // The first value is the database itself.
  const valueCount = build.length - 1
  const compile = (db: Db): CompiledQuery<Row> => {
    const placeholders = Array.from({ length: valueCount }, (_, index) => new Placeholder(index))
    const text = build(db, ...(placeholders as unknown as Values)).compile()
    const used = new Set(text.parameters.map((one) => (one instanceof Placeholder ? one.index : null)))
    if (placeholders.some(({ index }) => !used.has(index))) throw new Error('a value is not a parameter')
    return text
  }
  return async (db, ...values) => {
    const { adapter } = db.getExecutor()
    let compiled = texts.get(adapter)
    if (compiled === undefined) {
      compiled = compile(db)
      texts.set(adapter, compiled)
    }
    const parameters = compiled.parameters.map((one) => (one instanceof Placeholder ? values[one.index] : one))
    return (await db.executeQuery<Row>({ ...compiled, parameters })).rows
  }
}
