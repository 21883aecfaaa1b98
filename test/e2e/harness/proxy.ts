/**
 * A faulty network: a real HTTP proxy between a client and the portal. It corrupts, cuts, delays or slows requests as a
 * test asks. It forwards bytes as they arrive.
 */
import { readFileSync } from 'node:fs'
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { Transform } from 'node:stream'

/** What the proxy does to one request. Every field applies to this request only. */
export interface Fault {
  /** One bit of the request's body is flipped on its way to the portal. */
  readonly corruptRequest?: boolean
  /** One bit of the answer's body is flipped on its way back. */
  readonly corruptAnswer?: boolean
  /** The portal gets the request and processes it, but its answer is lost with the connection. */
  readonly loseAnswer?: boolean
  /** The connection is cut after that many bytes of the request's body. */
  readonly cutRequestAfterBytes?: number
  /** Exactly that many bytes of the request's body pass, if it has more, and the connection is cut a moment after that. */
  readonly passRequestBytes?: number
  /** The connection is cut when the request's body has not passed within this time. */
  readonly cutRequestAfterMs?: number
  /** The connection is cut after that many bytes of the answer's body. */
  readonly cutAnswerAfterBytes?: number
  /** The answer is passed on as a whole, once it has ended. A stream is never passed on. */
  readonly holdAnswer?: boolean
  /** This request header is removed. */
  readonly withoutHeader?: string
  /** The request is not passed on: this is the answer. */
  readonly answer?: { readonly status: number; readonly body: string }
  /** The request is neither passed on nor answered. */
  readonly hang?: boolean
  /** The request is held until this resolves. */
  readonly heldUntil?: Promise<unknown>
  /** Bodies pass at this rate. */
  readonly bytesPerSecond?: number
  /** The connection is refused, as by a dead host. */
  readonly refuse?: boolean
}

/** A request, as a rule sees it. `count` says how often this method and path has been requested, from 1. */
export interface Seen {
  readonly method: string
  readonly path: string
  /** Without its question mark; empty without a query. */
  readonly query: string
  readonly count: number
}

export class FaultyNetwork implements AsyncDisposable {
  readonly url: string
  /** Every request that arrived, in order. */
  readonly seen: Seen[] = []
  /** Decides about each request; null lets it pass. A test may replace it at any time. */
  rule: (seen: Seen) => Fault | null = () => null
  readonly #server: Server
  readonly #counts = new Map<string, number>()
  readonly #hanging = new Set<IncomingMessage>()

  private constructor(server: Server, url: string) {
    this.#server = server
    this.url = url
  }

