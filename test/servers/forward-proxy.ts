/** A real squid as the proxy by which clients leave a network, with a name and a password. It knows names that nobody else knows. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CertificateFiles } from '../e2e/tls/authority.ts'
import { programPath, requireServer } from './install.ts'
import { isListening, onFreePort, runToEnd, ServerProcess } from './server-process.ts'

export interface ForwardProxyOptions {
  /** Names that it resolves to this machine. */
  readonly names: readonly string[]
  /** Null for a proxy that asks for no password. */
  readonly user: { readonly name: string; readonly password: string } | null
  /** For a proxy that is reached over TLS. */
  readonly certificate?: CertificateFiles
  /** Hosts that it lets nobody reach. */
  readonly forbidden?: readonly string[]
}

export interface ForwardProxy extends AsyncDisposable {
  readonly port: number
  /** For HTTPS_PROXY, with name and password. */
  readonly url: string
  /** Ends it. */
  stop(): Promise<void>
}

/** Starts one. When this resolves, it listens. */
export async function startForwardProxy({
  names,
  user,
  certificate,
  forbidden = [],
}: ForwardProxyOptions): Promise<ForwardProxy> {
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
    await writeFile(path, configuration({ port, folder, hasUser: user !== null, certificate, forbidden }))
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
      url: `${certificate === undefined ? 'http' : 'https'}://${credentials}127.0.0.1:${port}`,
      stop: () => process.end(),
      async [Symbol.asyncDispose]() {
        await process.end()
        await rm(folder, { recursive: true, force: true })
      },
    }
  })
}

interface Configuration {
  readonly certificate: CertificateFiles | undefined
  readonly port: number
  readonly folder: string
  readonly hasUser: boolean
  readonly forbidden: readonly string[]
}

function configuration({ port, folder, hasUser, certificate, forbidden }: Configuration): string {
  const authentication = [
    `auth_param basic program ${programPath('/usr/lib/squid/basic_ncsa_auth')} ${join(folder, 'passwords')}`,
    'auth_param basic children 1 startup=1',
    'acl known proxy_auth REQUIRED',
    'http_access allow known',
  ]
  return [
    certificate === undefined
      ? `http_port 127.0.0.1:${port}`
      : `https_port 127.0.0.1:${port} tls-cert=${certificate.certPath} tls-key=${certificate.keyPath}`,
    `hosts_file ${join(folder, 'hosts')}`,
    ...forbidden.flatMap((host) => [`acl forbidden dstdomain ${host}`, 'http_access deny forbidden']),
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
