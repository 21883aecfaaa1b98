/**
 * Reverse proxies and relays of Debian for which `deploy/` has no configuration, each with a minimal configuration, in
 * the foreground, on a free port of loopback.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CertificateFiles } from '../e2e/tls/authority.ts'
import { programPath, requireServer } from './install.ts'
import { isListening, onFreePort, ServerProcess } from './server-process.ts'

interface Place {
  readonly port: number
  /** The address of the portal, `127.0.0.1:PORT`. */
  readonly backend: string
  /** The certificate and its key in one file. */
  readonly pemPath: string
}

interface SimpleProxy {
  readonly isTls: boolean
  /** The text of its configuration. */
  readonly configuration: (place: Place) => string
  readonly command: (configurationPath: string, place: Place) => readonly [string, ...string[]]
}

export const simpleProxies = {
  nghttpx: {
    isTls: false,
    configuration: ({ port, backend }) =>
      `frontend=127.0.0.1,${port};no-tls\nbackend=${backend.replace(':', ',')}\nworkers=1\naccesslog-file=/dev/null\n`,
    command: (path) => [programPath('nghttpx'), `--conf=${path}`],
  },
  tinyproxy: {
    isTls: false,
    configuration: ({ port, backend }) =>
      `Port ${port}\nListen 127.0.0.1\nReverseOnly Yes\nReversePath "/" "http://${backend}/"\n`,
    command: (path) => [programPath('tinyproxy'), '-d', '-c', path],
  },
  socat: {
    isTls: false,
    configuration: () => '',
    command: (_, { port, backend }) => [
      programPath('socat'),
      `TCP-LISTEN:${port},bind=127.0.0.1,fork,reuseaddr`,
      `TCP:${backend}`,
    ],
  },
  stunnel: {
    isTls: true,
    configuration: ({ port, backend, pemPath }) =>
      `foreground = yes\npid =\n[portal]\naccept = 127.0.0.1:${port}\nconnect = ${backend}\ncert = ${pemPath}\n`,
    command: (path) => [programPath('stunnel4'), path],
  },
  hitch: {
    isTls: true,
    configuration: ({ port, backend, pemPath }) =>
      `frontend = "[127.0.0.1]:${port}"\nbackend = "[${backend.replace(':', ']:')}"\npem-file = "${pemPath}"\n`,
    command: (path) => [programPath('hitch'), '--config', path, '--user', 'root'],
  },
} as const satisfies Record<string, SimpleProxy>

export type SimpleProxyName = keyof typeof simpleProxies

/** Starts one. When this resolves, it listens. */
export async function startSimpleProxy(
  name: SimpleProxyName,
  { backend, folder, certificate }: { backend: string; folder: string; certificate: CertificateFiles },
): Promise<{ readonly url: string } & AsyncDisposable> {
  await requireServer(name)
  await mkdir(folder, { recursive: true })
  const pemPath = join(folder, 'both.pem')
  const pem = await Promise.all([certificate.keyPath, certificate.certPath].map((path) => readFile(path)))
  await writeFile(pemPath, Buffer.concat(pem), { mode: 0o600 })
  const proxy: SimpleProxy = simpleProxies[name]
  return onFreePort(async (port) => {
    const place = { port, backend, pemPath }
    const path = join(folder, `${name}.conf`)
    await writeFile(path, proxy.configuration(place))
    const [command, ...args] = proxy.command(path, place)
    const process = await ServerProcess.start(
      { command, args, logPath: join(folder, 'log'), endSignal: 'SIGTERM' },
      () => isListening(port),
    )
    return {
      url: `${proxy.isTls ? 'https' : 'http'}://127.0.0.1:${port}`,
      [Symbol.asyncDispose]: () => process.end(),
    }
  })
}
