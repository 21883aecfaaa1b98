import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import type { Readable } from 'node:stream'
import { IdleTimeout } from '../async/index.ts'
import { interimPreference, Problem } from '../protocol/index.ts'
import { certificateFault } from './certificates.ts'
import { isLocalName, isLoopback } from './loopback.ts'
import { isCut, NodeHttp } from './node-http.ts'
import type { LinkFollower } from './node-links.ts'
import { closedText, type HttpRequest, NoResponseError, type Transport, UnsafeConnectionError } from './transport.ts'

const CONNECT_TIMEOUT_MS = 10_000
const KEEP_ALIVE_MS = 30_000

/** Options that weaken the connection. None is set by default. */
export interface TransportOptions {
  /** Allows plain http to other machines. Everyone on the way can then read and change tokens and files. */
  readonly insecure?: boolean
}

/**
 * The transport for Node. It follows no redirect, so the token goes only to the portal's address.
 *
 * @param portalUrl address of the portal; a path in it is kept as a prefix
 * @throws UnsafeConnectionError `insecure-transport` for plain http to another machine, unless `insecure` is set
 */
export function nodeTransport(portalUrl: string, { insecure = false }: TransportOptions = {}): Transport<Readable> {
  const { base, host } = safeAddress(portalUrl, insecure)
  const http = new NodeHttp({
    connectMs: CONNECT_TIMEOUT_MS,
    keepAliveMs: KEEP_ALIVE_MS,
    ...(isLocalName(host) ? { lookup: lookupLocal } : {}),
  })
  // Made when first needed, which is never in most clients.
  let links: Promise<LinkFollower> | null = null
  return {
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
          signal: controller.signal,
          // An interim answer says that the portal is working on the request.
          onInterim: () => {
            idle.refresh()
            onAlive?.()
          },
        })
        response.body.once('close', () => signal?.removeEventListener('abort', abort))
        return response
      } catch (cause) {
        signal?.removeEventListener('abort', abort)
        if (signal?.aborted === true) throw signal.reason
        if (cause instanceof NoResponseError) throw cause
        const fault = certificateFault(cause)
        if (fault !== null) {
          const detail = `the one that ${host} shows is not trusted: ${fault}`
          throw new UnsafeConnectionError(new Problem('certificate-invalid', { detail }, { cause }))
        }
        throw new NoResponseError(`no answer: ${describe(cause)}`, { cause, isCut: isCut(cause) })
      } finally {
        unheard?.()
      }
    },
    follow: (link, limits) => {
      links ??= import('./node-links.ts').then(({ LinkFollower }) => new LinkFollower(base))
      return links.then((follower) => follower.fetch(link, limits))
    },
    close: async () => {
      http.close()
      await (await links)?.close()
    },
  }
}

/** @throws UnsafeConnectionError */
function safeAddress(portalUrl: string, insecure: boolean): { base: string; host: string } {
  const refused = (detail: string): never => {
    throw new UnsafeConnectionError(new Problem('insecure-transport', { detail }))
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
