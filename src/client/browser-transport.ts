/**
 * The transport for a page that the portal serves. It uses `fetch`, and XMLHttpRequest for large bodies, because `fetch` does not
 * tell how much of a body has left. The token goes to the page's portal and nowhere else: `fetch` is told to follow no redirect, and
 * the page's security policy (`connect-src 'self'`) stops XMLHttpRequest from following one to another origin.
 */
import { IdleTimeout } from '../async/index.ts'
import { answerBytesMax, Problem } from '../protocol/index.ts'
import { directionOfLongRequest, LongRequestLimiter } from './long-request-limiter.ts'
import {
  closedText,
  type HttpRequest,
  type HttpResponse,
  NoResponseError,
  type Transport,
  UnusableConnectionError,
} from './transport.ts'

type BrowserBody = AsyncIterable<Uint8Array>
type BrowserResponse = HttpResponse<BrowserBody>

/** How the page asks its portal: as itself, and only the portal itself. */
export const fetchSettings = {
  mode: 'same-origin',
  redirect: 'error',
  credentials: 'omit',
  cache: 'no-store',
  referrerPolicy: 'no-referrer',
} as const satisfies RequestInit

/** Makes a GET request whose answer is large, in another thread. It uses `fetchSettings`. */
export interface BulkFetcher extends Disposable {
  /**
   * @param done called when the body has been read to its end, or its reader has stopped
   * @throws TypeError when no answer comes; the reason of the signal
   */
  fetch(
    url: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
    done: () => void,
  ): Promise<Omit<BrowserResponse, 'discard'>>
}

/** A body up to this size leaves at once, so its progress is not watched. */
const AT_ONCE_BYTES_MAX = 64 * 1024

/**
 * @param portalUrl address of the portal that served the page; a path in it is kept as a prefix
 * @param bulk fetches large answers; closed with the transport. Without it they are read in this thread
 * @throws UnusableConnectionError `insecure-transport` where the page itself was loaded over an unsafe connection
 */
export function browserTransport(portalUrl: string, bulk: BulkFetcher | null = null): Transport<BrowserBody> {
  if (!isSecureContext) {
    const detail = `${location.origin} is not encrypted: anyone on the way could read the token and the files`
    throw new UnusableConnectionError(new Problem('insecure-transport', { detail }))
  }
  const base = portalUrl.replace(/\/+$/, '')
  const held = new LongRequestLimiter()
  const underway = new Set<Underway>()
  const closing = new AbortController()
  return {
    async request(request) {
      const { method, path, headers, signal, onAlive } = request
      signal?.throwIfAborted()
      const direction = directionOfLongRequest(method, path, headers.prefer)
      let release = (): void => {}
      if (direction !== null) {
        const mustWait = held.isFull(direction)
        const either = signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal])
        release = await held.begin(direction, either)
        // The time in the queue does not count as silence of the portal.
        if (mustWait) onAlive?.()
      }
      closing.signal.throwIfAborted()
      const one = new Underway(request, () => {
        underway.delete(one)
        release()
      })
      underway.add(one)
      return one.send(base + path, bulk)
    },
    async close() {
      const reason = new NoResponseError(closedText)
      closing.abort(reason)
      for (const one of underway) one.abort(reason)
      bulk?.[Symbol.dispose]()
    },
  }
}

/** One request, until its answer has been read or discarded. */
class Underway {
  readonly #request: HttpRequest
  readonly #controller = new AbortController()
  readonly #onOver: () => void
  readonly #abort = (): void => this.abort(this.#request.signal?.reason)
  #isOver = false

  constructor(request: HttpRequest, onOver: () => void) {
    this.#request = request
    this.#onOver = onOver
    request.signal?.addEventListener('abort', this.#abort, { once: true })
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason)
  }

