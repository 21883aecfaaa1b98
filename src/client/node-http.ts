/**
 * Requests over HTTP/1.1 with Node's own client: keep-alive connections, interim answers, and bodies sent in slices whose departure
 * is reported. No redirect is followed.
 */
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { problemMediaType } from '../protocol/index.ts'
import type { BulkAnswer, BulkHttp } from './node-bulk.ts'
import { limitConnecting } from './node-connect-limit.ts'
import { builtIn, NodeRoutes, type RequestRoute, type RouteOptions } from './node-routes.ts'
import { passwordWantedStatus, proxyRefusal } from './proxy-error.ts'
import { closedText, type HttpResponse } from './transport.ts'

/** A body is sent in slices, so that a slow upload can be told from a stalled one. Slices grow while they leave fast. */
const SLICE_BYTES_MIN = 256 * 1024
const SLICE_BYTES_MAX = 1024 * 1024
const FAST_SLICE_MS = 50
/** For this time after an answer in an unusual form, Node's client makes all requests. A proxy gives most of its answers in one form. */
const UNUSUAL_MS = 60_000

/** What a proxy says when it may not, or cannot, forward a request. */
const PROXY_STATUS: ReadonlySet<number> = new Set([403, 502, 503, 504])

/** Node's codes for a connection that the peer ended. */
const CUT_CODES: ReadonlySet<unknown> = new Set(['EPIPE', 'ECONNRESET'])

/** Whether the peer, or a proxy, ended the connection before it answered. */
export function isCut(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false
  return ('code' in cause && CUT_CODES.has(cause.code)) || cause.message === closedText
}

export interface NodeRequest {
  readonly method: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** Whether the answer is large. It then comes in reused memory, and its reader releases the buffers that it has read (`src/buffers/`). */
  readonly isBulk?: boolean
  /** Whether the other side is a portal, whose refusals are problems (RFC 9457). Any other refusal of a forwarded request is the proxy's. */
  readonly isOfPortal?: boolean
  /** Called when a slice of the body has left this process. */
  readonly onSent?: (byteCount: number) => void
  /** Called for each interim answer (RFC 9110 section 15.2). */
  readonly onInterim?: () => void
  /** Ends the request, and an answer that has begun, with its reason. */
  readonly signal: AbortSignal
}

/** A dead connection takes no more than its buffers hold, and shows itself after a round trip. Otherwise the connection lived. */
const STALE_BYTES_MAX = 4 * 1024 * 1024
const STALE_MS_MAX = 2_000

/** A kept connection was dead. Servers close unused connections, and some close each one after an answer without saying so before. */
class StaleConnectionError extends Error {
  override readonly name = 'StaleConnectionError'
}

/** The connections of one client. */
export class NodeHttp {
  readonly #options: RouteOptions
  readonly #routes: NodeRoutes
  /** Most clients never need it. */
  #bulk: BulkHttp | null = null
  #unusualAtMs = Number.NEGATIVE_INFINITY

  constructor(options: RouteOptions) {
    this.#options = options
    this.#routes = new NodeRoutes(options)
  }

