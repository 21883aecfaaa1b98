/**
 * Reads large bodies over plain HTTP into reused memory (`src/buffers/`). Node's server reads 64 KiB at a time and copies each read into a
 * new buffer: a system call, a copy and a collection for every 64 KiB.
 *
 * This needs three things that Node does not document: a socket made from the handle of an accepted one, a handle that the HTTP parser
 * leaves alone, and a parser that does not report a body. Where a release of Node lacks one of them, connections are read as Node reads
 * them, at Node's pace. The parser gets every byte of a connection in both cases, so it alone decides where a request begins and ends.
 */
import { createServer, type IncomingMessage, Server } from 'node:http'
import { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { releaseBuffer, Slabs } from '../../buffers/index.ts'

/** The size of a read outside of pooled bodies. All connections share this memory, because the parser copies out of it at once. */
const SHARED_BYTES = 64 * 1024
/** A shorter body is not worth a slab. */
const BODY_BYTES_MIN = 128 * 1024
/** How many bodies are pooled at a time, because a slow one keeps its slab. The others are read as Node reads them. */
const BODIES_MAX = 16

const shared = Buffer.allocUnsafeSlow(SHARED_BYTES)

/** The fields of a socket of `node:http` that Node's types do not have. */
interface SocketInternals {
  _handle: { _consumed?: boolean; readonly reading?: unknown } | null
  _server: unknown
  server: unknown
  readonly parser?: Parser | null
}

interface Parser {
  readonly constructor: { readonly kOnBody?: unknown }
  readonly incoming?: IncomingMessage | null
  [callback: number]: unknown
}

/** Only of connections that read into memory of this file. */
const reads = new WeakMap<Socket, ConnectionReads>()

/** A server of plain HTTP whose connections can pool bodies. */
export class PooledServer extends Server {
  /** Replaces a connection before any listener has it. */
  override emit(event: string, ...args: unknown[]): boolean {
    const [socket] = args
    return event === 'connection' && socket instanceof Socket
      ? super.emit(event, adopted(socket))
      : super.emit(event, ...args)
  }
}

/**
 * Has the rest of a request's body read into reused memory, if its connection can do that. The body's reader takes the buffers by `data`
 * events, and releases the objects that it got (`releaseBuffer`).
 *
 * @returns the request
 */
export function poolBody(request: IncomingMessage): IncomingMessage {
  reads.get(request.socket)?.pool(request)
  return request
}

/** The same connection as a socket that reads into memory of this file; the given socket where that is not possible. */
function adopted(accepted: Socket): Socket {
  const before = internalsOf(accepted)
  const handle = before._handle
  if (typeof handle?.reading !== 'boolean' || !canSkipBodies()) return accepted
  const connection = new ConnectionReads()
  const onread = { buffer: () => connection.target, callback: (byteCount: number) => connection.arrived(byteCount) }
  const options = { handle, allowHalfOpen: true, onread }
  const socket = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0])
  const after = internalsOf(socket)
  if (after._handle !== handle) return accepted
  before._handle = null
  // Otherwise the parser would take the handle and read from it itself.
  handle._consumed = true
  after.server = before.server
  // The server counts its connections by this field.
  after._server = before._server
  before._server = null
  connection.socket = socket
  reads.set(socket, connection)
  return socket
}

let bodyCount = 0

/** What one connection reads. */
class ConnectionReads {
  /** Set before the first read. */
  socket: Socket | null = null
  #body: { readonly request: IncomingMessage; readonly parser: Parser; readonly slabs: Slabs } | null = null
  /** Whether the next read goes into memory of the body. */
  #isBodyNext = false

  /** Memory for the next read. */
  get target(): Buffer {
    this.#isBodyNext = this.#body !== null
    return this.#body?.slabs.target ?? shared
  }

  pool(request: IncomingMessage): void {
    const parser = parserOf(this.socket)
    const { 'content-length': contentLength, 'transfer-encoding': coding } = request.headers
    if (this.#body !== null || bodyCount >= BODIES_MAX || coding !== undefined) return
    // A request that waits behind another one, or whose bytes have been taken, has an unknown number of bytes left.
    if (parser?.incoming !== request || request.readableDidRead) return
    const leftBytes = Number(contentLength) - request.readableLength
    if (!(leftBytes >= BODY_BYTES_MIN)) return
    bodyCount++
    this.#body = { request, parser, slabs: new Slabs(leftBytes) }
    this.socket?.once('close', this.#end)
  }

  /** Called when bytes have been read into `target`. @returns true, because the socket is paused by its own method */
  arrived(byteCount: number): boolean {
    const { socket } = this
    const body = this.#body
    if (body === null || !this.#isBodyNext) {
      body?.slabs.skip(Math.min(byteCount, body.slabs.leftBytes))
      if (body?.slabs.leftBytes === 0) this.#end()
      socket?.emit('data', shared.subarray(0, byteCount))
      return true
    }
    const { request, parser, slabs } = body
    const bytes = slabs.lend(byteCount)
    if (slabs.leftBytes === 0) this.#end()
    const hasReader = !request.destroyed && !(request.readableFlowing === true && request.listenerCount('data') === 0)
    // Before the parser ends the request.
    const isWanted = hasReader ? request.push(bytes) : true
    skipBody(parser, () => socket?.emit('data', bytes))
    if (!hasReader) releaseBuffer(bytes)
    if (!isWanted && slabs.leftBytes > 0) socket?.pause()
    return true
  }

  readonly #end = (): void => {
    if (this.#body === null) return
    this.socket?.off('close', this.#end)
    this.#body.slabs.close()
    this.#body = null
    bodyCount--
  }
}

/** Lets the parser go over bytes of a body without a copy of them. It is a parser of another connection later. */
function skipBody(parser: Parser, parse: () => void): void {
  const kOnBody = parser.constructor.kOnBody as number
  const onBody = parser[kOnBody]
  parser[kOnBody] = null
  try {
    parse()
  } finally {
    parser[kOnBody] = onBody
  }
}

let canSkip: boolean | null = null

/** Whether this Node's parser can go over a body: tried once with a request of its own. */
function canSkipBodies(): boolean {
  canSkip ??= trySkipping()
  return canSkip
}

function trySkipping(): boolean {
  const connection = new Duplex({ read() {}, write: (_bytes, _encoding, done) => done() })
  const found: IncomingMessage[] = []
  try {
    createServer((request) => found.push(request)).emit('connection', connection)
    connection.emit('data', Buffer.from('PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n'))
    const parser = parserOf(connection)
    const kOnBody = parser?.constructor.kOnBody
    if (parser === null || typeof kOnBody !== 'number' || typeof parser[kOnBody] !== 'function') return false
    skipBody(parser, () => connection.emit('data', Buffer.from('body')))
    const [request] = found
    return request?.complete === true && request.readableLength === 0
  } catch {
    return false
  } finally {
    connection.destroy()
  }
}

function internalsOf(socket: Socket): SocketInternals {
  return socket as unknown as SocketInternals
}

function parserOf(socket: object | null): Parser | null {
  return (socket as { readonly parser?: Parser | null } | null)?.parser ?? null
}
