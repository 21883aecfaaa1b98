/**
 * Fetching from an address that the portal named: a part in its storage. Whoever has the address may read that one part for
 * a while, so it says everything by itself: no token goes there, no cookie, nothing of ours. What comes is worth nothing
 * before it has been verified.
 *
 * A portal could name any address, and this machine may reach more than the portal does. So nothing less safe than the
 * way to the portal is taken, and, unless the portal is on this machine, nothing that only this machine reaches.
 */
import { lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import type { Readable } from 'node:stream'
import { Agent, request } from 'undici'
import { isLoopback } from './loopback.ts'
import { type HttpRequest, type HttpResponse, NoAnswer } from './transport.ts'

const CONNECT_TIMEOUT_MS = 5_000
const KEEP_ALIVE_MS = 10_000

/** This machine, and what is beside it on its wire: where clouds keep the secrets of their machines. */
const ours = new BlockList()
ours.addSubnet('127.0.0.0', 8)
ours.addSubnet('0.0.0.0', 8)
ours.addSubnet('169.254.0.0', 16)
ours.addAddress('::1', 'ipv6')
ours.addAddress('::', 'ipv6')
ours.addSubnet('fe80::', 10, 'ipv6')

/** Follows links of the portal at that address. */
export class LinkFollower {
  readonly #portal: URL
  readonly #agent: Agent

  constructor(portalUrl: string) {
    this.#portal = new URL(portalUrl)
    this.#agent = new Agent({
      connect: { timeout: CONNECT_TIMEOUT_MS, ...(this.#isLocal ? {} : { lookup: lookupElsewhere }) },
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  /** @throws like `Transport.follow` */
  async fetch(
    link: string,
    { stallMs, signal }: Pick<HttpRequest, 'stallMs' | 'signal'>,
  ): Promise<HttpResponse<Readable>> {
    const url = this.#checked(link)
    const controller = new AbortController()
    const abort = (): void => controller.abort(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted === true) abort()
    const stalled = (): void => controller.abort(new NoAnswer(`no answer from the storage within ${stallMs} ms`))
    const watchdog = setTimeout(stalled, stallMs)
    try {
      const { statusCode, headers, body } = await request(url, { dispatcher: this.#agent, signal: controller.signal })
      body.once('close', () => signal?.removeEventListener('abort', abort))
      return {
        status: statusCode,
        header: (name) => (headers[name] === undefined ? null : String(headers[name])),
        body,
        discard: () => {
          body.on('error', () => {})
          body.destroy()
        },
      }
    } catch (cause) {
      signal?.removeEventListener('abort', abort)
      if (signal?.aborted === true) throw signal.reason
      if (cause instanceof NoAnswer) throw cause
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new NoAnswer(`no answer from the storage: ${why}`, { cause })
    } finally {
      clearTimeout(watchdog)
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy()
  }

  get #isLocal(): boolean {
    return isLoopback(this.#portal.hostname)
  }

  #checked(link: string): URL {
    const url = URL.canParse(link) ? new URL(link) : null
    const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && this.#portal.protocol === 'http:')
    if (url === null || !isSafe || url.username !== '' || url.password !== '') {
      throw new NoAnswer('the portal named an address that is not to be followed')
    }
    const host = url.hostname.replace(/^\[|\]$/g, '')
    if (!this.#isLocal && (isLoopback(host) || (isIP(host) !== 0 && isOurs(host)))) throw notFollowed()
    url.hash = ''
    return url
  }
}

/** A name may lead anywhere, and another time elsewhere: what counts is the address that is connected to. */
export const lookupElsewhere: LookupFunction = (name, options, done) => {
  lookup(name, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return done(error, '')
    if (addresses.some(({ address }) => isOurs(address))) return done(notFollowed(), '')
    if (options.all === true) return done(null, addresses)
    const [first] = addresses
    if (first === undefined) return done(notFollowed(), '')
    done(null, first.address, first.family)
  })
}

function isOurs(address: string): boolean {
  return ours.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

function notFollowed(): NoAnswer {
  return new NoAnswer('the portal named an address that only this machine reaches')
}
