/**
 * A Kysely driver over a pool of `pg`. Unlike Kysely's own driver it translates errors, handles a commit whose answer was lost, and
 * sends statements without waiting for the answer of the one before.
 */
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  SelectQueryNode,
} from 'kysely'
import type { Pool, PoolClient, QueryConfig } from 'pg'
import { allInOrder } from '../kysely/prepared.ts'
import { commitFault, connectFault, endsConnection, isStalePlan, statementFault } from './faults.ts'
import type { SessionTraits } from './session-probe.ts'

export interface PoolDriverOptions {
  readonly pool: Pool
  /** Ends the pool and all open connections. */
  readonly close: () => Promise<void>
  /** Run on every new connection before anything else. */
  readonly sessionSql: string
  /** The abilities of the way to the database. */
  readonly traits: SessionTraits
}

/** Sets the isolation level that the locks of the ledger are made for, whatever the database's default. */
const BEGIN = 'begin isolation level read committed read write'

export class PoolDriver implements Driver {
  readonly #options: PoolDriverOptions
  readonly #connections = new WeakMap<PoolClient, PoolConnection>()
  readonly #names: StatementNames

  constructor(options: PoolDriverOptions) {
    this.#options = options
    this.#names = new StatementNames(options.traits)
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
 * Names for statements: PostgreSQL parses and plans a named statement only once for each connection. Prepared statements are the same
 * object each time and get a name. All others are new objects, and get none, because their number has no bound.
 */
class StatementNames {
  /** Statement -> its name; null after its first use, because it gets a name only at the second. */
  #names = new WeakMap<object, string | null>()
  #count = 0
  readonly #traits: SessionTraits

  constructor(traits: SessionTraits) {
    this.#traits = traits
  }

  of(query: object): string | null {
    if (!this.#traits.namedStatements) return null
    let name = this.#names.get(query) ?? null
    if (name === null) {
      const isKnown = this.#names.has(query)
      if (isKnown) name = `golooader_${++this.#count}`
      this.#names.set(query, name)
    }
    return name
  }

  /** Gives every statement a new name from now on, because the earlier ones do not match the tables any more. */
  forget(): void {
    this.#names = new WeakMap()
  }
}

class PoolConnection implements DatabaseConnection {
  readonly #client: PoolClient
  readonly #names: StatementNames
  /** Whether the next statement begins a transaction. */
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
      // A read is sent together with `begin`: if the transaction does not begin, nothing was changed outside of it.
      if (!SelectQueryNode.is(statement.query)) await begun
      const running = this.#run<Row>(statement)
      await allInOrder<unknown>([begun, running])
      return running
    }
    return this.#run(statement)
  }

  /** Required by the interface of Kysely; not used. */
  streamQuery(): never {
    throw new Error('rows are not streamed')
  }

  begin(): void {
    this.#isToBegin = true
    this.#isInTransaction = true
  }

  /** @throws Problem `unavailable` when it is unknown whether the transaction was committed */
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
    // After a failed statement PostgreSQL answers a commit with ROLLBACK.
    if (command !== 'COMMIT') throw new Error('a transaction continued after one of its statements had failed')
  }

  /** If the rollback cannot be sent, closing the connection has the same effect. */
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
      // A transaction has failed by this and is run again as a whole.
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

export function poolDialect(options: PoolDriverOptions): Dialect {
  return {
    createDriver: () => new PoolDriver(options),
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createAdapter: () => new PostgresAdapter(),
    createIntrospector: (db) => new PostgresIntrospector(db),
  }
}
