/**
 * One request to the address of a webhook. The answer is only its status: the body belongs to a stranger, so it is read within bounds and
 * dropped. Redirects are not followed, and no proxy is used, because a proxy would look the name up instead of this portal.
 */
import type { Readable } from 'node:stream'
import { certificateFaultIn } from '../../client/certificates.ts'
import { type HttpResponse, retryAfterMsOf } from '../../client/index.ts'
import { Authorities } from '../../client/node-authorities.ts'
import { NodeHttp } from '../../client/node-http.ts'
import { Problem, timerMs } from '../../protocol/index.ts'
import { RefusedAddressError, type WebhookAddresses } from './addresses.ts'

const CONNECT_MS = 10_000
/** More of an answer is not read. A connection whose answer ended within it is used again. */
const ANSWER_BYTES_MAX = 64 * 1024
/** Shorter than most servers keep an unused connection. */
const KEEP_ALIVE_MS = 4_000
const REASON_LENGTH_MAX = 200

export interface WebhookAnswer {
  /** Null when no answer came. */
  readonly status: number | null
  /** Why it is no success; null for one. */
  readonly reason: string | null
  /** For how long the receiver wants nothing (`Retry-After`); null when it does not say. */
  readonly retryAfterMs: number | null
}

export class WebhookRequests implements Disposable {
  readonly #addresses: WebhookAddresses
  readonly #timeoutMs: number
  readonly #secure: NodeHttp
  readonly #plain: NodeHttp

  constructor(addresses: WebhookAddresses, timeoutMs: number) {
    this.#addresses = addresses
    this.#timeoutMs = timeoutMs
    const common = {
      connectMs: Math.min(CONNECT_MS, timeoutMs),
      keepAliveMs: KEEP_ALIVE_MS,
      proxies: null,
      authorities: new Authorities(true),
      limits: null,
    }
    this.#secure = new NodeHttp({ ...common, lookup: addresses.lookup })
    this.#plain = new NodeHttp({ ...common, lookup: addresses.lookupPlain })
  }

  /**
   * Posts a message. Every failure is an answer, too.
   *
   * @returns null when `stop` aborted before there was an answer
   */
  async post(
    address: string,
    headers: Readonly<Record<string, string>>,
    body: string,
    stop: AbortSignal,
  ): Promise<WebhookAnswer | null> {
    const content = Buffer.from(body)
    const fields = { ...headers, 'content-type': 'application/json', 'content-length': String(content.length) }
    const late = new AbortController()
    // Also bounds how long the body of the answer may come.
    const timer = setTimeout(() => late.abort(), timerMs(this.#timeoutMs))
    try {
      const url = new URL(address)
      this.#addresses.requireLiteral(url)
      const http = url.protocol === 'https:' ? this.#secure : this.#plain
      const signal = AbortSignal.any([late.signal, stop])
      const response = await http.request(url, { method: 'POST', headers: fields, body: content, signal })
      drop(response, () => clearTimeout(timer))
      return answerOf(response)
    } catch (error) {
      clearTimeout(timer)
      if (stop.aborted) return null
      const reason = late.signal.aborted ? `no answer within ${this.#timeoutMs / 1000} s` : reasonOf(error)
      return { status: null, reason: reason.slice(0, REASON_LENGTH_MAX), retryAfterMs: null }
    }
  }

  [Symbol.dispose](): void {
    this.#secure.close()
    this.#plain.close()
  }
}

/** Drops the body of an answer, so that its connection can be used again. A body without an end is cut. */
function drop({ body }: HttpResponse<Readable>, ended: () => void): void {
  let bytes = 0
  body.on('data', (some: Buffer) => {
    bytes += some.length
    if (bytes > ANSWER_BYTES_MAX) body.destroy()
  })
  // The status of the answer counts, so later errors are ignored.
  body.on('error', () => {})
  body.once('close', ended)
}

function answerOf(response: HttpResponse<Readable>): WebhookAnswer {
  const { status } = response
  if (status >= 200 && status < 300) return { status, reason: null, retryAfterMs: null }
  const isRedirect = status >= 300 && status < 400
  const reason = isRedirect ? 'it redirects, and that is not followed' : `HTTP status ${status}`
  return { status, reason, retryAfterMs: retryAfterMsOf(response) }
}

/** Why there was no answer, without the address that a name resolved to. */
function reasonOf(error: unknown): string {
  if (error instanceof RefusedAddressError) return error.message
  if (error instanceof Problem) return String(error.details.detail)
  const certificate = certificateFaultIn(error)
  if (certificate !== null) return `its certificate cannot be accepted: ${certificate}`
  const code = systemCodeIn(error)
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `its host name is not found (${code})`
  return code === null ? 'the connection failed' : `the connection failed (${code})`
}

/** The system's code of an error. Connecting to several addresses of one name fails with the errors of all. */
function systemCodeIn(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  if ('code' in error) return String(error.code)
  return error instanceof AggregateError ? systemCodeIn(error.errors[0]) : null
}
