/** Opens a connection through a proxy or within a rate limit. Without both, Node's HTTP client connects by itself. */
import type { ClientRequestArgs } from 'node:http'
import { isIP, type LookupFunction } from 'node:net'
import type { Duplex } from 'node:stream'
import type { SecureContext } from 'node:tls'
import { timerMs } from '../protocol/index.ts'
import type { HttpProxy } from './node-proxy.ts'
import { LimitedSocket, type RateLimits } from './node-rate-limit.ts'
import { ProxyError, proxyRefusal } from './proxy-error.ts'

/** The longest head with which a proxy may answer. */
const HEAD_BYTES_MAX = 16 * 1024
const HTTPS_PORT = 443
const HEAD_END = '\r\n\r\n'

export interface OpeningOptions {
  /** How long all of it may take. */
  readonly connectMs: number
  /** Finds the address of the target. A proxy looks up by itself. */
  readonly lookup?: LookupFunction
  /** Null for a direct connection. */
  readonly proxy: HttpProxy | null
  /** Null where nothing is limited. */
  readonly limits: RateLimits | null
  /** Verifies the certificate of a proxy; undefined for Node's own authorities. */
  readonly secureContext?: SecureContext
  /** Begins TLS with the target; null for plain http, which a proxy forwards without a tunnel. */
  readonly startTls: ((socket: Duplex) => Duplex) | null
}

/**
 * Resolves when the connection can carry requests, TLS included.
 *
 * @throws ProxyError; otherwise Node's error
 */
export async function openConnection(target: ClientRequestArgs, options: OpeningOptions): Promise<Duplex> {
  const { connectMs, proxy, startTls } = options
  const opened: Duplex[] = []
  const watched = <Socket extends Duplex>(socket: Socket): Socket => {
    opened.push(socket)
    // The request hears of its errors. Those of a lower layer are told by the one above.
    socket.on('error', () => {})
    return socket
  }
  const late = new Error(`no connection within ${connectMs} ms`)
  const timer = setTimeout(() => opened.at(-1)?.destroy(late), timerMs(connectMs))
  try {
    const socket = await openFirst(target, options, watched)
    if (startTls === null) return socket
    if (proxy !== null)
      await openTunnel(socket, proxy, new URL(`https://${bracketed(String(target.host))}:${target.port}`))
    const secure = watched(startTls(socket))
    await arrives(secure, 'secureConnect')
    return secure
  } catch (error) {
    for (const socket of opened) socket.destroy()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** Connects to the proxy, or to the target where there is none. */
async function openFirst(
  { host, port }: ClientRequestArgs,
  { proxy, limits, lookup, secureContext }: OpeningOptions,
  watched: <Socket extends Duplex>(socket: Socket) => Socket,
): Promise<Duplex> {
  const { connect } = process.getBuiltinModule('node:net')
  const to = proxy ?? { host: host ?? 'localhost', port: Number(port) }
  const looking = proxy === null && lookup !== undefined ? { lookup } : {}
  try {
    const tcp = watched(connect({ host: to.host, port: to.port, noDelay: true, ...looking }))
    await arrives(tcp, 'connect')
    const socket = limits === null ? tcp : watched(new LimitedSocket(tcp, limits))
    if (proxy?.isSecure !== true) return socket
    const { connect: connectTls } = process.getBuiltinModule('node:tls')
    const name = isIP(proxy.host) === 0 ? { servername: proxy.host } : {}
    const context = secureContext === undefined ? {} : { secureContext }
    const secure = watched(connectTls({ host: proxy.host, socket, ...name, ...context }))
    await arrives(secure, 'secureConnect')
    return secure
  } catch (cause) {
    if (proxy === null) throw cause
    throw new ProxyError(proxy, `cannot be reached: ${(cause as Error).message}`, { cause })
  }
}

/** Asks a proxy for a tunnel (RFC 9110 section 9.3.6). @throws ProxyError */
async function openTunnel(socket: Duplex, proxy: HttpProxy, url: URL): Promise<void> {
  // The port is always named (RFC 9110 section 9.3.6).
  const authority = `${url.hostname}:${url.port || HTTPS_PORT}`
  const credentials = proxy.authorization === null ? '' : `Proxy-Authorization: ${proxy.authorization}\r\n`
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`, 'latin1')
  let head = ''
  while (!head.includes(HEAD_END)) {
    const bytes: Buffer | null = socket.read()
    if (bytes === null) {
      await arrives(socket, 'readable').catch((cause) => {
        throw new ProxyError(proxy, 'closed the connection', { cause })
      })
      continue
    }
    head += bytes.toString('latin1')
    if (head.length > HEAD_BYTES_MAX) throw new ProxyError(proxy, 'does not answer as a proxy does')
  }
  const [, status, text = ''] = /^HTTP\/1\.[01] (\d{3}) ?([^\r\n]*)/.exec(head) ?? []
  if (status === undefined) throw new ProxyError(proxy, 'does not answer as a proxy does')
  if (!status.startsWith('2')) throw proxyRefusal(proxy, Number(status), text, { url, isForwarded: false })
  // TLS begins with the client, so nothing may come before that.
  if (!head.endsWith(HEAD_END)) throw new ProxyError(proxy, 'says more than a proxy does')
}

/** Resolves at the event. @throws the error of the socket, or one that it was closed */
function arrives(socket: Duplex, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const closed = (): void => end(() => reject(new Error('the connection was closed')))
    const failed = (error: Error): void => end(() => reject(error))
    const arrived = (): void => end(resolve)
    const end = (act: () => void): void => {
      socket.off('close', closed).off('error', failed).off('end', closed).off(event, arrived)
      act()
    }
    socket.once('close', closed).once('error', failed).once('end', closed).once(event, arrived)
  })
}

function bracketed(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host
}
