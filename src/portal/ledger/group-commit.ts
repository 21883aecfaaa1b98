/**
 * Group commit: many changes wait for the disk together. SQLite makes a transaction durable by one `fsync`, however much it
 * contains. So all operations of one turn of the event loop go into one transaction, each in a savepoint of its own, so that a failed
 * one is undone alone. No caller gets an answer before the commit; if the commit fails, all of its operations fail.
 *
 * Reads use a second connection, which sees only committed data, so that no answer relies on changes that may still be undone.
 */
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
  SelectQueryNode,
  type SqliteDatabase,
} from 'kysely'
import { retry, Semaphore } from '../../async/index.ts'

/** One connection to the database. */
export interface GroupDatabase extends SqliteDatabase {
  /** Whether a transaction is open: some errors end it. */
  isInTransaction(): boolean
  /** Whether an error says that another process is writing at the moment. */
  isBusy(error: unknown): boolean
}

export interface GroupOptions {
  /** The only connection that changes anything. */
  readonly writer: GroupDatabase
  /** Null for a database in memory, which has only one connection: reads then wait for the commit. */
  readonly reader: GroupDatabase | null
  /** Called before a commit. If it throws, because the commit would be lost, all operations of the group fail. */
  readonly beforeCommit?: (() => void) | undefined
  /** Called after each commit with the number of its operations. */
  readonly onCommit?: ((operationCount: number) => void) | undefined
}

/** How long a writer waits for a writer of another process, and how often it looks. */
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
    // Waiting callers get the failure. Without callers it is ignored here.
    this.committed.catch(() => {})
  }
}

export class GroupCommitDriver implements Driver {
  readonly #options: GroupOptions
  #group: Group | null = null
  /** Operations run one after another, because there is only one connection for writing. */
  readonly #turns = new Semaphore(1)
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
    // If the commit of the group has failed, the operation has been undone with it.
    if (group === null) return
    own.group = null
    this.undo(group)
  }

  async destroy(): Promise<void> {
    await this.#takeTurn()
    this.#options.reader?.close()
    this.#options.writer.close()
  }

  /** Begins an operation when all earlier ones have ended. It ends with `commit` or `undo`. */
  async begin(): Promise<Group> {
    await this.#takeTurn()
    try {
      if (this.#group === null) {
        await this.#beginGroup()
        const group = new Group()
        this.#group = group
        // Runs after all operations that were requested in this turn of the event loop.
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

  /** Runs a statement that only reads. */
  async read(sql: string, parameters: readonly unknown[]): Promise<QueryResult<never>> {
    const { reader, writer } = this.#options
    if (reader !== null) return execute(reader, sql, parameters)
    while (this.#group !== null) await this.#group.committed.catch(() => {})
    return execute(writer, sql, parameters)
  }

  /** Waits without blocking this process, because the other writer may even be part of it. */
  async #beginGroup(): Promise<void> {
    const lateAtMs = performance.now() + BUSY_MS_MAX
    await retry(() => this.write('begin immediate'), {
      delayMs: (error) => {
        if (!this.#options.writer.isBusy(error) || performance.now() > lateAtMs) throw error
        return BUSY_LOOK_MS
      },
    })
  }

  async #commitGroup(group: Group): Promise<void> {
    await this.#takeTurn()
    try {
      if (this.#group !== group) return
      try {
        this.#options.beforeCommit?.()
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

  /** A group has failed: none of its operations counts. */
  #undone(group: Group, error: unknown): void {
    if (this.#group === group) this.#group = null
    group.fail(error)
  }

  async #takeTurn(): Promise<void> {
    this.#endTurn = await this.#turns.acquire()
  }
}

/** A connection for Kysely. At most one of them is in an operation at a time. */
class GroupConnection implements DatabaseConnection {
  /** The group of the open transaction; null when none is open. */
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

  /** Required by the interface of Kysely; not used. */
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