  /**
   * Resolves when the head of the answer has arrived. The caller reads the body to the end or destroys it.
   *
   * A request that finds its kept connection dead is made again. The server may have received it already, so every request has to be
   * one that can be repeated. All requests of the protocol can.
   *
   * @throws the reason of `signal`; ProxyError; Node's error where no answer came
   */
  async request(url: URL, request: NodeRequest): Promise<HttpResponse<Readable>> {
    const { authorities } = this.#options
    const onSent = onceEach(request.onSent)
    for (;;) {
      const tried = authorities.context
      const route = this.#routes.for(url)
      try {
        const isBulk = request.isBulk === true && route.isDirect
        if (isBulk && performance.now() - this.#unusualAtMs > UNUSUAL_MS) {
          const response = await this.#bulkRequest(url, request, route)
          if (response !== null) return response
        }
        return responseOf(await this.#request(url, { ...request, onSent: onSent() }, route))
      } catch (error) {
        if (error instanceof StaleConnectionError) continue
        if (!authorities.loadFor(error, tried)) throw error
      }
    }
  }

  /** @returns null when Node's client should make the request. @throws like `request` */
  async #bulkRequest(url: URL, request: NodeRequest, route: RequestRoute): Promise<HttpResponse<Readable> | null> {
    const { BulkHttp, NotPlainError } = await import('./node-bulk.ts')
    this.#bulk ??= new BulkHttp(this.#options)
    const { secureContext } = route.options
    const secure = secureContext === undefined ? {} : { secureContext }
    try {
      return responseOfBulk(await this.#bulk.get(url, { headers: {}, ...request, ...secure }))
    } catch (error) {
      if (error instanceof NotPlainError) this.#unusualAtMs = performance.now()
      else if (!isCut(error)) throw error
      return null
    }
  }

  #request(url: URL, request: NodeRequest, route: RequestRoute): Promise<IncomingMessage> {
    const { method, headers = {}, body, onSent, onInterim, signal } = request
    return new Promise((resolve, reject) => {
      const begunAtMs = performance.now()
      const { limits } = this.#options
      const sliceBytesMax = Math.min(SLICE_BYTES_MIN, limits?.reportBytes ?? SLICE_BYTES_MIN)
      let sentBytes = 0
      let isHeard = false
      const onSlice = (byteCount: number): void => {
        sentBytes += byteCount
        onSent?.(byteCount)
      }
      const isStale = (error: Error): boolean =>
        outgoing.reusedSocket &&
        isCut(error) &&
        !isHeard &&
        sentBytes <= STALE_BYTES_MAX &&
        performance.now() - begunAtMs < STALE_MS_MAX
      const fail = (cause: Error): void =>
        reject(isStale(cause) ? new StaleConnectionError('the kept connection was closed', { cause }) : cause)
      signal.throwIfAborted()
      const { request: begin } = builtIn(url.protocol)
      const outgoing = begin(url, { method, ...route.options, headers: { ...headers, ...route.headers } })
      const abort = (): void => void outgoing.destroy(signal.reason)
      signal.addEventListener('abort', abort, { once: true })
      // Errors of the request after its answer are ignored.
      outgoing.on('error', fail)
      outgoing.once('close', () => {
        signal.removeEventListener('abort', abort)
        // Has no effect when an answer came.
        fail(new Error(closedText))
      })
      outgoing.on('information', () => {
        isHeard = true
        onInterim?.()
      })
      outgoing.once('response', (response) => {
        const abortAnswer = (): void => void response.destroy(signal.reason)
        signal.removeEventListener('abort', abort)
        signal.addEventListener('abort', abortAnswer, { once: true })
        response.once('close', () => {
          signal.removeEventListener('abort', abortAnswer)
          // The answer came before the whole body had left: the peer does not want the rest.
          if (!outgoing.writableFinished) outgoing.destroy()
        })
        const { proxy } = route
        if (proxy === null || !isOfProxy(response, request)) return resolve(response)
        response.resume()
        const { statusCode = 0, statusMessage = '' } = response
        reject(proxyRefusal(proxy, statusCode, statusMessage, { url, isForwarded: true }))
      })
      outgoing.once('socket', (socket) => {
        if (socket.connecting) limitConnecting(socket, url.protocol, this.#options.connectMs)
      })
      if (body === undefined || body.length <= sliceBytesMax) outgoing.end(body)
      else void sendSlices(outgoing, body, limits === null ? null : sliceBytesMax, onSlice)
    })
  }

  /** Ends all requests. */
  close(): void {
    this.#routes.close()
    this.#bulk?.close()
  }
}

/** Whether the proxy answered instead of the one that was asked. */
function isOfProxy({ statusCode = 0, headers }: IncomingMessage, { isOfPortal = false }: NodeRequest): boolean {
  if (statusCode === passwordWantedStatus) return true
  return isOfPortal && PROXY_STATUS.has(statusCode) && headers['content-type']?.startsWith(problemMediaType) !== true
}

/** Converts an answer to the one of the transport contract. */
function responseOfBulk({ status, headers, body }: BulkAnswer): HttpResponse<Readable> {
  return { status, header: (name) => headers.get(name) ?? null, body, discard: () => discard(body) }
}

/** The same for an answer of Node's client. */
function responseOf(response: IncomingMessage): HttpResponse<Readable> {
  return {
    status: response.statusCode ?? 0,
    header: (name) => {
      const value = response.headers[name]
      return value === undefined ? null : String(value)
    },
    body: response,
    discard: () => discard(response),
  }
}

function discard(body: Readable): void {
  body.on('error', () => {})
  body.destroy()
}

/** Makes listeners for the repetitions of a request. Together they report each byte of its body once. */
function onceEach(onSent: (byteCount: number) => void = () => {}): () => (byteCount: number) => void {
  let toldBytes = 0
  return () => {
    let sentBytes = 0
    return (byteCount) => {
      sentBytes += byteCount
      if (sentBytes <= toldBytes) return
      onSent(sentBytes - toldBytes)
      toldBytes = sentBytes
    }
  }
}

/**
 * Resolves when the whole body has left, or the request has ended.
 *
 * @param sliceBytesFixed null for slices that grow while they leave fast
 */
async function sendSlices(
  request: ClientRequest,
  body: Uint8Array,
  sliceBytesFixed: number | null,
  onSent: (byteCount: number) => void,
): Promise<void> {
  let sliceBytes = sliceBytesFixed ?? SLICE_BYTES_MIN
  for (let at = 0; at < body.length; ) {
    const slice = body.subarray(at, at + sliceBytes)
    const begunAtMs = performance.now()
    const isSent = await new Promise<boolean>((resolve) => {
      request.write(slice, (error) => resolve(error === null || error === undefined))
    })
    if (!isSent) return
    onSent(slice.length)
    at += slice.length
    if (sliceBytesFixed !== null) continue
    const isFast = performance.now() - begunAtMs < FAST_SLICE_MS
    sliceBytes = isFast ? Math.min(2 * sliceBytes, SLICE_BYTES_MAX) : SLICE_BYTES_MIN
  }
  request.end()
}
