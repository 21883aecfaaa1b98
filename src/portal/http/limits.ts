/**
 * Limits on the requests and connections of one account, and of one address without a token. Each process counts its own, so
 * several nodes together allow several times as much.
 *
 * Rates are token buckets: a number of requests per second in the long run, plus a burst of unused ones. By address, only failures
 * of authentication are counted, so that a valid token from the same address always works.
 */
import type { Server, ServerResponse } from 'node:http'
import { BlockList, isIPv6, type Socket } from 'node:net'
import type { Gauge } from 'prom-client'
import { Problem } from '../../protocol/index.ts'
import type { PortalOptions } from '../options.ts'

const SECOND_MS = 1000
const MINUTE_S = 60
/** The size of a burst, in seconds of the rate. */
const BURST_SECONDS = 2
/** How many buckets are kept. The least recently used one is dropped first; its client then starts with a full bucket. */
const BUCKETS_MAX = 20_000
/** How many connections beyond the limit are accepted for a moment, to answer why they are refused. */
const SURPLUS_CONNECTIONS = 100
/** How many groups of four digits identify the IPv6 network of one customer. */
const IPV6_NETWORK_GROUPS = 4

interface Bucket {
  tokens: number
  atMs: number
}

/** Token buckets by key, in bounded memory. */
class Buckets<Key> {
  readonly #perSecond: number
  readonly #burst: number
  readonly #buckets = new Map<Key, Bucket>()

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond
    this.#burst = burst
  }

  /** Takes tokens, of more than a burst all. @returns null, or the seconds until there are as many */
  take(key: Key, count = 1): number | null {
    const wanted = Math.min(count, this.#burst)
    const nowMs = performance.now()
    const bucket = this.#buckets.get(key) ?? { tokens: this.#burst, atMs: nowMs }
    bucket.tokens = Math.min(this.#burst, bucket.tokens + ((nowMs - bucket.atMs) / SECOND_MS) * this.#perSecond)
    bucket.atMs = nowMs
    // Moved to the end, because the order of the map is that of last use.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > BUCKETS_MAX) this.#forgetOldest()
    if (bucket.tokens < wanted) return Math.ceil((wanted - bucket.tokens) / this.#perSecond)
    bucket.tokens -= wanted
    return null
  }

  #forgetOldest(): void {
    const [oldest] = this.#buckets.keys()
    if (oldest !== undefined) this.#buckets.delete(oldest)
  }
}

/** The limits on requests. */
export class RequestLimits {
  readonly #inFlightMax: number
  readonly #inFlight = new Map<number, number>()
  readonly #requests: Buckets<number>
  readonly #failures: Buckets<string>

  constructor({ accountRequestsPerSecond, accountConnectionsMax, addressFailuresPerMinute }: PortalOptions) {
    this.#failures = new Buckets(addressFailuresPerMinute / MINUTE_S, addressFailuresPerMinute)
    this.#requests = new Buckets(accountRequestsPerSecond, accountRequestsPerSecond * BURST_SECONDS)
    this.#inFlightMax = accountConnectionsMax
  }

  /**
   * Counts a request of an account until its answer has ended.
   *
   * @throws Problem `rate-limited`, `too-many-connections`
   */
  admit(accountId: number, response: ServerResponse): void {
    this.count(accountId, 1)
    const inFlight = this.#inFlight.get(accountId) ?? 0
    if (inFlight >= this.#inFlightMax) {
      throw new Problem('too-many-connections', { connectionsMax: this.#inFlightMax })
    }
    this.#inFlight.set(accountId, inFlight + 1)
    response.once('close', () => {
      const left = (this.#inFlight.get(accountId) ?? 1) - 1
      if (left > 0) this.#inFlight.set(accountId, left)
      else this.#inFlight.delete(accountId)
    })
  }

  /** Counts requests, or items of a batch like requests. @throws Problem `rate-limited` */
  count(accountId: number, requests: number): void {
    const retryAfterSeconds = this.#requests.take(accountId, requests)
    if (retryAfterSeconds !== null) throw new Problem('rate-limited', { retryAfterSeconds })
  }

  /** Counts a failed authentication. @throws Problem `rate-limited` when the address had too many; that is then the only answer */
  failed(address: string): void {
    const retryAfterSeconds = this.#failures.take(networkOf(address))
    if (retryAfterSeconds !== null) throw new Problem('rate-limited', { retryAfterSeconds })
  }
}

/** Which addresses are exempt from bounds by address, because many clients may come from them: this machine, and trusted proxies. */
export function exemptAddresses({ trustedProxies }: PortalOptions): (address: string) => boolean {
  const exempt = new BlockList()
  // All clients of a proxy come from its one address. A user of this machine can do more harm in other ways.
  for (const network of ['127.0.0.0/8', '::1/128', ...trustedProxies]) {
    const [address = '', bits] = network.split('/')
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    if (bits === undefined) exempt.addAddress(address, family)
    else exempt.addSubnet(address, Number(bits), family)
  }
  return (address) => {
    const plain = address.replace(/^::ffff:/, '')
    return plain !== '' && exempt.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4')
  }
}

/** An IPv4 address, or the IPv6 network of one customer. */
export function networkOf(address: string): string {
  if (!isIPv6(address) || address.startsWith('::ffff:')) return address
  const [head = '', tail = ''] = address.split('::')
  const groups = [head, tail].map((part) => (part === '' ? [] : part.split(':')))
  const missing = 8 - (groups[0]?.length ?? 0) - (groups[1]?.length ?? 0)
  const all = address.includes('::')
    ? [...(groups[0] ?? []), ...Array(missing).fill('0'), ...(groups[1] ?? [])]
    : groups[0]
  return (all ?? []).slice(0, IPV6_NETWORK_GROUPS).join(':')
}

/** The limits on connections. */
export class ConnectionLimits {
  readonly #options: PortalOptions
  readonly #connectionsMax: number
  readonly #open = new Map<string, number>()
  readonly #surplus = new WeakSet<object>()
  readonly #isExempt: (address: string) => boolean
  readonly #gauge: Gauge
  #count = 0

  /** @param connectionsMax the option, lowered to what the system allows */
  constructor(options: PortalOptions, connectionsMax: number, gauge: Gauge) {
    this.#options = options
    this.#gauge = gauge
    this.#connectionsMax = connectionsMax
    this.#isExempt = exemptAddresses(options)
  }

  /** Watches the connections of a server. */
  watch(server: Server): void {
    server.maxConnections = this.#connectionsMax + SURPLUS_CONNECTIONS
    server.on('connection', (socket: Socket) => this.#opened(socket))
    // Over TLS, a request's socket is another object than the connection's.
    server.on('secureConnection', (socket: Socket) => {
      if (this.#count > this.#connectionsMax) this.#surplus.add(socket)
    })
  }

  /** @throws Problem `unavailable` for a connection beyond the limit */
  requireRoom(socket: Socket): void {
    if (!this.#surplus.has(socket)) return
    throw new Problem('unavailable', { detail: 'too many connections are open' })
  }

  #opened(socket: Socket): void {
    this.#gauge.set(++this.#count)
    if (this.#count > this.#connectionsMax) this.#surplus.add(socket)
    const address = socket.remoteAddress ?? ''
    const count = (this.#open.get(address) ?? 0) + 1
    this.#open.set(address, count)
    socket.once('close', () => {
      this.#gauge.set(--this.#count)
      const left = (this.#open.get(address) ?? 1) - 1
      if (left > 0) this.#open.set(address, left)
      else this.#open.delete(address)
    })
    if (count > this.#options.addressConnectionsMax && !this.#isExempt(address)) socket.destroy()
  }
}
