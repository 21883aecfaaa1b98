/**
 * Requests with large answers, over connections that are read into reused memory (`onread` of `net.Socket`). Node's own HTTP client
 * allocates a new buffer for each 64 KiB, and collecting those takes a third of a receiver's processor time.
 *
 * It supports only plain answers: HTTP/1.1, a short head, a body with a Content-Length. For any other answer it throws, and the caller
 * repeats the request with Node's client. It sends only GET requests, which may be repeated (RFC 9110 section 9.2.2).
 */
import type { LookupFunction, Socket } from 'node:net'
import type { SecureContext } from 'node:tls'
import { timerMs } from '../protocol/index.ts'
import { bareHost } from './loopback.ts'
import { BulkBody } from './node-body.ts'
import { limitConnecting } from './node-connect-limit.ts'
import { closedText } from './transport.ts'

const HEAD_BYTES_MAX = 16 * 1024
/** RFC 9110 section 5: the name is a token, and nothing in the value ends the line. */
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*$/
const HEAD_END = '\r\n\r\n'
/** Switching Protocols: the following bytes are not HTTP. */
const SWITCHING = 101

/** The answer is not plain. Another HTTP client may be able to read it. */
export class NotPlainError extends Error {
  override readonly name = 'NotPlainError'
}

export interface BulkOptions {
  readonly connectMs: number
  readonly keepAliveMs: number
  readonly lookup?: LookupFunction
}

interface ConnectOptions extends BulkOptions {
  readonly secureContext?: SecureContext
}

export interface BulkRequest {
  readonly headers: Readonly<Record<string, string>>
  /** Ends the request, and an answer that has begun, with its reason. */
  readonly signal: AbortSignal
  /** Verifies the certificate of a new connection; Node's own authorities if not given. */
  readonly secureContext?: SecureContext
}

export interface BulkAnswer {
  readonly status: number
  /** By lower-case name. Repeated fields are left out. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: BulkBody
}

/** The connections of one client. */
export class BulkHttp {
  readonly #options: BulkOptions
  /** Unused connections, by origin. */
  readonly #idle = new Map<string, BulkConnection[]>()
  readonly #all = new Set<BulkConnection>()

  constructor(options: BulkOptions) {
    this.#options = options
  }

  /**
   * Resolves when the head of the answer has arrived. The caller reads the body to the end or destroys it.
   *
   * @throws the reason of `signal`; NotPlainError; Node's error when no answer came
   */
  async get(url: URL, { headers, signal, secureContext }: BulkRequest): Promise<BulkAnswer> {
    signal.throwIfAborted()
    const connection = this.#idle.get(url.origin)?.pop() ?? this.#connect(url, secureContext)
    return connection.ask(headOf(url, headers), signal)
  }

  close(): void {
    for (const connection of this.#all) connection.destroy()
  }

  #connect(url: URL, secureContext: SecureContext | undefined): BulkConnection {
    const options = secureContext === undefined ? this.#options : { ...this.#options, secureContext }
    const connection = new BulkConnection(url, options, {
      idle: () => this.#idle.set(url.origin, [...(this.#idle.get(url.origin) ?? []), connection]),
      closed: () => {
        this.#all.delete(connection)
        const others = this.#idle.get(url.origin)?.filter((other) => other !== connection) ?? []
        if (others.length > 0) this.#idle.set(url.origin, others)
        else this.#idle.delete(url.origin)
      },
    })
    this.#all.add(connection)
    return connection
  }
}

interface Waiting {
  readonly resolve: (answer: BulkAnswer) => void
  readonly reject: (error: unknown) => void
}

/** One connection, which handles one request at a time. */
class BulkConnection {
  readonly #socket: Socket
  readonly #options: BulkOptions
  readonly #on: { readonly idle: () => void; readonly closed: () => void }
  readonly #head = Buffer.allocUnsafeSlow(HEAD_BYTES_MAX)
  #headBytes = 0
  #waiting: Waiting | null = null
  #body: BulkBody | null = null
  #isLast = false
  #error: Error | null = null

