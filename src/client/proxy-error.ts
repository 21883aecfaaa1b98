import type { HttpProxy } from './node-proxy.ts'

const SERVER_ERROR_STATUS_MIN = 500
/** Proxy Authentication Required (RFC 9110 section 15.5.8). */
export const passwordWantedStatus = 407

/** No connection through the proxy. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError'
  readonly proxy: HttpProxy
  /** The proxy refuses, for instance because it does not know the password. Otherwise another try may succeed. */
  readonly isRefusal: boolean

  constructor(proxy: HttpProxy, why: string, { isRefusal = false, ...options }: ProxyErrorOptions = {}) {
    super(`the proxy ${proxy.origin} (${proxy.variable}) ${why}`, options)
    this.proxy = proxy
    this.isRefusal = isRefusal
  }
}

interface ProxyErrorOptions extends ErrorOptions {
  readonly isRefusal?: boolean
}

/** The error for a refusal of a proxy. @param text of its status line */
export function proxyRefusal(proxy: HttpProxy, status: number, text: string): ProxyError {
  const isRefusal = status < SERVER_ERROR_STATUS_MIN
  if (status !== passwordWantedStatus) return new ProxyError(proxy, `refuses: ${status} ${text}`, { isRefusal })
  const why =
    proxy.authorization === null
      ? `wants a name and a password: put them into ${proxy.variable}, like http://NAME:PASSWORD@proxy.example:3128`
      : `does not accept the name and the password in ${proxy.variable}`
  return new ProxyError(proxy, `${why} (${status} ${text})`, { isRefusal })
}
