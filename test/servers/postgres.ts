/**
 * PostgreSQL for tests. One server is shared by the whole run, and each test gets an empty database of it; a test that
 * stops or kills the server gets one of its own.
 */
import { randomBytes } from 'node:crypto'
import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { programPath, requireServer } from './install.ts'
import { oncePerRun, serverFolder } from './run.ts'
import { onFreePort, runToEnd, ServerProcess, type UserIds } from './server-process.ts'

/** Who owns everything in the server; let in without a password, on loopback only. */
const SUPERUSER = 'postgres'
/** Many pools at a time: those of several nodes in each of several test files. */
const CONNECTIONS_MAX = 300
/** Ends all connections and writes everything down: https://www.postgresql.org/docs/current/server-shutdown.html */
const STOP_SIGNAL = 'SIGINT'
/** Ends at once, as in a crash; but children and shared memory go with it, which they would not after a SIGKILL. */
const KILL_SIGNAL = 'SIGQUIT'

export interface TestDatabase {
  /** Of an empty database that nobody else knows. */
  readonly url: string
}

/** Makes a database in the server of this run, and starts that if nobody has needed it yet. */
export async function testDatabase(): Promise<TestDatabase> {
  const port = await oncePerRun('postgres', async () => (await OwnPostgres.start()).port)
  return makeDatabase(port)
}

/** Starts a server of one's own, with a database in it. */
export function ownPostgres(): Promise<OwnPostgres> {
  return OwnPostgres.start()
}

/** A server that can be stopped, killed and started again: on the same port, with the same data. */
export class OwnPostgres implements AsyncDisposable, TestDatabase {
  readonly port: number
  readonly url: string
  readonly #folder: string
  readonly #user: UserIds | null
  #process: ServerProcess | null = null

  private constructor(folder: string, port: number, user: UserIds | null) {
    this.port = port
    this.#folder = folder
    this.#user = user
    this.url = urlOf(port, SUPERUSER)
  }

  static async start(): Promise<OwnPostgres> {
    await requireServer('postgresql')
    const folder = serverFolder('postgres')
    // It refuses to run as root.
    const user = process.getuid?.() === 0 ? await idsOf(SUPERUSER) : null
    if (user !== null) chownSync(folder, user.uid, user.gid)
    const init = ['--username', SUPERUSER, '--auth', 'trust', '--encoding', 'UTF8', '--no-locale', '--no-sync']
    await runToEnd(programPath('initdb'), ['--pgdata', join(folder, 'data'), ...init], user)
    return onFreePort(async (port) => {
      const server = new OwnPostgres(folder, port, user)
      await server.start()
      return server
    })
  }

  /** Starts it again. Resolves when it takes connections. */
  async start(): Promise<void> {
    const settings = {
      listen_addresses: '127.0.0.1',
      port: this.port,
      unix_socket_directories: '',
      max_connections: CONNECTIONS_MAX,
      // What a crash of the machine would do is not tested here; a crash of the server alone loses nothing by these.
      fsync: 'off',
      full_page_writes: 'off',
      shared_buffers: '64MB',
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

  /** Starts it again as a copy that only reads, as another server is until it takes over: `select pg_promote()`. */
  async startAsCopy(): Promise<void> {
    const path = join(this.#folder, 'data', 'standby.signal')
    writeFileSync(path, '')
    if (this.#user !== null) chownSync(path, this.#user.uid, this.#user.gid)
    await this.start()
  }

  /** Stops it in good order: who is connected is cut off, what was begun is undone. */
  async stop(): Promise<void> {
    await this.#process?.end(STOP_SIGNAL)
  }

  /** Ends it as a crash does: it has to recover when it starts again. */
  async kill(): Promise<void> {
    await this.#process?.end(KILL_SIGNAL)
  }

  /** Makes another database in this server. */
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

/** Runs one statement, and gives what it prints: a line for each row, without decoration. */
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
    // Not yet; whether it ever will be is for whoever asks.
    return false
  }
}

async function idsOf(userName: string): Promise<UserIds> {
  const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => runToEnd('id', [flag, userName])))
  return { uid: Number(uid), gid: Number(gid) }
}

function urlOf(port: number, database: string): string {
  return `postgres://${SUPERUSER}@127.0.0.1:${port}/${database}`
}
