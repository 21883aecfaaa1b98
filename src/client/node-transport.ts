import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import type { Readable } from 'node:stream'
import { IdleTimeout } from '../async/index.ts'
import { interimPreference, Problem } from '../protocol/index.ts'
import { certificateFaultIn } from './certificates.ts'
import { isLocalName, isLoopback } from './loopback.ts'
import { Authorities } from './node-authorities.ts'
import { isCut, NodeHttp } from './node-http.ts'
import type { LinkFollower } from './node-links.ts'
import { HttpProxies } from './node-proxy.ts'
import { withRanges } from './node-ranges.ts'
import { RateLimits } from './node-rate-limit.ts'
import { nodeProxyEnvironment, type RouteOptions } from './node-routes.ts'
import { ProxyError } from './proxy-error.ts'
import { closedText, type HttpRequest, NoResponseError, type Transport, UnusableConnectionError } from './transport.ts'

const CONNECT_TIMEOUT_MS = 10_000
const KEEP_ALIVE_MS = 30_000

/** How a client reaches its portal. */
export interface ConnectionOptions {
  /** Allows plain http to other machines. Everyone on the way can then read and change tokens and files. */
  readonly insecure?: boolean
  /**
   * Whether HTTPS_PROXY, HTTP_PROXY and NO_PROXY name proxies. Default: if Node's own HTTP uses them in this process (`--use-env-proxy`,
   * NODE_USE_ENV_PROXY=1).
   */
  readonly proxies?: boolean
  /** Whether authorities in the system's certificate store are trusted besides those of Node. Default: true. */
  readonly systemCa?: boolean
  /** Bytes a second that all requests send at most, and as many that they receive. Default: no limit. */
  readonly limitBytesPerSecond?: number
}

/**
 * The transport for Node. It follows no redirect, so the token goes only to the portal's address.
 *
 * @param portalUrl address of the portal; a path in it is kept as a prefix
 * @throws UnusableConnectionError `insecure-transport` for plain http to another machine, unless `insecure` is set
 */
export function nodeTransport(portalUrl: string, options: ConnectionOptions = {}): Transport<Readable> {
  const { base, host } = safeAddress(portalUrl, options.insecure ?? false)
  const way = wayOf(portalUrl, options)
  const http = new NodeHttp({
    connectMs: CONNECT_TIMEOUT_MS,
    keepAliveMs: KEEP_ALIVE_MS,
    ...way,
    ...(isLocalName(host) ? { lookup: lookupLocal } : {}),
  })
  let hasAnswered = false
  // Made when first needed, which is never in most clients.
  let links: Promise<LinkFollower> | null = null
  const transport: Required<Pick<Transport<Readable>, 'request' | 'follow' | 'close'>> = {
    async request({ method, path, headers, body, isBulk, onSent, onAlive, elsewhere, stallTimeoutMs, signal }) {
      const controller = new AbortController()
      const stalled = (): void => controller.abort(new NoResponseError(`no answer within ${stallTimeoutMs} ms`))
      using idle = new IdleTimeout(stallTimeoutMs, stalled)
      const abort = (): void => controller.abort(signal?.reason)
      signal?.addEventListener('abort', abort, { once: true })
      if (signal?.aborted === true) abort()
      const unheard = elsewhere?.(() => {
        idle.refresh()
        onAlive?.()
      })
      const sent = (byteCount: number): void => {
        idle.refresh()
        onSent?.(byteCount)
      }
      try {
        const response = await http.request(new URL(base + path), {
          method,
          headers: headersOf(headers, body, onAlive !== undefined),
          ...(body === undefined ? {} : { body, onSent: sent }),
          ...(isBulk === undefined ? {} : { isBulk }),
          isOfPortal: true,
          signal: controller.signal,
          // An interim answer says that the portal is working on the request.
          onInterim: () => {
            idle.refresh()
            onAlive?.()
          },
        })
        response.body.once('close', () => signal?.removeEventListener('abort', abort))
        hasAnswered = true
        return response
      } catch (cause) {
        signal?.removeEventListener('abort', abort)
        if (signal?.aborted === true) throw signal.reason
        if (cause instanceof NoResponseError) throw cause
        const fault = certificateFaultIn(cause)
        if (fault !== null) {
          const who = cause instanceof ProxyError ? `the proxy ${cause.proxy.origin}` : host
          const detail = `the one that ${who} shows is not trusted: ${fault}`
          throw new UnusableConnectionError(new Problem('certificate-invalid', { detail }, { cause }))
        }
        // A proxy that let requests through before may do so again, for instance once it reaches its directory of users.
        if (cause instanceof ProxyError && cause.isRefusal && !hasAnswered) {
          throw new UnusableConnectionError(new Problem('proxy-refused', { detail: cause.message }, { cause }))
        }
        throw new NoResponseError(`no answer: ${describe(cause)}`, {
          cause,
          isCut: isCut(cause) || (cause instanceof ProxyError && cause.isAnswer),
        })
      } finally {
        unheard?.()
      }
    },
    follow: (link, limits) => {
      links ??= import('./node-links.ts').then(({ LinkFollower }) => new LinkFollower(base, way))
      return links.then((follower) => follower.fetch(link, limits))
    },
    close: async () => {
      http.close()
      await (await links)?.close()
    },
  }
  return way.limits === null ? transport : withRanges(transport, way.limits)
}

/**
 * How requests to a portal leave this machine.
 *
 * @throws Problem `options-invalid` when a variable names no usable proxy
 */
export function wayOf(
  portalUrl: string,
  { proxies, systemCa = true, limitBytesPerSecond }: ConnectionOptions,
): Pick<RouteOptions, 'proxies' | 'authorities' | 'limits'> {
  const environment = proxies === true ? process.env : proxies === false ? null : nodeProxyEnvironment()
  const named = environment === null ? null : new HttpProxies(environment)
  // Fails here and not in each request.
  named?.for(new URL(portalUrl))
  return {
    proxies: named,
    authorities: new Authorities(systemCa),
    limits: limitBytesPerSecond === undefined ? null : new RateLimits(limitBytesPerSecond),
  }
}

/** @throws UnusableConnectionError */
function safeAddress(portalUrl: string, insecure: boolean): { base: string; host: string } {
  const refused = (detail: string): never => {
    throw new UnusableConnectionError(new Problem('insecure-transport', { detail }))
  }
  const url = URL.canParse(portalUrl) ? new URL(portalUrl) : null
  if (url === null || !/^https?:$/.test(url.protocol)) return refused('it must begin with https://')
  if (url.protocol === 'http:' && !insecure && !isLoopback(url.hostname)) {
    refused(`${url.origin} is not encrypted: anyone on the way could read the token and the files`)
  }
  return { base: portalUrl.replace(/\/+$/, ''), host: url.hostname }
}

/** Resolves `localhost` and names below it to this machine, whatever a resolver would say (RFC 6761 section 6.3). */
const lookupLocal: LookupFunction = (_name, options, done) => lookup('localhost', options, done)

/** Asks for interim answers when the caller wants signs of life. This transport can tell them from the final answer. */
function headersOf(headers: HttpRequest['headers'], body: Uint8Array | undefined, wantsInterim: boolean) {
  if (body === undefined) return headers
  const prefer = wantsInterim ? { prefer: interimPreference } : {}
  return { ...prefer, ...headers, 'content-length': String(body.length) }
}

function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  // When the peer does not speak TLS, OpenSSL takes its first bytes for a version number.
  if (/wrong version number/.test(cause.message)) return 'the other side does not speak TLS'
  if (isCut(cause)) return closedText
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return cause.errors[0].message
  return cause.message
}
