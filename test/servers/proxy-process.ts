/**
 * A real reverse proxy in front of one portal, in the foreground on a free port of loopback. `deploy/` has a configuration for each
 * kind. The tests use that configuration and replace only addresses, users and certificates.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  deployed,
  type LoadBalancerKind,
  type LoadBalancerOptions,
  replaced,
  startLoadBalancer,
} from './balancer-process.ts'
import { programPath, requireServer } from './install.ts'
import { isListening, onFreePort, ServerProcess } from './server-process.ts'

export const proxyKinds = ['nginx', 'haproxy', 'caddy', 'apache', 'lighttpd', 'varnish', 'squid', 'h2o'] as const
export type ProxyKind = (typeof proxyKinds)[number]

export interface ProxyOptions {
  readonly kind: ProxyKind
  /** The address of the portal, `127.0.0.1:PORT`. */
  readonly backend: string
  /** The folder for its files. It is created if it does not exist. */
  readonly folder: string
  /** The portal is at `/gl` of the proxy. */
  readonly isUnderPath?: boolean
  /** Replaces lines of the configuration: beginning of the line -> new line. */
  readonly instead?: LoadBalancerOptions['instead']
  /** PEM files for TLS. Without them the proxy speaks plain HTTP. */
  readonly certificate?: LoadBalancerOptions['certificate']
}

export interface ReverseProxy extends AsyncDisposable {
  /** The address of the portal behind it, without a slash at the end. */
  readonly url: string
}

/** The address on which it listens, and the folder of its files. */
interface Place {
  readonly port: number
  readonly folder: string
  readonly certificate: LoadBalancerOptions['certificate'] | undefined
}

interface Server {
  /** The file in `deploy/`. */
  readonly file: string
  /** Lines that differ in tests: beginning of the line -> new line. */
  readonly changes: (place: Place) => Record<string, string>
  /** Configuration that Debian or the operator has in another file, or on the command line. */
  readonly before?: (place: Place) => string
  /** The signal that ends it; SIGTERM by default. */
  readonly endSignal?: NodeJS.Signals
  /** @param text the configuration */
  readonly command: (path: string, place: Place, text: string) => readonly [string, ...string[]]
}

