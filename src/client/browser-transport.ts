/**
 * The transport for a page that the portal serves, over `fetch`; over XMLHttpRequest where it counts how much of a body has left,
 * which `fetch` does not tell. The token goes to the portal of the page and nowhere else: no redirect is followed with `fetch`, and
 * the page's security policy (`connect-src 'self'`) ends one that XMLHttpRequest would follow to another origin.
 */
import { Problem } from '../protocol/index.ts'
import { answerBytesMax } from './answers.ts'
import { HeldRequests, heldDirectionOf } from './held-requests.ts'
import { type HttpRequest, type HttpResponse, NoAnswer, type Transport, UnsafeConnection } from './transport.ts'

type BrowserBody = AsyncIterable<Uint8Array>
type BrowserResponse = HttpResponse<BrowserBody>

/** A body up to this size leaves at once. */
const AT_ONCE_BYTES_MAX = 64 * 1024

/**
 * @param portalUrl address of the portal that served the page; a path in it is kept as a prefix
 * @throws UnsafeConnection `insecure-transport` where the page itself came in a way that cannot be trusted
 */
export function browserTransport(portalUrl: string): Transport<BrowserBody> {
  if (!isSecureContext) {
    const detail = `${location.origin} is not encrypted: whoever is on the way could read the token and the files`
    throw new UnsafeConnection(new Problem('insecure-transport', { detail }))
  }
  const base = portalUrl.replace(/\/+$/, '')
  const held = new HeldRequests()
  const underway = new Set<Underway>()
  const closing = new AbortController()
  return {
    async request(request) {
      const { method, path, headers, signal, onAlive } = request
      signal?.throwIfAborted()
      const direction = heldDirectionOf(method, path, headers.prefer)
      let release = (): void => {}
      if (direction !== null) {
        const mustWait = held.isFull(direction)
        const either = signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal])
        release = await held.begin(direction, either)
        // Where nothing was asked there was no silence.
        if (mustWait) onAlive?.()
      }
      closing.signal.throwIfAborted()
      const one = new Underway(request, () => {
        underway.delete(one)
        release()
      })
      underway.add(one)
      return one.send(base + path)
    },
    async close() {
      const reason = new NoAnswer('the connection was closed before an answer came')
      closing.abort(reason)
      for (const one of underway) one.abort(reason)
    },
  }
}

/** One request, until its answer has been read or given up. */
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
  async send(url: string): Promise<BrowserResponse> {
    const { body, onSent, onAlive, elsewhere, stallMs, signal } = this.#request
    const watchdog = new Watchdog(stallMs, () => this.abort(new NoAnswer(`no answer within ${stallMs} ms`)))
    const unheard = elsewhere?.(() => {
      watchdog.refresh()
      onAlive?.()
    })
    try {
      if (body === undefined || (body.length <= AT_ONCE_BYTES_MAX && onSent === undefined))
        return await this.#fetch(url)
      return await this.#upload(url, body, (byteCount) => {
        watchdog.refresh()
        onSent?.(byteCount)
      })
    } catch (cause) {
      this.#over()
      if (signal?.aborted === true) throw signal.reason
      const { reason } = this.#controller.signal
      if (reason instanceof NoAnswer) throw reason
      throw new NoAnswer(`no answer: ${describe(cause)}`, { cause })
    } finally {
      unheard?.()
      watchdog.end()
    }
  }

  async #fetch(url: string): Promise<BrowserResponse> {
    const { method, headers, body } = this.#request
    const response = await fetch(url, {
      method,
      headers,
      body: body === undefined ? null : (body as Uint8Array<ArrayBuffer>),
      signal: this.#controller.signal,
      mode: 'same-origin',
      redirect: 'error',
      credentials: 'omit',
      cache: 'no-store',
      referrerPolicy: 'no-referrer',
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

  /** The whole answer is there when this resolves: to what has a large body, portals answer little. */
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
      if (loaded > answerBytesMax) this.abort(new NoAnswer('the answer is longer than any that a portal gives'))
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
    // A blob: Chromium hands an array to its network process in slices, several times as slowly, and reads no file meanwhile.
    else xhr.send(new Blob([body as Uint8Array<ArrayBuffer>]))
    return promise.finally(() => signal.removeEventListener('abort', abort))
  }

  /** Not every browser iterates over a stream by itself. */
  async *#read(content: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
    const reader = content.getReader()
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return this.#over()
        yield value
      }
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

/** Calls once it has not been refreshed for a time. */
class Watchdog {
  readonly #stallMs: number
  readonly #stalled: () => void
  #heardAtMs = performance.now()
  #timer: ReturnType<typeof setTimeout>

  constructor(stallMs: number, stalled: () => void) {
    this.#stallMs = stallMs
    this.#stalled = stalled
    this.#timer = this.#wait(stallMs)
  }

  refresh(): void {
    this.#heardAtMs = performance.now()
  }

  end(): void {
    clearTimeout(this.#timer)
  }

  #wait(ms: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      const leftMs = this.#heardAtMs + this.#stallMs - performance.now()
      if (leftMs <= 0) this.#stalled()
      else this.#timer = this.#wait(leftMs)
    }, ms)
  }
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}

async function* bytesOf(content: Uint8Array): AsyncGenerator<Uint8Array> {
  if (content.length > 0) yield content
}

/** A page is not told why a connection failed. */
function describe(cause: unknown): string {
  if (!navigator.onLine) return 'this device is offline'
  if (cause instanceof TypeError) return 'the connection failed, or was closed before an answer came'
  return cause instanceof Error ? cause.message : String(cause)
}