  /** @throws like `Transport.request` */
  async send(url: string, bulk: BulkFetcher | null): Promise<BrowserResponse> {
    const { isBulk, body, onSent, onAlive, elsewhere, stallTimeoutMs, signal } = this.#request
    using idle = new IdleTimeout(stallTimeoutMs, () =>
      this.abort(new NoResponseError(`no answer within ${stallTimeoutMs} ms`)),
    )
    const unheard = elsewhere?.(() => {
      idle.refresh()
      onAlive?.()
    })
    try {
      if (isBulk === true && body === undefined && bulk !== null) return await this.#fetchBulk(url, bulk)
      if (body === undefined || (body.length <= AT_ONCE_BYTES_MAX && onSent === undefined))
        return await this.#fetch(url)
      return await this.#upload(url, body, (byteCount) => {
        idle.refresh()
        onSent?.(byteCount)
      })
    } catch (cause) {
      this.#over()
      if (signal?.aborted === true) throw signal.reason
      const { reason } = this.#controller.signal
      if (reason instanceof NoResponseError) throw reason
      throw new NoResponseError(`no answer: ${describe(cause)}`, { cause, isCut: cause instanceof TypeError })
    } finally {
      unheard?.()
    }
  }

  async #fetch(url: string): Promise<BrowserResponse> {
    const { method, headers, body } = this.#request
    const response = await fetch(url, {
      method,
      headers,
      body: body === undefined ? null : (body as Uint8Array<ArrayBuffer>),
      signal: this.#controller.signal,
      ...fetchSettings,
    })
    const content = response.body
    if (content === null) this.#over()
    return {
      status: response.status,
      header: (name) => response.headers.get(name),
      body: content === null ? noBytes() : this.#read(content),
      discard: () => this.#discard(),
    }
  }

  async #fetchBulk(url: string, bulk: BulkFetcher): Promise<BrowserResponse> {
    const discard = (): void => this.#discard()
    return { ...(await bulk.fetch(url, this.#request.headers, this.#controller.signal, discard)), discard }
  }

  /** Resolves with the whole answer: portals answer little to a request with a large body. */
  #upload(url: string, body: Uint8Array, sent: (byteCount: number) => void): Promise<BrowserResponse> {
    const { method, headers } = this.#request
    const { signal } = this.#controller
    const { promise, resolve, reject } = Promise.withResolvers<BrowserResponse>()
    const xhr = new XMLHttpRequest()
    xhr.open(method, url)
    xhr.responseType = 'arraybuffer'
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value)
    let sentBytes = 0
    xhr.upload.onprogress = ({ loaded }) => {
      if (loaded > sentBytes) sent(loaded - sentBytes)
      sentBytes = Math.max(sentBytes, loaded)
    }
    xhr.onprogress = ({ loaded }) => {
      if (loaded > answerBytesMax) this.abort(new NoResponseError('the answer is longer than any that a portal gives'))
    }
    xhr.onload = () => {
      if (xhr.responseURL !== new URL(url, location.href).href) return reject(new Error('it was redirected'))
      this.#over()
      const content = new Uint8Array(xhr.response as ArrayBuffer)
      resolve({
        status: xhr.status,
        header: (name) => xhr.getResponseHeader(name),
        body: bytesOf(content),
        discard: () => {},
      })
    }
    xhr.onerror = () => reject(new TypeError('the connection failed'))
    xhr.onabort = () => reject(signal.reason)
    const abort = (): void => xhr.abort()
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) reject(signal.reason)
    // A Blob would pass through one process more. (While DevTools record the network, Chromium copies an array for them, many times as slowly.)
    else xhr.send(body as Uint8Array<ArrayBuffer>)
    return promise.finally(() => signal.removeEventListener('abort', abort))
  }

  async *#read(content: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<Uint8Array> {
    try {
      yield* bytesIn(content)
      this.#over()
    } finally {
      this.#discard()
    }
  }

  #discard(): void {
    if (this.#isOver) return
    this.#over()
    this.abort(new DOMException('the answer is not wanted any more', 'AbortError'))
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#request.signal?.removeEventListener('abort', this.#abort)
    this.#onOver()
  }
}

/** Some browsers do not implement async iteration over streams. */
export async function* bytesIn(
  content: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = content.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    yield value
  }
}

export async function* noBytes(): AsyncGenerator<Uint8Array<ArrayBuffer>> {}

async function* bytesOf(content: Uint8Array): AsyncGenerator<Uint8Array> {
  if (content.length > 0) yield content
}

/** Words for a failed connection: browsers do not tell a page the reason. */
function describe(cause: unknown): string {
  if (!navigator.onLine) return 'this device is offline'
  if (cause instanceof TypeError) return 'the connection failed, or was closed before an answer came'
  return cause instanceof Error ? cause.message : String(cause)
}
