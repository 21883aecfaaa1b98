/**
 * PostgreSQL for tests. All tests of a run share one server, and each test gets an empty database. A test that stops or kills its
 * server starts a separate one.
 */
import { randomBytes } from 'node:crypto'
import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { programPath, requireServer } from './install.ts'
import { oncePerRun, serverFolder } from './run.ts'
import { onFreePort, runToEnd, ServerProcess, type UserIds } from './server-process.ts'

/** The owner of everything in the server. The server accepts it without a password, on loopback only. */
const SUPERUSER = 'postgres'
/** Several test files at a time have several nodes each, and each node has a pool of connections. */
const CONNECTIONS_MAX = 300
/** Fast shutdown: closes all connections and writes all data. https://www.postgresql.org/docs/current/server-shutdown.html */
const STOP_SIGNAL = 'SIGINT'
/** Ends the server at once, as in a crash. Unlike SIGKILL, it also ends the children and frees the shared memory. */
const KILL_SIGNAL = 'SIGQUIT'

export interface TestDatabase {
  /** The address of an empty database that no other test uses. */
  readonly url: string
}

/** Creates a database in the server of this run. The first call starts the server. */
export async function testDatabase(): Promise<TestDatabase> {
  const port = await oncePerRun('postgres', async () => (await OwnPostgres.start()).port)
  return makeDatabase(port)
}

/** Starts a separate server with a database. @param settings replace the usual settings of tests */
export function ownPostgres(settings: PostgresSettings = {}): Promise<OwnPostgres> {
  return OwnPostgres.start(settings)
}

export type PostgresSettings = Readonly<Record<string, string | number>>

/** A server that a test can stop, kill and start again on the same port with the same data. */
export class OwnPostgres implements AsyncDisposable, TestDatabase {
  readonly port: number
  readonly url: string
  readonly #folder: string
  readonly #user: UserIds | null
  readonly #settings: PostgresSettings
  #process: ServerProcess | null = null

  private constructor(folder: string, port: number, user: UserIds | null, settings: PostgresSettings) {
    this.port = port
    this.#folder = folder
    this.#user = user
    this.#settings = settings
    this.url = urlOf(port, SUPERUSER)
  }

  static async start(settings: PostgresSettings = {}): Promise<OwnPostgres> {
    await requireServer('postgresql')
    const folder = serverFolder('postgres')
    // PostgreSQL refuses to run as root.
    const user = process.getuid?.() === 0 ? await idsOf(SUPERUSER) : null
    if (user !== null) chownSync(folder, user.uid, user.gid)
    const init = ['--username', SUPERUSER, '--auth', 'trust', '--encoding', 'UTF8', '--no-locale', '--no-sync']
    await runToEnd(programPath('initdb'), ['--pgdata', join(folder, 'data'), ...init], user)
    return onFreePort(async (port) => {
      const server = new OwnPostgres(folder, port, user, settings)
      await server.start()
      return server
    })
  }

  /** Starts the server. Resolves when it accepts connections. */
  async start(): Promise<void> {
    const settings = {
      listen_addresses: '127.0.0.1',
      port: this.port,
      unix_socket_directories: '',
      max_connections: CONNECTIONS_MAX,
      // These settings lose data only in a crash of the machine, which no test simulates.
      fsync: 'off',
      full_page_writes: 'off',
      shared_buffers: '64MB',
      ...this.#settings,
    }
    const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    this.#process = await ServerProcess.start(
      {
        command: programPath('postgres'),
        args: ['-D', join(this.#folder, 'data'), ...options],
        logPath: join(this.#folder, 'log'),
        endSignal: KILL_SIGNAL,
        ...(this.#user === null ? {} : { user: this.#user }),
      },
      () => isReady(this.port),
    )
  }

  /** Starts the server as a read-only standby. `select pg_promote()` makes it writable. */
  async startAsCopy(): Promise<void> {
    const path = join(this.#folder, 'data', 'standby.signal')
    writeFileSync(path, '')
    if (this.#user !== null) chownSync(path, this.#user.uid, this.#user.gid)
    await this.start()
  }

  /** Stops the server in good order. It closes all connections and rolls open transactions back. */
  async stop(): Promise<void> {
    await this.#process?.end(STOP_SIGNAL)
  }

  /** Ends the server like a crash. It must recover at its next start. */
  async kill(): Promise<void> {
    await this.#process?.end(KILL_SIGNAL)
  }

  /** Creates another database in this server. */
  database(): Promise<TestDatabase> {
    return makeDatabase(this.port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}

async function makeDatabase(port: number): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`
  await psql(urlOf(port, SUPERUSER), `create database ${name}`)
  return { url: urlOf(port, name) }
}

/** Runs one statement. @returns its output, one line for each row, without decoration */
export async function psql(url: string, statement: string): Promise<string> {
  const args = ['--no-psqlrc', '--quiet', '--no-align', '--tuples-only', '--command', statement, url]
  return (await runToEnd(programPath('psql'), args)).trimEnd()
}

async function isReady(port: number): Promise<boolean> {
  try {
    const args = ['--quiet', '--host', '127.0.0.1', '--port', String(port), '--username', SUPERUSER]
    await runToEnd(programPath('pg_isready'), args)
    return true
  } catch {
    // The server is not ready yet. The caller decides when to give up.
    return false
  }
}

export async function idsOf(userName: string): Promise<UserIds> {
  const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => runToEnd('id', [flag, userName])))
  return { uid: Number(uid), gid: Number(gid) }
}

function urlOf(port: number, database: string): string {
  return `postgres://${SUPERUSER}@127.0.0.1:${port}/${database}`
}