  /** Opens the proxy in front of a portal. It looks up the address of the portal for each request. */
  static async open(portalUrl: () => string): Promise<FaultyNetwork> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const network = new FaultyNetwork(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    server.on('request', (incoming, answer) => network.#pass(incoming, answer, portalUrl()))
    return network
  }

  /** The number of requests whose method and path match. */
  count(method: string, path: RegExp): number {
    return this.seen.filter((one) => one.method === method && path.test(one.path)).length
  }

  /** Cuts the connections of all held requests, so that clients need not wait for a timeout. */
  cutHanging(): void {
    for (const incoming of this.#hanging) incoming.socket.destroy()
    this.#hanging.clear()
  }

  /** Cuts every open connection. */
  cutAll(): void {
    this.#server.closeAllConnections()
  }

  #pass(incoming: IncomingMessage, answer: ServerResponse, portalUrl: string): void {
    const { method = 'GET' } = incoming
    const [path = '', query = ''] = targetOf(incoming).split('?')
    const key = `${method} ${path}`
    const count = (this.#counts.get(key) ?? 0) + 1
    this.#counts.set(key, count)
    const seen = { method, path, query, count }
    this.seen.push(seen)
    const fault = this.rule(seen) ?? {}
    if (fault.refuse === true) {
      incoming.socket.destroy()
      return
    }
    if (fault.answer !== undefined) {
      incoming.resume()
      answer.writeHead(fault.answer.status).end(fault.answer.body)
      return
    }
    if (fault.hang === true) {
      this.#hanging.add(incoming)
      incoming.resume()
      return
    }
    if (fault.heldUntil === undefined) {
      forward(incoming, answer, portalUrl, fault)
      return
    }
    fault.heldUntil.then(() => {
      // The client may have gone meanwhile.
      if (!incoming.socket.destroyed) forward(incoming, answer, portalUrl, fault)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** The path and the query. A client that uses the network as its HTTP proxy sends them with the host. */
function targetOf({ url = '/' }: IncomingMessage): string {
  return url.replace(/^http:\/\/[^/]+/, '')
}

/** Passes a request on, and its answer back, with the given fault. */
function forward(incoming: IncomingMessage, answer: ServerResponse, portalUrl: string, fault: Fault): void {
  const { method } = incoming
  const headers = { ...incoming.headers }
  if (fault.withoutHeader !== undefined) delete headers[fault.withoutHeader]
  const outgoing = request(portalUrl + targetOf(incoming), { method, headers, agent: false })
  const cut = (): void => {
    outgoing.destroy()
    incoming.socket.destroy()
  }
  if (fault.cutRequestAfterMs !== undefined) {
    const late = setTimeout(cut, fault.cutRequestAfterMs)
    // The whole body has passed when the portal answers. When the client goes, its request is cut.
    for (const end of ['response', 'close']) outgoing.once(end, () => clearTimeout(late))
  }
  outgoing.on('error', () => incoming.socket.destroy())
  incoming.on('error', () => outgoing.destroy())
  answer.on('close', () => outgoing.destroy())
  outgoing.on('response', (back) => {
    if (fault.loseAnswer === true) {
      back.resume()
      back.on('end', cut)
      return
    }
    if (fault.holdAnswer === true) {
      back.on('error', cut)
      back
        .toArray()
        .then((chunks) => answer.writeHead(back.statusCode ?? 502, back.headers).end(Buffer.concat(chunks)), cut)
      return
    }
    answer.writeHead(back.statusCode ?? 502, back.headers)
    answer.flushHeaders()
    back.on('error', cut)
    back
      .pipe(disturbed(fault.corruptAnswer === true, fault.cutAnswerAfterBytes, fault.bytesPerSecond, cut))
      .pipe(answer)
  })
  if (fault.passRequestBytes !== undefined) {
    passSome(incoming, outgoing, fault.passRequestBytes, cut)
    return
  }
  incoming
    .pipe(disturbed(fault.corruptRequest === true, fault.cutRequestAfterBytes, fault.bytesPerSecond, cut))
    .pipe(outgoing)
}

/** How long a line is silent before it is cut. A server sees the end of a connection together with bytes that it has not read yet. */
const SILENCE_MS = 50

/** Passes the first bytes of a body on, and cuts after them. A shorter body passes whole. */
function passSome(incoming: IncomingMessage, outgoing: ClientRequest, byteCount: number, cut: () => void): void {
  let leftBytes = byteCount
  incoming.on('data', (bytes: Buffer) => {
    if (bytes.length <= leftBytes) {
      leftBytes -= bytes.length
      outgoing.write(bytes)
      return
    }
    incoming.pause()
    incoming.removeAllListeners('data')
    // A request without a body's first byte has to leave, too.
    outgoing.flushHeaders()
    outgoing.write(bytes.subarray(0, leftBytes), () => cutOnceRead(outgoing, cut))
  })
  incoming.on('end', () => outgoing.end())
}

/** Cuts a moment after the other end has read all that was sent to it. */
function cutOnceRead(outgoing: ClientRequest, cut: () => void): void {
  const { localPort } = outgoing.socket ?? {}
  if (localPort !== undefined && unreadBytes(localPort) > 0) setTimeout(cutOnceRead, SILENCE_MS, outgoing, cut)
  else setTimeout(cut, SILENCE_MS)
}

/**
 * What the other end of a connection on this machine has not read yet, as Linux tells it:
 * https://docs.kernel.org/networking/proc_net_tcp.html
 */
function unreadBytes(localPort: number): number {
  const port = localPort.toString(16).toUpperCase().padStart(4, '0')
  const other = new RegExp(`^ *\\d+: \\S+ \\S+:${port} \\S+ [0-9A-F]+:([0-9A-F]+) `, 'm')
  const [, unread = '0'] = other.exec(readFileSync('/proc/net/tcp', 'utf8')) ?? []
  return Number.parseInt(unread, 16)
}

/** A pipe that flips one bit, cuts, or slows. */
function disturbed(
  isCorrupt: boolean,
  cutAfterBytes: number | undefined,
  bytesPerSecond: number | undefined,
  cut: () => void,
): Transform {
  let passedBytes = 0
  let isDone = !isCorrupt
  return new Transform({
    transform(bytes: Buffer, _encoding, done) {
      if (!isDone && bytes.length > 0) {
        isDone = true
        bytes = Buffer.from(bytes)
        bytes[0] = (bytes[0] ?? 0) ^ 1
      }
      passedBytes += bytes.length
      if (cutAfterBytes !== undefined && passedBytes > cutAfterBytes) {
        cut()
        return
      }
      if (bytesPerSecond === undefined) done(null, bytes)
      else setTimeout(() => done(null, bytes), (bytes.length * 1000) / bytesPerSecond)
    },
  })
}
