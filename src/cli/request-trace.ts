/**
 * `--verbose`: one line on standard error for each HTTP request of this process. A line has the method, the path, the status and
 * the time until the head of the response arrived, or the reason why none arrived. A request that is made again after a failure
 * says which try it is.
 *
 * Lines carry no secrets: no header field, no body, no query and no fragment is shown. Of an address outside the portal (a part in
 * the storage) only the host is shown, because its path and query are the key to the part.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { bareHost } from '../client/loopback.ts'
import { printable } from './text.ts'

/** How many failed requests are remembered, because some are never repeated. */
const FAILED_MAX = 1000
/** Status codes with which the portal or a proxy asks for a retry. */
const RETRIED_STATUS: ReadonlySet<number> = new Set([408, 425, 429])
const SERVER_ERROR_STATUS_MIN = 500
/** The only paths that contain the name of a file. */
const NAMED = /^(\/v1\/to\/[^/]+\/).*$/

/** Traces requests from now on. @param say called with each line, without a line break */
export function reportRequests(portalUrl: string, say: (line: string) => void): void {
  const trace = new RequestTrace(portalUrl, say)
  subscribe('http.client.request.start', (message) => trace.started((message as RequestMessage).request))
  subscribe('http.client.response.finish', (message) => trace.responded(message as ResponseMessage))
  subscribe('http.client.request.error', (message) => trace.failed(message as ErrorMessage))
}

interface RequestMessage {
  readonly request: ClientRequest
}
interface ResponseMessage extends RequestMessage {
  readonly response: IncomingMessage
}
interface ErrorMessage extends RequestMessage {
  readonly error: Error
}

interface Traced {
  readonly what: string
  readonly startedAtMs: number
}

class RequestTrace {
  readonly #portal: URL
  readonly #say: (line: string) => void
  readonly #open = new WeakMap<ClientRequest, Traced>()
  /** How often each request has failed in a row. */
  readonly #failures = new Map<string, number>()

  constructor(portalUrl: string, say: (line: string) => void) {
    this.#portal = new URL(portalUrl)
    this.#say = say
  }

  started(request: ClientRequest): void {
    this.#open.set(request, { what: this.#describe(request), startedAtMs: performance.now() })
    // A request that this process gives up ends without an error.
    request.once('close', () => this.#end(request, 'given up', false))
  }

  responded({ request, response }: ResponseMessage): void {
    const status = response.statusCode ?? 0
    this.#end(request, String(status), status >= SERVER_ERROR_STATUS_MIN || RETRIED_STATUS.has(status))
  }

  failed({ request, error }: ErrorMessage): void {
    this.#end(request, `no response: ${printable(error.message)}`, true)
  }

  #end(request: ClientRequest, ending: string, hasFailed: boolean): void {
    const traced = this.#open.get(request)
    if (traced === undefined) return
    this.#open.delete(request)
    const { what, startedAtMs } = traced
    const before = this.#failures.get(what) ?? 0
    this.#failures.delete(what)
    if (hasFailed) this.#failures.set(what, before + 1)
    if (this.#failures.size > FAILED_MAX) this.#failures.delete(String(this.#failures.keys().next().value))
    const again = before === 0 ? '' : `, try ${before + 1}`
    this.#say(`· ${what} ${ending}, ${Math.round(performance.now() - startedAtMs)} ms${again}`)
  }

  #describe({ method, protocol, host, path }: ClientRequest): string {
    const isPortal = protocol === this.#portal.protocol && host === bareHost(this.#portal.hostname)
    if (!isPortal) return `${method} ${protocol}//${printable(host)} (storage)`
    // A proxy that forwards plain http gets the whole address (RFC 9112 section 3.2.2).
    const ownPath = path.startsWith('/') ? path : path.replace(/^[a-z]+:\/\/[^/]*/, '')
    const withoutQuery = ownPath.split(/[?#]/)[0] ?? ''
    return `${method} ${printable(withoutQuery.replace(NAMED, '$1…'))}`
  }
}
