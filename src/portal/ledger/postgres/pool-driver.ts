/**
 * Kysely's connections, from a pool of `pg`. Not Kysely's own driver, for what that one leaves open: what an error means, what
 * became of a commit whose answer was lost, and statements that are sent without waiting for the one before.
 */
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  SelectQueryNode,
} from 'kysely'
import type { Pool, PoolClient, QueryConfig } from 'pg'
import { allInOrder } from '../kysely/prepared.ts'
import { commitFault, connectFault, endsConnection, isStalePlan, statementFault } from './faults.ts'

export interface PoolDriverOptions {
  readonly pool: Pool
  /** Ends the pool, and whatever it has left open. */
  readonly close: () => Promise<void>
  /** Run once on every new connection, before anything else. */
  readonly sessionSql: string
}

/** Whatever the default of the database is: the locks of the ledger are made for this. */
const BEGIN = 'begin isolation level read committed read write'

export class PoolDriver implements Driver {
  readonly #options: PoolDriverOptions
  readonly #connections = new WeakMap<PoolClient, PoolConnection>()
  readonly #names = new StatementNames()

  constructor(options: PoolDriverOptions) {
    this.#options = options
  }

  async init(): Promise<void> {}

  /** @throws Problem `unavailable` */
  async acquireConnection(): Promise<PoolConnection> {
    let client: PoolClient
    try {
      client = await this.#options.pool.connect()
    } catch (error) {
      throw connectFault(error)
    }
    const known = this.#connections.get(client)
    if (known !== undefined) return known
    const connection = new PoolConnection(client, this.#names)
    try {
      await client.query(this.#options.sessionSql)
    } catch (error) {
      client.release(true)
      throw connectFault(error)
    }
    this.#connections.set(client, connection)
    return connection
  }

  async releaseConnection(connection: PoolConnection): Promise<void> {
    connection.release()
  }

  async beginTransaction(connection: PoolConnection): Promise<void> {
    connection.begin()
  }

  async commitTransaction(connection: PoolConnection): Promise<void> {
    await connection.commit()
  }

  async rollbackTransaction(connection: PoolConnection): Promise<void> {
    await connection.rollback()
  }

  async destroy(): Promise<void> {
    await this.#options.close()
  }
}

/**
 * A statement with a name is parsed and planned once for each connection. Those that are compiled once are the same object
 * each time; all others are new ones, and names for them would have no end.
 */
class StatementNames {
  /** Statements that were seen, and their names where they were seen before. */
  #names = new WeakMap<object, string | null>()
  #count = 0

  of(query: object): string | null {
    let name = this.#names.get(query) ?? null
    if (name === null) {
      const isKnown = this.#names.has(query)
      if (isKnown) name = `golooader_${++this.#count}`
      this.#names.set(query, name)
    }
    return name
  }

  /** From now on every statement gets another name: what stands behind those of before is of no use any more. */
  forget(): void {
    this.#names = new WeakMap()
  }
}

class PoolConnection implements DatabaseConnection {
  readonly #client: PoolClient
  readonly #names: StatementNames
  /** A transaction is to begin with the next statement. */
  #isToBegin = false
  #isInTransaction = false
  #isBroken = false

  constructor(client: PoolClient, names: StatementNames) {
    this.#client = client
    this.#names = names
  }

  async executeQuery<Row>(statement: CompiledQuery): Promise<QueryResult<Row>> {
    if (this.#isToBegin) {
      this.#isToBegin = false
      const begun = this.#send({ text: BEGIN })
      // What only reads goes along with it: if the transaction did not begin, nothing was done outside of it.
      if (!SelectQueryNode.is(statement.query)) await begun
      const running = this.#run<Row>(statement)
      await allInOrder<unknown>([begun, running])
      return running
    }
    return this.#run(statement)
  }

  /** Part of the contract of Kysely. */
  streamQuery(): never {
    throw new Error('rows are not streamed')
  }

  begin(): void {
    this.#isToBegin = true
    this.#isInTransaction = true
  }

  /** @throws Problem `unavailable` where it is not known whether the transaction was committed */
  async commit(): Promise<void> {
    this.#isInTransaction = false
    if (this.#isToBegin) {
      this.#isToBegin = false
      return
    }
    let command: string
    try {
      command = (await this.#client.query('commit')).command
    } catch (error) {
      this.#note(error)
      throw commitFault(error)
    }
    // This is how PostgreSQL answers where a statement before had failed.
    if (command !== 'COMMIT') throw new Error('a transaction went on after one of its statements had failed')
  }

  /** Where it cannot be said, the end of the connection says it. */
  async rollback(): Promise<void> {
    this.#isInTransaction = false
    if (this.#isToBegin) {
      this.#isToBegin = false
      return
    }
    try {
      await this.#client.query('rollback')
    } catch {
      this.#isBroken = true
    }
  }

  release(): void {
    this.#client.release(this.#isBroken)
  }

  async #run<Row>({ sql, parameters, query }: CompiledQuery): Promise<QueryResult<Row>> {
    const name = this.#names.of(query)
    const statement = { text: sql, values: [...parameters] }
    const sent = this.#send(name === null ? statement : { ...statement, name })
    const { rows, rowCount, command } = await sent.catch((error: unknown) => {
      if (!isStalePlan(error)) throw error
      this.#names.forget()
      // A transaction is lost by it, and run again as a whole.
      if (this.#isInTransaction) throw error
      return this.#send(statement)
    })
    const isChange = command === 'INSERT' || command === 'UPDATE' || command === 'DELETE'
    return isChange ? { rows, numAffectedRows: BigInt(rowCount ?? 0) } : { rows }
  }

  async #send(statement: QueryConfig) {
    try {
      return await this.#client.query(statement)
    } catch (error) {
      this.#note(error)
      throw statementFault(error)
    }
  }

  #note(error: unknown): void {
    if (endsConnection(error)) this.#isBroken = true
  }
}

export class PoolDialect implements Dialect {
  readonly #options: PoolDriverOptions

  constructor(options: PoolDriverOptions) {
    this.#options = options
  }

  createDriver(): PoolDriver {
    return new PoolDriver(this.#options)
  }

  createQueryCompiler(): PostgresQueryCompiler {
    return new PostgresQueryCompiler()
  }

  createAdapter(): PostgresAdapter {
    return new PostgresAdapter()
  }

  createIntrospector(db: Kysely<unknown>): PostgresIntrospector {
    return new PostgresIntrospector(db)
  }
}
