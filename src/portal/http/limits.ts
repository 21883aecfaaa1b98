/**
 * How much of the portal's attention one account, one stranger and one address get. All of it is counted in this process:
 * with several nodes each of them allows as much.
 *
 * Rates are token buckets: so many requests a second on the long run, and a burst of what was not used. Failures of
 * authentication are counted by address, and only they are: a valid token from the same address is never kept out.
 */
import type { Server, ServerResponse } from 'node:http'
import { BlockList, isIPv6, type Socket } from 'node:net'
import type { Gauge } from 'prom-client'
import { Problem } from '../../protocol/index.ts'
import type { PortalOptions } from '../options.ts'

const SECOND_MS = 1000
const MINUTE_S = 60
/** What may come at once, in seconds of the rate. */
const BURST_SECONDS = 2
/** So many are remembered; whoever was silent for longest is forgotten first, and begins with a full bucket. */
const BUCKETS_MAX = 20_000
/** So many connections beyond the limit are kept for a moment, to be told why. */
const SURPLUS_CONNECTIONS = 100
/** A network of IPv6 that one customer gets has so many groups of four digits. */
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

  /** Takes one token. @returns null, or how many seconds it takes until there is one */
  take(key: Key): number | null {
    const nowMs = performance.now()
    const bucket = this.#buckets.get(key) ?? { tokens: this.#burst, atMs: nowMs }
    bucket.tokens = Math.min(this.#burst, bucket.tokens + ((nowMs - bucket.atMs) / SECOND_MS) * this.#perSecond)
    bucket.atMs = nowMs
    // Put at the end anew: the order of the map is that of last use.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > BUCKETS_MAX) this.#forgetOldest()
    if (bucket.tokens < 1) return Math.ceil((1 - bucket.tokens) / this.#perSecond)
    bucket.tokens--
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
   * Counts a request of an account, for as long as its answer takes.
   *
   * @throws Problem `rate-limited`, `too-many-connections`
   */
  admit(accountId: number, response: ServerResponse): void {
    const retryAfterSeconds = this.#requests.take(accountId)
    if (retryAfterSeconds !== null) throw new Problem('rate-limited', { retryAfterSeconds })
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

  /** Counts a failure of a stranger. @throws Problem `rate-limited` when there were too many: nothing else is said then */
  failed(address: string): void {
    const retryAfterSeconds = this.#failures.take(networkOf(address))
    if (retryAfterSeconds !== null) throw new Problem('rate-limited', { retryAfterSeconds })
  }
}

/** An address, or for IPv6 the network that one customer has as a whole. */
function networkOf(address: string): string {
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
  readonly #exempt = new BlockList()
  readonly #gauge: Gauge
  #count = 0

  /** @param connectionsMax what the system allows at most, within the option */
  constructor(options: PortalOptions, connectionsMax: number, gauge: Gauge) {
    this.#options = options
    this.#gauge = gauge
    this.#connectionsMax = connectionsMax
    // All that a proxy serves come from its one address; and who is on this machine has better ways to do harm.
    for (const network of ['127.0.0.0/8', '::1/128', ...options.trustedProxies]) {
      const [address = '', bits] = network.split('/')
      const family = isIPv6(address) ? 'ipv6' : 'ipv4'
      if (bits === undefined) this.#exempt.addAddress(address, family)
      else this.#exempt.addSubnet(address, Number(bits), family)
    }
  }

  /** Watches the connections of a server. */
  watch(server: Server): void {
    server.maxConnections = this.#connectionsMax + SURPLUS_CONNECTIONS
    server.on('connection', (socket: Socket) => this.#opened(socket))
    // Over TLS, requests come from another object than the connection.
    server.on('secureConnection', (socket: Socket) => {
      if (this.#count > this.#connectionsMax) this.#surplus.add(socket)
    })
  }

  /** @throws Problem `unavailable` for a connection that is one too many */
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

  #isExempt(address: string): boolean {
    const plain = address.replace(/^::ffff:/, '')
    return plain !== '' && this.#exempt.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4')
  }
}
