/**
 * Which HTTP proxy a request goes through, by the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY. This machine is never reached through
 * a proxy.
 *
 * Node's own `proxyEnv` is not used: it ignores a proxy without `http://` before its name, and networks in NO_PROXY, silently, and it
 * takes a name in NO_PROXY for that one host, where curl, Go and Python include the hosts below it.
 */
import { BlockList, isIP } from 'node:net'
import { optionsInvalid } from '../protocol/index.ts'
import { bareHost, isLoopback } from './loopback.ts'

/** Variables of the environment: `process.env`, or those of them that count. */
export type Environment = Readonly<Record<string, string | undefined>>

/** A proxy that a variable names. */
export interface HttpProxy {
  /** Its address without the password. */
  readonly origin: string
  readonly isSecure: boolean
  readonly host: string
  readonly port: number
  /** The value of `Proxy-Authorization` (RFC 7617 section 2); null where the address has no password. Never show it. */
  readonly authorization: string | null
  /** The variable that names it, for people. */
  readonly variable: string
}

/** The proxies of an environment. */
export class HttpProxies {
  readonly #environment: Environment
  readonly #byProtocol = new Map<string, HttpProxy | null>()
  #exempt: Exempt | null = null

  constructor(environment: Environment) {
    this.#environment = environment
  }

  /** @returns null for a direct connection. @throws Problem `options-invalid` when the variable names no usable proxy */
  for(url: URL): HttpProxy | null {
    if (isLoopback(url.hostname)) return null
    const proxy = this.#of(url.protocol)
    if (proxy === null) return null
    this.#exempt ??= new Exempt(variableOf(this.#environment, 'no_proxy')?.value ?? '')
    return this.#exempt.has(url) ? null : proxy
  }

  #of(protocol: string): HttpProxy | null {
    let proxy = this.#byProtocol.get(protocol)
    if (proxy === undefined) {
      const named = variableOf(this.#environment, protocol === 'https:' ? 'https_proxy' : 'http_proxy')
      proxy = named === null ? null : parseProxy(named)
      this.#byProtocol.set(protocol, proxy)
    }
    return proxy
  }
}

/** A variable in lower case takes precedence, as in Node and curl. */
function variableOf(
  environment: Environment,
  name: string,
): { readonly variable: string; readonly value: string } | null {
  for (const variable of [name, name.toUpperCase()]) {
    const value = environment[variable]?.trim()
    if (value !== undefined && value !== '') return { variable, value }
  }
  return null
}

const SECURE_PORT = 443
const PLAIN_PORT = 80

function parseProxy({ variable, value }: { readonly variable: string; readonly value: string }): HttpProxy {
  // The text may have a password, so no message repeats it.
  const text = value.includes('://') ? value : `http://${value}`
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || url.hostname === '') throw optionsInvalid(`${variable} is not the address of a proxy: ${FORM}`)
  if (!/^https?:$/.test(url.protocol)) {
    throw optionsInvalid(`${variable} names a proxy for '${url.protocol}', which cannot be used: ${FORM}`)
  }
  const isSecure = url.protocol === 'https:'
  const { username, password, port, hostname } = url
  const credentials = Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')
  return {
    origin: url.origin,
    isSecure,
    host: bareHost(hostname),
    port: Number(port || (isSecure ? SECURE_PORT : PLAIN_PORT)),
    authorization: username === '' && password === '' ? null : `Basic ${credentials}`,
    variable,
  }
}

const FORM = "it looks like http://proxy.example:3128. To go without a proxy: NO_PROXY='*'"

/** A password may have a percent sign that encodes nothing. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The hosts of NO_PROXY. */
class Exempt {
  #isAll = false
  readonly #names: { readonly name: string; readonly port: string | null }[] = []
  readonly #addresses = new BlockList()

  /** @param list names, addresses and networks, separated by commas or spaces */
  constructor(list: string) {
    for (const entry of list.toLowerCase().split(/[\s,]+/)) {
      if (entry === '*') this.#isAll = true
      else if (entry !== '' && !this.#addAddresses(entry)) this.#addName(entry)
    }
  }

  has(url: URL): boolean {
    const host = bareHost(url.hostname).replace(/\.$/, '')
    const port = url.port || String(url.protocol === 'https:' ? SECURE_PORT : PLAIN_PORT)
    const family = isIP(host)
    if (family !== 0 && this.#addresses.check(host, family === 6 ? 'ipv6' : 'ipv4')) return true
    const isMeant = (name: string): boolean => host === name || (family === 0 && host.endsWith(`.${name}`))
    return this.#isAll || this.#names.some((one) => (one.port === null || one.port === port) && isMeant(one.name))
  }

  /** Adds `10.0.0.1`, `10.0.0.0/8` or `10.0.0.1-10.0.0.9`. @returns false for anything else */
  #addAddresses(entry: string): boolean {
    const [from = '', to = '', ...others] = entry.split('-')
    const [address = '', bits, ...rest] = entry.replace(/^\[([^\]]*)\]$/, '$1').split('/')
    const [family, isRange] = [isIP(address), isIP(from) !== 0 && isIP(from) === isIP(to) && others.length === 0]
    try {
      if (isRange) this.#addresses.addRange(from, to, isIP(from) === 6 ? 'ipv6' : 'ipv4')
      else if (family === 0 || rest.length > 0) return false
      else this.#addresses.addSubnet(address, Number(bits ?? (family === 6 ? 128 : 32)), family === 6 ? 'ipv6' : 'ipv4')
      return true
    } catch {
      // A network with too many bits, or a range from its end. Such an entry exempts nothing, as with other programs.
      return true
    }
  }

  /** Adds `example.com`, `.example.com` or `*.example.com`, which mean the same, with a port or without. */
  #addName(entry: string): void {
    const [, name = '', port = null] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? []
    this.#names.push({ name: bareHost(name.replace(/^\*?\./, '')), port })
  }
}
