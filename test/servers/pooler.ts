/** A real connection pooler in front of PostgreSQL: Debian's PgBouncer or pgpool-II, on a free port of loopback. */
import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { programPath, requireServer } from './install.ts'
import { idsOf } from './postgres.ts'
import { serverFolder } from './run.ts'
import { isListening, onFreePort, ServerProcess } from './server-process.ts'

export type PoolerSetting =
  | { readonly kind: 'pgbouncer'; readonly mode: 'session' | 'transaction' | 'statement' }
  | {
      readonly kind: 'pgpool'
      readonly mode: 'streaming_replication' | 'raw' | 'slony'
      /** Whether the pooler may send reads to any server. */
      readonly isSpreadingReads?: boolean
    }

export interface Pooler extends AsyncDisposable {
  /** The address of a database, by way of the pooler. */
  through(url: string): string
}

/** The user of both poolers, because both refuse to run as root. PostgreSQL accepts this user. */
const USER = 'postgres'
const CLIENTS_MAX = 60

/** @param databaseUrl any database on the server behind the pooler */
export async function startPooler(setting: PoolerSetting, databaseUrl: string): Promise<Pooler> {
  await requireServer(setting.kind)
  const folder = serverFolder(setting.kind)
  const user = process.getuid?.() === 0 ? await idsOf(USER) : null
  const databasePort = new URL(databaseUrl).port
  return onFreePort(async (port) => {
    const path = join(folder, 'conf')
    writeFileSync(path, configOf(setting, { port, databasePort, folder }))
    if (user !== null) for (const one of [folder, path]) chownSync(one, user.uid, user.gid)
    const server = await ServerProcess.start(
      {
        command: programPath(setting.kind),
        args: setting.kind === 'pgbouncer' ? [path] : ['-n', '-f', path],
        logPath: join(folder, 'log'),
        // On SIGINT pgpool-II ends itself and its children at once.
        endSignal: 'SIGINT',
        ...(user === null ? {} : { user }),
      },
      () => isListening(port),
    )
    return {
      through(url) {
        const address = new URL(url)
        address.port = String(port)
        return address.href
      },
      [Symbol.asyncDispose]: () => server.end(setting.kind === 'pgbouncer' ? 'SIGTERM' : 'SIGINT'),
    }
  })
}

interface Place {
  readonly port: number
  readonly databasePort: string
  readonly folder: string
}

function configOf(setting: PoolerSetting, { port, databasePort, folder }: Place): string {
  const { kind, mode } = setting
  const isSpreadingReads = setting.kind === 'pgpool' && setting.isSpreadingReads === true
  const lines =
    kind === 'pgbouncer'
      ? [
          '[databases]',
          `* = host=127.0.0.1 port=${databasePort} user=${USER}`,
          '[pgbouncer]',
          'listen_addr = 127.0.0.1',
          `listen_port = ${port}`,
          'unix_socket_dir =',
          'auth_type = any',
          `pool_mode = ${mode}`,
          `default_pool_size = ${CLIENTS_MAX}`,
        ]
      : [
          "listen_addresses = '127.0.0.1'",
          `port = ${port}`,
          "pcp_listen_addresses = ''",
          `backend_clustering_mode = '${mode}'`,
          "backend_hostname0 = '127.0.0.1'",
          `backend_port0 = ${databasePort}`,
          "backend_flag0 = 'ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER'",
          `num_init_children = ${CLIENTS_MAX}`,
          'max_pool = 1',
          'sr_check_period = 0',
          `load_balance_mode = ${isSpreadingReads ? 'on' : 'off'}`,
          "pool_passwd = ''",
          ...['socket_dir', 'pcp_socket_dir', 'logdir', 'work_dir', 'memqcache_oiddir'].map(
            (name) => `${name} = '${folder}'`,
          ),
          `pid_file_name = '${join(folder, 'pid')}'`,
        ]
  return `${lines.join('\n')}\n`
}