const servers: Record<Exclude<ProxyKind, LoadBalancerKind>, Server> = {
  caddy: {
    file: 'Caddyfile',
    changes: ({ port, certificate: tls }) => ({
      'grace_period 10s': 'grace_period 10s\n\tadmin off\n\tauto_https off',
      'files.example {':
        tls === undefined
          ? `http://:${port} {\n\tbind 127.0.0.1`
          : `https://127.0.0.1:${port} {\n\tbind 127.0.0.1\n\ttls ${tls.certPath} ${tls.keyPath}`,
    }),
    command: (path) => [programPath('caddy'), 'run', '--config', path, '--adapter', 'caddyfile'],
    // It is one process, and waits for streams when it is asked to end.
    endSignal: 'SIGKILL',
  },
  apache: {
    file: 'apache.conf',
    before: ({ port, folder }) =>
      [
        `ServerRoot ${folder}`,
        `PidFile ${join(folder, 'pid')}`,
        'ErrorLog /dev/stderr',
        `Listen 127.0.0.1:${port}`,
        'ServerName 127.0.0.1',
        ...(isRoot() ? ['User www-data', 'Group www-data'] : []),
        ...['mpm_event', 'authz_core', 'alias', 'reqtimeout', 'ssl', 'proxy', 'proxy_http'].map(
          (name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`,
        ),
        // The modules that Debian enables in mods-enabled/.
        'RequestReadTimeout header=20-40,minrate=500',
        'RequestReadTimeout body=10,minrate=500',
        '',
      ].join('\n'),
    changes: ({ port, certificate: tls }) => ({
      '<VirtualHost *:443>': `<VirtualHost *:${port}>`,
      'SSLEngine ': tls === undefined ? '' : 'SSLEngine on',
      'SSLCertificateFile ': tls === undefined ? '' : `SSLCertificateFile ${tls.certPath}`,
      SSLCertificateKeyFile: tls === undefined ? '' : `SSLCertificateKeyFile ${tls.keyPath}`,
    }),
    command: (path) => [programPath('apache2'), '-X', '-f', path],
    // One process. Several would take ten seconds to end while streams are open.
    endSignal: 'SIGKILL',
  },
  lighttpd: {
    file: 'lighttpd.conf',
    changes: ({ port, folder, certificate: tls }) => ({
      'server.port': `server.port = ${port}\nserver.bind = "127.0.0.1"`,
      'server.username': '',
      'server.groupname': '',
      'server.document-root': `server.document-root = "${folder}"`,
      'ssl.engine': `ssl.engine = "${tls === undefined ? 'disable' : 'enable'}"`,
      'ssl.pemfile': tls === undefined ? '' : `ssl.pemfile = "${tls.certPath}"`,
      'ssl.privkey': tls === undefined ? '' : `ssl.privkey = "${tls.keyPath}"`,
    }),
    command: (path) => [programPath('lighttpd'), '-D', '-f', path],
  },
  varnish: {
    file: 'varnish.vcl',
    changes: () => ({}),
    command(path, { port, folder }, text) {
      const settings = [...text.matchAll(/ (-p) (\w+=\w+)/g)].flatMap(([, flag = '', setting = '']) => [flag, setting])
      const here = ['-a', `127.0.0.1:${port}`, '-n', join(folder, 'work'), '-j', 'none', '-s', 'malloc,16m']
      return [programPath('varnishd'), '-F', '-f', path, ...here, ...settings]
    },
  },
  squid: {
    file: 'squid.conf',
    // As root it changes to the user "proxy", who cannot enter the folder. It logs to its standard error, too.
    before: () =>
      [
        'pid_filename none',
        'access_log none',
        'cache_log /dev/null',
        'netdb_filename none',
        'pinger_enable off',
        'visible_hostname proxy',
        '',
      ].join('\n'),
    changes: ({ port }) => ({ 'http_port 80': `http_port 127.0.0.1:${port} accel defaultsite=files.example` }),
    command: (path, { port }) => [programPath('squid'), '-N', '-d', '1', '-n', `test${port}`, '-f', path],
  },
  h2o: {
    file: 'h2o.yaml',
    before: ({ folder }) => `num-threads: 1\ntemp-buffer-path: ${folder}\n${isRoot() ? 'user: root\n' : ''}`,
    changes: ({ port, certificate: tls }) => ({
      'port: 443': `port: ${port}\n  host: 127.0.0.1`,
      'ssl:': tls === undefined ? '' : 'ssl:',
      'certificate-file:': tls === undefined ? '' : `certificate-file: ${tls.certPath}`,
      'key-file:': tls === undefined ? '' : `key-file: ${tls.keyPath}`,
    }),
    command: (path) => [programPath('h2o'), '-c', path],
    // It is one process, and waits for streams when it is asked to end.
    endSignal: 'SIGKILL',
  },
}

/** Starts a proxy. When this resolves, it listens. */
export async function startProxy(options: ProxyOptions): Promise<ReverseProxy> {
  const { kind, backend, folder, isUnderPath = false, certificate, instead } = options
  const path = isUnderPath ? '/gl' : ''
  if (kind === 'nginx' || kind === 'haproxy') {
    const balancer = await startLoadBalancer({
      kind,
      backends: [backend],
      folder,
      isUnderPath,
      ...(certificate && { certificate }),
      ...(instead && { instead }),
    })
    return { url: balancer.url + path, [Symbol.asyncDispose]: () => balancer.stop() }
  }
  await requireServer(kind)
  await mkdir(folder, { recursive: true })
  return onFreePort(async (port) => {
    const process = await start(servers[kind], { port, folder, certificate }, options)
    return {
      url: `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}${path}`,
      [Symbol.asyncDispose]: () => process.end(),
    }
  })
}

async function start(
  server: Server,
  place: Place,
  { backend, isUnderPath, instead }: ProxyOptions,
): Promise<ServerProcess> {
  const { folder, port } = place
  const lines = replaced((await deployed(server.file, isUnderPath)).split('\n'), {
    ...server.changes(place),
    ...instead,
  })
  const text = lines.join('\n').replaceAll('7878', new URL(`http://${backend}`).port)
  const path = join(folder, server.file)
  await writeFile(path, (server.before?.(place) ?? '') + text)
  const command = {
    command: '/usr/bin/env',
    // Some proxies keep files in the home folder of their user.
    args: ['-C', folder, `HOME=${folder}`, ...server.command(path, place, text)],
    logPath: join(folder, 'log'),
    endSignal: server.endSignal ?? 'SIGTERM',
  } as const
  return ServerProcess.start(command, () => isListening(port))
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}
