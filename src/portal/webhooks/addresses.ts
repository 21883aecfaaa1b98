/**
 * The addresses that webhooks may go to. An account chooses the address, and the portal reaches more than the account does: its own
 * machine, its neighbours, the service at which cloud providers give out secrets. So only addresses of the public internet are allowed,
 * except networks that the operator names.
 */
import type { BlockList, LookupFunction } from 'node:net'
import { networkInterfaces } from 'node:os'
import { addressIn, isWithin, lookupAllowed, networksOf } from '../../client/node-networks.ts'
import { Problem } from '../../protocol/index.ts'

/** IPv4 networks that are not global unicast: the IANA registry of special-purpose addresses (RFC 6890), and multicast. */
const SPECIAL_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]
/** Everything in IPv6 that is not global unicast, and what leads to an IPv4 address in it (6to4, Teredo, SIIT, compatible addresses). */
const SPECIAL_IPV6 = [
  '::/96',
  '::ffff:0:0:0/96',
  '64:ff9b:1::/48',
  '100::/8',
  '200::/7',
  '400::/6',
  '800::/5',
  '1000::/4',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
  '4000::/2',
  '8000::/1',
]
/** NAT64 (RFC 6052): the last 32 bits are an IPv4 address. Networks with IPv6 alone reach IPv4 by it. */
const NAT64_PREFIX = '64:ff9b::'
const NAT64_BITS = 96

const special = networksOf([
  ...SPECIAL_IPV4,
  ...SPECIAL_IPV4.map((network) => network.replace(/^(.*)\/(\d+)$/, nat64Of)),
  ...SPECIAL_IPV6,
])

function nat64Of(_: string, address: string, bits: string): string {
  return `${NAT64_PREFIX}${address}/${NAT64_BITS + Number(bits)}`
}

/** The portal sends nothing to this address. The message is for the account, and says nothing of what is at the address. */
export class RefusedAddressError extends Error {
  override readonly name = 'RefusedAddressError'
}

const REFUSED = 'its network is not allowed. The operator allows networks with: golooader portal --webhook-networks'

export class WebhookAddresses {
  readonly #allowed: BlockList
  readonly #hasAllowed: boolean
  /** The look-up for https. */
  readonly lookup: LookupFunction
  /** The look-up for plain http, which only networks get that the operator names. */
  readonly lookupPlain: LookupFunction

  /** @param networks networks and addresses that the operator allows, also by plain http */
  constructor(networks: readonly string[]) {
    this.#allowed = networksOf(networks)
    this.#hasAllowed = networks.length > 0
    const refused = (): RefusedAddressError => new RefusedAddressError(REFUSED)
    this.lookup = lookupAllowed((address) => this.isAllowed(address), refused)
    this.lookupPlain = lookupAllowed((address) => this.#isNamed(address), refused)
  }

  /** Whether webhooks go to an address. */
  isAllowed(address: string): boolean {
    return this.#isNamed(address) || !(isWithin(special, address) || isWithin(ownNetworks(), address))
  }

  /**
   * Checks the address of a new webhook as far as it can be known: names are looked up when something is sent.
   *
   * @returns the address as it is kept
   * @throws Problem `webhook-refused`
   */
  checked(text: string): string {
    const url = URL.canParse(text) ? new URL(text) : null
    if (url === null || !/^https?:$/.test(url.protocol)) throw refused('it has to begin with https://')
    if (url.protocol === 'http:' && !this.#hasAllowed) throw refused('it has to begin with https://')
    if (url.username !== '' || url.password !== '') throw refused('it must not have a user or a password')
    if (url.hash !== '') throw refused('it must not have a fragment')
    this.requireLiteral(url)
    return url.href
  }

  /** No name is looked up for a literal address. @throws Problem `webhook-refused` */
  requireLiteral(url: URL): void {
    const address = addressIn(url)
    if (address === null) return
    if (url.protocol === 'http:' ? !this.#isNamed(address) : !this.isAllowed(address)) throw refused(REFUSED)
  }

  #isNamed(address: string): boolean {
    return isWithin(this.#allowed, address)
  }
}

/** The networks that this machine is part of at the moment. Its neighbours may have public addresses, too. */
function ownNetworks(): BlockList {
  const interfaces = Object.values(networkInterfaces()).flatMap((all) => all ?? [])
  return networksOf(interfaces.flatMap(({ cidr }) => cidr ?? []))
}

function refused(detail: string): Problem {
  return new Problem('webhook-refused', { detail })
}
