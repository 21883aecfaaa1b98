/**
 * Fetches a part from an address in the portal's storage that the portal named. The address alone allows reading that one part for a
 * while, so the request carries no token and no cookie. The caller verifies what comes before it uses it.
 *
 * A portal could name any address, and this machine may reach more than the portal does. So the follower refuses addresses that are
 * less safe than the portal's and, unless the portal is on this machine, addresses that only this machine reaches.
 */
import type { Readable } from 'node:stream'
import { IdleTimeout } from '../async/index.ts'
import { isLoopback } from './loopback.ts'
import { NodeHttp } from './node-http.ts'
import { addressIn, isWithin, lookupAllowed, networksOf } from './node-networks.ts'
import type { RouteOptions } from './node-routes.ts'
import { type HttpResponse, type LinkLimits, NoResponseError } from './transport.ts'

const CONNECT_TIMEOUT_MS = 5_000
const KEEP_ALIVE_MS = 10_000

/** Loopback and link-local addresses. Cloud providers serve the secrets of a machine at link-local addresses. */
const ours = networksOf(['127.0.0.0/8', '0.0.0.0/8', '169.254.0.0/16', '::1', '::', 'fe80::/10'])

/** Follows links that the portal at one address gave. */
export class LinkFollower {
  readonly #portal: URL
  readonly #http: NodeHttp

  /** @param way how requests leave this machine. A proxy looks names up by itself, and has rules of its own */
  constructor(portalUrl: string, way: Pick<RouteOptions, 'proxies' | 'authorities' | 'limits'>) {
    this.#portal = new URL(portalUrl)
    this.#http = new NodeHttp({
      connectMs: CONNECT_TIMEOUT_MS,
      keepAliveMs: KEEP_ALIVE_MS,
      ...way,
      ...(this.#isLocal ? {} : { lookup: lookupElsewhere }),
    })
  }

  /** @throws like `Transport.follow` */
  async fetch(link: string, { stallTimeoutMs, signal, range }: LinkLimits): Promise<HttpResponse<Readable>> {
    const url = this.#checked(link)
    const controller = new AbortController()
    const abort = (): void => controller.abort(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted === true) abort()
    const stalled = (): void =>
      controller.abort(new NoResponseError(`no answer from the storage within ${stallTimeoutMs} ms`))
    using _ = new IdleTimeout(stallTimeoutMs, stalled)
    try {
      const response = await this.#http.request(url, {
        method: 'GET',
        headers: range === undefined ? {} : { range },
        signal: controller.signal,
      })
      response.body.once('close', () => signal?.removeEventListener('abort', abort))
      return response
    } catch (cause) {
      signal?.removeEventListener('abort', abort)
      if (signal?.aborted === true) throw signal.reason
      if (cause instanceof NoResponseError) throw cause
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new NoResponseError(`no answer from the storage: ${why}`, { cause })
    }
  }

  async close(): Promise<void> {
    this.#http.close()
  }

  get #isLocal(): boolean {
    return isLoopback(this.#portal.hostname)
  }

  #checked(link: string): URL {
    const url = URL.canParse(link) ? new URL(link) : null
    const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && this.#portal.protocol === 'http:')
    if (url === null || !isSafe || url.username !== '' || url.password !== '') {
      throw new NoResponseError('the portal named an address that is not to be followed')
    }
    const address = addressIn(url)
    const isOurs = isLoopback(url.hostname) || (address !== null && isWithin(ours, address))
    if (!this.#isLocal && isOurs) throw notFollowed()
    url.hash = ''
    return url
  }
}

/** Finds no address that only this machine reaches. */
export const lookupElsewhere = lookupAllowed((address) => !isWithin(ours, address), notFollowed)

function notFollowed(): NoResponseError {
  return new NoResponseError('the portal named an address that only this machine reaches')
}
