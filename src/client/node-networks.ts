/** Which addresses may be connected to. A name is checked by what it resolves to, at the moment of the connection. */
import { lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { bareHost } from './loopback.ts'

/** @param networks addresses and networks (CIDR), such as `10.0.0.0/8` */
export function networksOf(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits] = network.split('/')
    const family = familyOf(address)
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return list
}

/** Whether an address lies in the networks. An IPv4 address in IPv6 (`::ffff:10.0.0.1`) counts as the IPv4 address. */
export function isWithin(networks: BlockList, address: string): boolean {
  return networks.check(address, familyOf(address))
}

/**
 * A look-up that gives only addresses which all are allowed, because a name may resolve to anything, and to something else the next
 * time.
 *
 * @param refused makes the error for a name with any other address, or without one
 */
export function lookupAllowed(isAllowed: (address: string) => boolean, refused: () => Error): LookupFunction {
  return (name, options, done) => {
    lookup(name, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return done(error, '')
      const [first] = addresses
      if (first === undefined || !addresses.every(({ address }) => isAllowed(address))) return done(refused(), '')
      if (options.all === true) return done(null, addresses)
      done(null, first.address, first.family)
    })
  }
}

/** The address in the host of a URL; null for a name. */
export function addressIn({ hostname }: URL): string | null {
  const host = bareHost(hostname)
  return isIP(host) === 0 ? null : host
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4'
}
