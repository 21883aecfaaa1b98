/**
 * Many changes, one wait for the disk. SQLite makes a transaction durable by one `fsync`, however much is in it. So what is
 * asked for in one turn of the event loop goes into one transaction, each operation in a savepoint of its own: one that fails
 * is undone alone. Nobody is answered before the transaction is committed; if that fails, all of its operations have failed.
 *
 * What only reads goes over a connection of its own, which sees what is committed and nothing else: no answer can stand on
 * what may still be undone.
 */
import { setTimeout } from 'node:timers/promises'
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
  SelectQueryNode,
  type SqliteDatabase,
} from 'kysely'

/** One connection to the database. */
export interface GroupDatabase extends SqliteDatabase {
  /** Whether a transaction is open: some errors end it. */
  isInTransaction(): boolean
  /** Whether an error says that somebody else is writing just now. */
  isBusy(error: unknown): boolean
}

export interface GroupOptions {
  /** The only connection that changes anything. */
  readonly writer: GroupDatabase
  /** Null for a database in memory, of which there is only one connection: reading then waits for the commit. */
  readonly reader: GroupDatabase | null
  /** Is told after each commit how many operations it made durable. */
  readonly onCommit?: ((operationCount: number) => void) | undefined
}

/** How long a writer waits for a writer of another process, and how often it looks whether that is done. */
const BUSY_MS_MAX = 10_000
const BUSY_LOOK_MS = 3

/** The operations that become durable together. */
class Group {
  operationCount = 0
  readonly #end = Promise.withResolvers<void>()
  readonly committed = this.#end.promise
  readonly succeed = this.#end.resolve
  readonly fail = this.#end.reject

  constructor() {
    // Whoever waits is told of a failure; where nobody does, nobody has to.
    this.committed.catch(() => {})
  }
}

export class GroupCommitDriver implements Driver {
  readonly #options: GroupOptions
  #group: Group | null = null
  /** Ends with the newest operation: they go one after another, for there is one connection to write with. */
  #lastTurn: Promise<void> = Promise.resolve()
  #endTurn: () => void = () => {}

  constructor(options: GroupOptions) {
    this.#options = options
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return new GroupConnection(this)
  }

  async releaseConnection(): Promise<void> {}

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    const own = ownConnection(connection)
    own.group = await this.begin()
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    const own = ownConnection(connection)
    const { group } = own
    if (group === null) throw new Error('there is no transaction to commit')
    own.group = null
    await this.commit(group)
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    const own = ownConnection(connection)
    const { group } = own
    // An operation whose group could not be committed has been undone with it.
    if (group === null) return
    own.group = null
    this.undo(group)
  }

  async destroy(): Promise<void> {
    await this.#takeTurn()
    this.#options.reader?.close()
    this.#options.writer.close()
  }

  /** Begins an operation, in its turn. It ends with `commit` or `undo`. */
  async begin(): Promise<Group> {
    await this.#takeTurn()
    try {
      if (this.#group === null) {
        await this.#beginGroup()
        const group = new Group()
        this.#group = group
        // After everything that this turn of the event loop asks for.
        setImmediate(() => void this.#commitGroup(group))
      }
      this.write('savepoint operation')
      return this.#group
    } catch (error) {
      this.#endTurn()
      throw error
    }
  }

  /** Ends an operation. Resolves when it survives the loss of power. */
  async commit(group: Group): Promise<void> {
    try {
      this.write('release operation')
      group.operationCount++
    } catch (error) {
      this.#undone(group, error)
      throw error
    } finally {
      this.#endTurn()
    }
    await group.committed
  }

  /** Ends an operation as if it had never begun. */
  undo(group: Group, cause?: unknown): void {
    try {
      if (this.#options.writer.isInTransaction()) {
        this.write('rollback to operation')
        this.write('release operation')
      } else this.#undone(group, cause ?? new Error('the database has undone the transaction'))
    } finally {
      this.#endTurn()
    }
  }

  write(sql: string, parameters: readonly unknown[] = []): QueryResult<never> {
    return execute(this.#options.writer, sql, parameters)
  }

  /** Runs what changes nothing. */
  async read(sql: string, parameters: readonly unknown[]): Promise<QueryResult<never>> {
    const { reader, writer } = this.#options
    if (reader !== null) return execute(reader, sql, parameters)
    while (this.#group !== null) await this.#group.committed.catch(() => {})
    return execute(writer, sql, parameters)
  }

  /** Waits without holding up the rest of this process, of which the other writer may even be a part. */
  async #beginGroup(): Promise<void> {
    const lateAtMs = performance.now() + BUSY_MS_MAX
    for (;;) {
      try {
        this.write('begin immediate')
        return
      } catch (error) {
        if (!this.#options.writer.isBusy(error) || performance.now() > lateAtMs) throw error
        await setTimeout(BUSY_LOOK_MS)
      }
    }
  }

  async #commitGroup(group: Group): Promise<void> {
    await this.#takeTurn()
    try {
      if (this.#group !== group) return
      try {
        this.write('commit')
      } catch (error) {
        this.#undone(group, error)
        if (this.#options.writer.isInTransaction()) this.write('rollback')
        return
      }
      this.#group = null
      group.succeed()
      this.#options.onCommit?.(group.operationCount)
    } finally {
      this.#endTurn()
    }
  }

  /** Nothing of a group counts. */
  #undone(group: Group, error: unknown): void {
    if (this.#group === group) this.#group = null
    group.fail(error)
  }

  async #takeTurn(): Promise<void> {
    const before = this.#lastTurn
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#lastTurn = promise
    await before
    this.#endTurn = resolve
  }
}

/** What Kysely sees as a connection: of all of them, at most one is within an operation at a time. */
class GroupConnection implements DatabaseConnection {
  /** While a transaction is open on this connection. */
  group: Group | null = null
  readonly #driver: GroupCommitDriver

  constructor(driver: GroupCommitDriver) {
    this.#driver = driver
  }

  async executeQuery<Row>({ sql, parameters, query }: CompiledQuery): Promise<QueryResult<Row>> {
    if (this.group !== null) return this.#driver.write(sql, parameters)
    if (SelectQueryNode.is(query)) return this.#driver.read(sql, parameters)
    const group = await this.#driver.begin()
    let result: QueryResult<Row>
    try {
      result = this.#driver.write(sql, parameters)
    } catch (error) {
      this.#driver.undo(group, error)
      throw error
    }
    await this.#driver.commit(group)
    return result
  }

  /** Part of the contract of Kysely. */
  streamQuery(): never {
    throw new Error('rows are not streamed')
  }
}

function ownConnection(connection: DatabaseConnection): GroupConnection {
  if (!(connection instanceof GroupConnection)) throw new Error('the connection is not one of this driver')
  return connection
}

function execute(database: GroupDatabase, sql: string, parameters: readonly unknown[]): QueryResult<never> {
  const statement = database.prepare(sql)
  if (statement.reader) return { rows: statement.all(parameters) as never[] }
  const { changes, lastInsertRowid } = statement.run(parameters)
  return { rows: [], insertId: BigInt(lastInsertRowid), numAffectedRows: BigInt(changes) }
}
