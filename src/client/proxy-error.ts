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
  /** A forwarded request was answered by the proxy, or by something behind it, instead of the portal. */
  readonly isAnswer: boolean

  constructor(
    proxy: HttpProxy,
    why: string,
    { isRefusal = false, isAnswer = false, ...options }: ProxyErrorOptions = {},
  ) {
    const orAnother = isAnswer ? ', or something behind it,' : ''
    super(`the proxy ${proxy.origin} (${proxy.variable})${orAnother} ${why}`, options)
    this.proxy = proxy
    this.isRefusal = isRefusal
    this.isAnswer = isAnswer
  }
}

interface ProxyErrorOptions extends ErrorOptions {
  readonly isRefusal?: boolean
  readonly isAnswer?: boolean
}

/** What a proxy was asked for. */
export interface ProxiedRequest {
  readonly url: URL
  /** The proxy forwarded the request, so the answer may come from something behind it. */
  readonly isForwarded: boolean
}

/** The error for a refusal of a proxy. @param text of its status line */
export function proxyRefusal(
  proxy: HttpProxy,
  status: number,
  text: string,
  { url, isForwarded }: ProxiedRequest,
): ProxyError {
  const isRefusal = status < SERVER_ERROR_STATUS_MIN
  const answer = `(${status} ${text})`
  if (status === passwordWantedStatus) {
    const why =
      proxy.authorization === null
        ? `wants a name and a password: put them into ${proxy.variable}, like http://NAME:PASSWORD@proxy.example:3128`
        : `does not accept the name and the password in ${proxy.variable}`
    return new ProxyError(proxy, `${why} ${answer}`, { isRefusal })
  }
  const why = isRefusal
    ? `does not let requests to ${url.host} pass ${answer}: ask its operator to allow them, or go without it by NO_PROXY=${url.hostname}`
    : `cannot reach ${url.host} ${answer}`
  return new ProxyError(proxy, why, { isRefusal, isAnswer: isForwarded })
}
