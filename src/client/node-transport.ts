import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { Readable } from 'node:stream'
import { Agent, request } from 'undici'
import { Problem } from '../protocol/index.ts'
import { certificateFault } from './certificates.ts'
import { isLocalName, isLoopback } from './loopback.ts'
import { LinkFollower } from './node-links.ts'
import { type HttpRequest, NoAnswer, type Transport, UnsafeConnection } from './transport.ts'

/** A body leaves in slices of this size, so that a slow upload can be told from a stalled one. */
const SLICE_BYTES = 256 * 1024
const CONNECT_TIMEOUT_MS = 10_000
const KEEP_ALIVE_MS = 30_000

/** What somebody has to say on purpose. */
export interface TransportOptions {
  /** Plain http to other machines: whoever is on the way reads tokens and files, and can change them. */
  readonly insecure?: boolean
}

/**
 * The transport for Node, over undici. No redirect is followed: a token goes where the address says, or nowhere.
 *
 * @param portalUrl address of the portal; a path in it is kept as a prefix
 * @throws UnsafeConnection `insecure-transport` for plain http to another machine, unless that is asked for
 */
export function nodeTransport(portalUrl: string, { insecure = false }: TransportOptions = {}): Transport<Readable> {
  const { base, host } = safeAddress(portalUrl, insecure)
  // Time limits are this transport's own: undici's do not tell a slow upload from a stalled one.
  const agent = new Agent({
    connectTimeout: CONNECT_TIMEOUT_MS,
    ...(isLocalName(host) ? { connect: { lookup: lookupLocal } } : {}),
    // Interim answers and the pace of a body are those of HTTP/1.1, as PROTOCOL.md has it.
    allowH2: false,
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  // Most clients never need one.
  let links: LinkFollower | null = null
  return {
    async request({ method, path, headers, body, onSent, onAlive, elsewhere, stallMs, signal }) {
      const controller = new AbortController()
      const stalled = (): void => controller.abort(new NoAnswer(`no answer within ${stallMs} ms`))
      const watchdog = setTimeout(stalled, stallMs)
      const abort = (): void => controller.abort(signal?.reason)
      signal?.addEventListener('abort', abort, { once: true })
      if (signal?.aborted === true) abort()
      const unheard = elsewhere?.(() => {
        watchdog.refresh()
        onAlive?.()
      })
      const sent = (byteCount: number): void => {
        watchdog.refresh()
        onSent?.(byteCount)
      }
      try {
        const response = await request(base + path, {
          dispatcher: agent,
          method,
          headers: body === undefined ? headers : { ...headers, 'content-length': String(body.length) },
          ...(body === undefined ? {} : { body: bodyOf(body, sent) }),
          signal: controller.signal,
          // An interim answer (RFC 9110 section 15.2): the portal is busy with the request.
          onInfo: () => {
            watchdog.refresh()
            onAlive?.()
          },
        })
        response.body.once('close', () => signal?.removeEventListener('abort', abort))
        return {
          status: response.statusCode,
          header: (name) => {
            const value = response.headers[name]
            return value === undefined ? null : String(value)
          },
          body: response.body,
          discard: () => {
            response.body.on('error', () => {})
            response.body.destroy()
          },
        }
      } catch (cause) {
        signal?.removeEventListener('abort', abort)
        if (signal?.aborted === true) throw signal.reason
        if (cause instanceof NoAnswer) throw cause
        const fault = certificateFault(cause)
        if (fault !== null) {
          const detail = `the one that ${host} shows is not trusted: ${fault}`
          throw new UnsafeConnection(new Problem('certificate-invalid', { detail }, { cause }))
        }
        throw new NoAnswer(`no answer: ${describe(cause)}`, { cause })
      } finally {
        unheard?.()
        clearTimeout(watchdog)
      }
    },
    follow: (link, limits) => {
      links ??= new LinkFollower(base)
      return links.fetch(link, limits)
    },
    close: async () => {
      await Promise.all([agent.destroy(), links?.close()])
    },
  }
}

/** @throws UnsafeConnection */
function safeAddress(portalUrl: string, insecure: boolean): { base: string; host: string } {
  const refused = (detail: string): never => {
    throw new UnsafeConnection(new Problem('insecure-transport', { detail }))
  }
  const url = URL.canParse(portalUrl) ? new URL(portalUrl) : null
  if (url === null || !/^https?:$/.test(url.protocol)) return refused('it has to begin with https://')
  if (url.protocol === 'http:' && !insecure && !isLoopback(url.hostname)) {
    refused(`${url.origin} is not encrypted: whoever is on the way could read the token and the files`)
  }
  return { base: portalUrl.replace(/\/+$/, ''), host: url.hostname }
}

/** `localhost` and all below it are this machine, whatever the names above a resolver knows (RFC 6761 section 6.3). */
const lookupLocal: LookupFunction = (_name, options, done) => lookup('localhost', options, done)

/** What fits into one slice leaves at once, and has left when the answer comes. */
function bodyOf(body: Uint8Array, sent: (byteCount: number) => void): Uint8Array | Readable {
  return body.length > SLICE_BYTES ? Readable.from(slices(body, sent), { highWaterMark: 1 }) : body
}

async function* slices(body: NonNullable<HttpRequest['body']>, sent: (byteCount: number) => void) {
  for (let at = 0; at < body.length; at += SLICE_BYTES) {
    const slice = body.subarray(at, at + SLICE_BYTES)
    yield slice
    sent(slice.length)
  }
}

/** What Node and undici call a connection that the other side ended. */
const CUT: ReadonlySet<unknown> = new Set(['EPIPE', 'ECONNRESET', 'UND_ERR_SOCKET'])

function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  // OpenSSL takes the first bytes of something else for a version.
  if ('code' in cause && cause.code === 'ERR_SSL_WRONG_VERSION_NUMBER') return 'the other side does not speak TLS'
  if ('code' in cause && CUT.has(cause.code)) return 'the connection was closed before an answer came'
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return cause.errors[0].message
  return cause.message
}