  constructor(url: URL, options: ConnectOptions, on: { readonly idle: () => void; readonly closed: () => void }) {
    this.#options = options
    this.#on = on
    this.#socket = connect(url, options, {
      buffer: () => this.#body?.target ?? this.#head.subarray(this.#headBytes),
      callback: (byteCount) => this.#arrived(byteCount),
    })
    this.#socket.setNoDelay(true)
    limitConnecting(this.#socket, url.protocol, options.connectMs)
    this.#socket.on('error', (error) => {
      this.#error = error
    })
    this.#socket.once('close', () => this.#closed())
    this.#socket.on('timeout', () => {
      if (this.#waiting === null && this.#body === null) this.#socket.destroy()
    })
  }

  /** Sends the head of a request. @throws like `BulkHttp.get` */
  ask(head: string, signal: AbortSignal): Promise<BulkAnswer> {
    this.#socket.setTimeout(0)
    return new Promise((resolve, reject) => {
      const abort = (): void => void this.#socket.destroy(signal.reason)
      signal.addEventListener('abort', abort, { once: true })
      const leave = (): void => signal.removeEventListener('abort', abort)
      this.#waiting = {
        resolve: (answer) => {
          leave()
          const { body } = answer
          const abortBody = (): void => void body.destroy(signal.reason)
          signal.addEventListener('abort', abortBody, { once: true })
          body.once('close', () => signal.removeEventListener('abort', abortBody))
          resolve(answer)
        },
        reject: (error) => {
          leave()
          reject(signal.aborted ? signal.reason : error)
        },
      }
      this.#socket.write(head, 'latin1')
    })
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** @returns false to pause the socket */
  #arrived(byteCount: number): boolean {
    if (this.#body !== null) return this.#body.filled(byteCount)
    this.#headBytes += byteCount
    try {
      return this.#readHead()
    } catch (error) {
      this.#fail(error)
      return true
    }
  }

  /** @throws NotPlainError */
  #readHead(): boolean {
    while (this.#waiting !== null) {
      const held = this.#head.subarray(0, this.#headBytes)
      const end = held.indexOf(HEAD_END, 0, 'latin1')
      if (end === -1 && this.#headBytes === HEAD_BYTES_MAX) throw new NotPlainError('the head is too long')
      if (end === -1) return true
      const { status, headers } = parsedHead(held.toString('latin1', 0, end))
      // The bytes stay in the buffer until the next head is read.
      const rest = held.subarray(end + HEAD_END.length)
      this.#headBytes = 0
      const isInterim = status < 200 && status !== SWITCHING
      if (!isInterim) return this.#begin(status, headers, rest)
      this.#head.set(rest)
      this.#headBytes = rest.length
    }
    throw new NotPlainError('the other side says what was not asked for')
  }

  #begin(status: number, headers: ReadonlyMap<string, string>, rest: Uint8Array): boolean {
    const lengthBytes = bodyBytesOf(status, headers)
    if (rest.length > lengthBytes) throw new NotPlainError('more comes than the head says')
    this.#isLast = /(?:^|,)\s*close\s*(?:,|$)/i.test(headers.get('connection') ?? '')
    const waiting = this.#waiting
    this.#waiting = null
    const body: BulkBody = new BulkBody(lengthBytes, {
      resume: () => this.#socket.resume(),
      arrived: () => this.#free(),
      abandoned: () => this.#socket.destroy(),
    })
    if (body.leftBytes > 0) this.#body = body
    waiting?.resolve({ status, headers, body })
    let isWanted = true
    for (let at = 0; at < rest.length; ) {
      const slice = rest.subarray(at, at + body.target.length)
      body.target.set(slice)
      isWanted = body.filled(slice.length)
      at += slice.length
    }
    return isWanted
  }

  /** The whole answer has arrived, so the connection can be reused. */
  #free(): void {
    this.#body = null
    if (this.#isLast) {
      this.#socket.destroy()
      return
    }
    this.#socket.setTimeout(timerMs(this.#options.keepAliveMs))
    // The socket may be paused for a slow reader. Without reading, the end of the connection would not be noticed.
    this.#socket.resume()
    this.#on.idle()
  }

  #fail(error: unknown): void {
    const waiting = this.#waiting
    this.#waiting = null
    this.#socket.destroy()
    waiting?.reject(error)
  }

  #closed(): void {
    this.#on.closed()
    const error = this.#error ?? new Error(closedText)
    this.#body?.broke(this.#error ?? new Error('the connection was closed before the end of the content'))
    this.#fail(error)
  }
}

interface OnRead {
  readonly buffer: () => Uint8Array
  readonly callback: (byteCount: number) => boolean
}

/** Loads TLS only for https, because loading it takes long. */
function connect(url: URL, { lookup, secureContext }: ConnectOptions, onread: OnRead): Socket {
  const host = bareHost(url.hostname)
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80))
  const { connect: connectPlain, isIP } = process.getBuiltinModule('node:net')
  const options = { host, port, onread, ...(lookup === undefined ? {} : { lookup }) }
  if (url.protocol === 'http:') return connectPlain(options)
  const { connect: connectTls } = process.getBuiltinModule('node:tls')
  const context = secureContext === undefined ? {} : { secureContext }
  // RFC 6066 section 3: an IP address is not a server name.
  return connectTls({ ...options, ...context, servername: isIP(host) === 0 ? host : '', ALPNProtocols: ['http/1.1'] })
}

/** @throws TypeError for a field that would end its line */
function headOf(url: URL, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries({ host: url.host, ...headers, connection: 'keep-alive' }).map(([name, value]) => {
    if (!FIELD.test(`${name}: ${value}`)) throw new TypeError(`the value of ${name} is not one that a field can have`)
    return `${name}: ${value}\r\n`
  })
  return `GET ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** @throws NotPlainError for a head in any other form */
function parsedHead(text: string): { status: number; headers: ReadonlyMap<string, string> } {
  const [first = '', ...lines] = text.split('\r\n')
  const status = /^HTTP\/1\.1 ([1-5][0-9]{2})(?: |$)/.exec(first)?.[1]
  if (status === undefined) throw new NotPlainError('it is not HTTP/1.1')
  const headers = new Map<string, string>()
  const repeated = new Set<string>()
  for (const line of lines) {
    const match = FIELD.exec(line)
    if (match?.[1] === undefined || match[2] === undefined) throw new NotPlainError('a field is not in its plain form')
    const name = match[1].toLowerCase()
    if (headers.has(name)) repeated.add(name)
    headers.set(name, match[2])
  }
  if (repeated.has('content-length')) throw new NotPlainError('it has more than one length')
  for (const name of repeated) headers.delete(name)
  return { status: Number(status), headers }
}

/** @throws NotPlainError for a body without a Content-Length */
function bodyBytesOf(status: number, headers: ReadonlyMap<string, string>): number {
  if (headers.has('transfer-encoding') || status === SWITCHING) throw new NotPlainError('the body has a coding')
  if (status === 204 || status === 304) return 0
  const length = headers.get('content-length') ?? ''
  if (!/^[0-9]{1,15}$/.test(length)) throw new NotPlainError('the length of the body is not known')
  return Number(length)
}
