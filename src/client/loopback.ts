/** Hosts of addresses, and which of them never leave this machine. */

/** A host of a URL without the brackets of an IPv6 address. */
export function bareHost(host: string): string {
  return host.replace(/^\[|\]$/g, '')
}

/** Whether a host, as `URL.hostname` says it or without brackets, is this machine (RFC 6761 section 6.3). */
export function isLoopback(host: string): boolean {
  const name = bareHost(host).toLowerCase()
  return name === '::1' || isLocalName(name) || /^127(?:\.\d{1,3}){3}$/.test(name)
}

/** Whether a name is `localhost` or ends in it. It must not be looked up: a resolver may still answer another machine's address. */
export function isLocalName(name: string): boolean {
  return /^(?:.+\.)?localhost$/i.test(name)
}
