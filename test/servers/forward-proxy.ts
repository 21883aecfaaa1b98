/** A real squid as the proxy by which clients leave a network, with a name and a password. It knows names that nobody else knows. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { programPath, requireServer } from './install.ts'
import { isListening, onFreePort, runToEnd, ServerProcess } from './server-process.ts'

export interface ForwardProxyOptions {
  /** Names that it resolves to this machine. */
  readonly names: readonly string[]
  /** Null for a proxy that asks for no password. */
  readonly user: { readonly name: string; readonly password: string } | null
}

export interface ForwardProxy extends AsyncDisposable {
  readonly port: number
  /** For HTTPS_PROXY, with name and password. */
  readonly url: string
  /** Ends it. */
  stop(): Promise<void>
}

/** Starts one. When this resolves, it listens. */
export async function startForwardProxy({ names, user }: ForwardProxyOptions): Promise<ForwardProxy> {
  await requireServer('squid')
  // As root it changes to the user "proxy", who has to read these files.
  const folder = await mkdtemp(join(tmpdir(), 'golooader-squid-'))
  await chmod(folder, 0o755)
  await writeFile(join(folder, 'hosts'), names.map((name) => `127.0.0.1 ${name}\n`).join(''))
  if (user !== null) {
    const hash = await runToEnd('openssl', ['passwd', '-apr1', user.password])
    await writeFile(join(folder, 'passwords'), `${user.name}:${hash}`, { mode: 0o644 })
  }
  return onFreePort(async (port) => {
    const path = join(folder, 'squid.conf')
    await writeFile(path, configuration({ port, folder, hasUser: user !== null }))
    const process = await ServerProcess.start(
      {
        command: programPath('squid'),
        args: ['-N', '-d', '1', '-n', `forward${port}`, '-f', path],
        logPath: join(folder, 'log'),
        endSignal: 'SIGTERM',
      },
      () => isListening(port),
    )
    const credentials = user === null ? '' : `${user.name}:${encodeURIComponent(user.password)}@`
    return {
      port,
      url: `http://${credentials}127.0.0.1:${port}`,
      stop: () => process.end(),
      async [Symbol.asyncDispose]() {
        await process.end()
        await rm(folder, { recursive: true, force: true })
      },
    }
  })
}

function configuration({ port, folder, hasUser }: { port: number; folder: string; hasUser: boolean }): string {
  const authentication = [
    `auth_param basic program ${programPath('/usr/lib/squid/basic_ncsa_auth')} ${join(folder, 'passwords')}`,
    'auth_param basic children 1 startup=1',
    'acl known proxy_auth REQUIRED',
    'http_access allow known',
  ]
  return [
    `http_port 127.0.0.1:${port}`,
    `hosts_file ${join(folder, 'hosts')}`,
    ...(hasUser ? authentication : ['http_access allow all']),
    'http_access deny all',
    'cache deny all',
    'pid_filename none',
    'access_log none',
    'cache_log /dev/null',
    'netdb_filename none',
    'pinger_enable off',
    'shutdown_lifetime 1 seconds',
    'visible_hostname proxy',
    '',
  ].join('\n')
}
