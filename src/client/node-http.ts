/**
 * Requests over HTTP/1.1 with Node's own client: keep-alive connections, interim answers, and bodies sent in slices whose departure
 * is reported. No redirect is followed.
 */
import type { Agent, ClientRequest, IncomingMessage } from 'node:http'
import type { LookupFunction } from 'node:net'
import type { Readable } from 'node:stream'
import type { BulkAnswer, BulkHttp } from './node-bulk.ts'
import { limitConnecting } from './node-connect-limit.ts'
import { closedText, type HttpResponse } from './transport.ts'

/** A body is sent in slices, so that a slow upload can be told from a stalled one. Slices grow while they leave fast. */
const SLICE_BYTES_MIN = 256 * 1024
const SLICE_BYTES_MAX = 1024 * 1024
const FAST_SLICE_MS = 50
/** For this time after an answer in an unusual form, Node's client makes all requests. A proxy gives most of its answers in one form. */
const UNUSUAL_MS = 60_000

/** Node's codes for a connection that the peer ended. */
const CUT_CODES: ReadonlySet<unknown> = new Set(['EPIPE', 'ECONNRESET'])

/** Whether the peer, or a proxy, ended the connection before it answered. */
export function isCut(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false
  return ('code' in cause && CUT_CODES.has(cause.code)) || cause.message === closedText
}

export interface NodeHttpOptions {
  /** How long connecting may take, TLS included. */
  readonly connectMs: number
  /** How long an unused connection is kept. */
  readonly keepAliveMs: number
  /** Finds the address of a host; by default the system's look-up. */
  readonly lookup?: LookupFunction
}

export interface NodeRequest {
  readonly method: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** Whether the answer is large. It then comes in reused memory, and its reader releases the buffers that it has read (`src/buffers/`). */
  readonly isBulk?: boolean
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
  readonly #options: NodeHttpOptions
  readonly #agents = new Map<string, Agent>()
  /** Most clients never need it. */
  #bulk: BulkHttp | null = null
  #unusualAtMs = Number.NEGATIVE_INFINITY

  constructor(options: NodeHttpOptions) {
    this.#options = options
  }

  /**
   * Resolves when the head of the answer has arrived. The caller reads the body to the end or destroys it.
   *
   * A request that finds its kept connection dead is made again. The server may have received it already, so every request has to be
   * one that can be repeated. All requests of the protocol can.
   *
   * @throws the reason of `signal`; Node's error where no answer came
   */
  async request(url: URL, request: NodeRequest): Promise<HttpResponse<Readable>> {
    if (request.isBulk === true && performance.now() - this.#unusualAtMs > UNUSUAL_MS) {
      const { BulkHttp, NotPlainError } = await import('./node-bulk.ts')
      this.#bulk ??= new BulkHttp(this.#options)
      try {
        return responseOfBulk(await this.#bulk.get(url, { headers: {}, ...request }))
      } catch (error) {
        if (error instanceof NotPlainError) this.#unusualAtMs = performance.now()
        else if (!isCut(error)) throw error
      }
    }
    const onSent = onceEach(request.onSent)
    for (;;) {
      try {
        return responseOf(await this.#request(url, { ...request, onSent: onSent() }))
      } catch (error) {
        if (!(error instanceof StaleConnectionError)) throw error
      }
    }
  }

  #request(url: URL, { method, headers = {}, body, onSent, onInterim, signal }: NodeRequest): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const begunAtMs = performance.now()
      let sentBytes = 0
      let isHeard = false
      const onSlice = (byteCount: number): void => {
        sentBytes += byteCount
        onSent?.(byteCount)
      }
      const isStale = (error: Error): boolean =>
        request.reusedSocket &&
        isCut(error) &&
        !isHeard &&
        sentBytes <= STALE_BYTES_MAX &&
        performance.now() - begunAtMs < STALE_MS_MAX
      const fail = (cause: Error): void =>
        reject(isStale(cause) ? new StaleConnectionError('the kept connection was closed', { cause }) : cause)
      signal.throwIfAborted()
      const { request: begin } = builtIn(url.protocol)
      const request = begin(url, { method, headers, agent: this.#agentFor(url.protocol) })
      const abort = (): void => void request.destroy(signal.reason)
      signal.addEventListener('abort', abort, { once: true })
      // Errors of the request after its answer are ignored.
      request.on('error', fail)
      request.once('close', () => {
        signal.removeEventListener('abort', abort)
        // Has no effect when an answer came.
        fail(new Error(closedText))
      })
      request.on('information', () => {
        isHeard = true
        onInterim?.()
      })
      request.once('response', (response) => {
        const abortAnswer = (): void => void response.destroy(signal.reason)
        signal.removeEventListener('abort', abort)
        signal.addEventListener('abort', abortAnswer, { once: true })
        response.once('close', () => {
          signal.removeEventListener('abort', abortAnswer)
          // The answer came before the whole body had left: the peer does not want the rest.
          if (!request.writableFinished) request.destroy()
        })
        resolve(response)
      })
      request.once('socket', (socket) => {
        if (socket.connecting) limitConnecting(socket, url.protocol, this.#options.connectMs)
      })
      if (body === undefined || body.length <= SLICE_BYTES_MIN) request.end(body)
      else void sendSlices(request, body, onSlice)
    })
  }

  /** Ends all requests. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy()
    this.#bulk?.close()
  }

  #agentFor(protocol: string): Agent {
    let agent = this.#agents.get(protocol)
    if (agent === undefined) {
      const { Agent: AgentThere } = builtIn(protocol)
      const { keepAliveMs, lookup } = this.#options
      const options = { keepAlive: true, timeout: keepAliveMs, ...(lookup === undefined ? {} : { lookup }) }
      agent = new AgentThere(options)
      this.#agents.set(protocol, agent)
    }
    return agent
  }
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

/** Resolves when the whole body has left, or the request has ended. */
async function sendSlices(request: ClientRequest, body: Uint8Array, onSent: (byteCount: number) => void) {
  let sliceBytes = SLICE_BYTES_MIN
  for (let at = 0; at < body.length; ) {
    const slice = body.subarray(at, at + sliceBytes)
    const begunAtMs = performance.now()
    const isSent = await new Promise<boolean>((resolve) => {
      request.write(slice, (error) => resolve(error === null || error === undefined))
    })
    if (!isSent) return
    onSent(slice.length)
    at += slice.length
    const isFast = performance.now() - begunAtMs < FAST_SLICE_MS
    sliceBytes = isFast ? Math.min(2 * sliceBytes, SLICE_BYTES_MAX) : SLICE_BYTES_MIN
  }
  request.end()
}

/** Loads Node's http without `import`, which would also load its WebSocket, and TLS, which plain http does not need. */
function builtIn(protocol: string): Pick<typeof import('node:http'), 'Agent' | 'request'> {
  return protocol === 'https:' ? process.getBuiltinModule('node:https') : process.getBuiltinModule('node:http')
}
