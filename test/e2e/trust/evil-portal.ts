/**
 * A lying portal: a real HTTP server between accounts and a real portal. It sees everything, and changes, withholds or
 * invents messages, digests included. It does not have the keys of the accounts.
 */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { digestOf } from '../../../src/digests/index.ts'
import {
  type Disposition,
  formatContentDigest,
  knownDigestAlgorithms,
  type Offer,
} from '../../../src/protocol/index.ts'

export interface Asked {
  readonly method: string
  readonly path: string
}

/** A request as it arrived, also one that broke off. */
export interface Request extends Asked {
  /** Target and headers, as text. */
  readonly head: string
  readonly body: Buffer
}

/** Any JSON object. */
export type Json = Readonly<Record<string, unknown>>

/** The location of a part, at the portal or at the receiver. */
export interface PartOf {
  readonly transferId: string
  readonly partNumber: number
}

/** The lies of this portal. A test may replace any of them at any time. Without any, the portal is honest. */
export interface Lies {
  /** Changes messages of accounts before they reach the portal. */
  heard?(said: Json, asked: Asked): Json | Promise<Json>
  /** Changes messages to accounts. `event` names a message of an event stream; null for an answer. */
  says?(said: Json, about: Asked & { readonly event: string | null }): Json | Promise<Json>
  /** Replaces the bytes of a part, with a matching digest. */
  gives?(part: PartOf, bytes: Buffer): Buffer
  /** Answers the request itself. */
  answers?(asked: Asked): Json | null
  /** Never answers, and reads at most that many bytes of the body. */
  hangs?(asked: Asked): { readonly afterBytes: number } | null
}

/** A transfer that the lying portal offers by itself: an invented one, or an old one. */
export interface Forged {
  readonly offer: Offer
  /** The parts as they are transferred. */
  readonly parts: readonly Buffer[]
}

interface Stream {
  readonly path: string
  readonly authorization: string
  readonly answer: ServerResponse
}

const UPLOADED = /^\/v1\/transfers\/([^/]+)\/parts\/(\d+)$/
/** A small file in one request: its JSON, a line feed, its only part. */
const UPLOADED_WHOLE = /^\/v1\/transfers\/([^/]+)\/whole$/
const ANNOUNCED = /^\/v1\/transfers\/[^/]+(\/whole)?$/
const FETCHED = /^\/v1\/inbox\/([^/]+)\/parts\/(\d+)$/
const OF_OFFER = /^\/v1\/inbox\/([^/]+)(\/parts\/(\d+)|\/disposition)?$/

export class EvilPortal implements AsyncDisposable {
  readonly url: string
  lies: Lies = {}
  /** Every request, in order. */
  readonly requests: Request[] = []
  /** The last offer of each transfer, as the real portal made it. */
  readonly offers = new Map<string, Offer>()
  readonly #server: Server
  readonly #portalUrl: () => string
  readonly #streams = new Set<Stream>()
  readonly #forged = new Map<string, Forged & { readonly token: string; answered(disposition: Disposition): void }>()

  private constructor(server: Server, url: string, portalUrl: () => string) {
    this.#server = server
    this.url = url
    this.#portalUrl = portalUrl
  }

  static async open(portalUrl: () => string): Promise<EvilPortal> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const evil = new EvilPortal(server, url, portalUrl)
    server.on('request', (incoming, answer) => {
      // A killed client leaves requests behind. Its client sees every other error.
      evil.#serve(incoming, answer).catch(() => incoming.socket.destroy())
    })
    return evil
  }

  /** The bytes of each upload attempt of each part. */
  get uploads(): (PartOf & { readonly bytes: Buffer })[] {
    return this.requests.flatMap(({ method, path, body }) => {
      if (method !== 'PUT') return []
      const transferId = UPLOADED_WHOLE.exec(path)?.[1]
      if (transferId !== undefined) return [{ transferId, partNumber: 1, bytes: wholeOf(body).content }]
      const part = partIn(UPLOADED, path)
      return part === null ? [] : [{ ...part, bytes: body }]
    })
  }

  /** The announcements, in order. Those of small files came with their content. */
  get announcements(): Json[] {
    return this.requests.flatMap(({ method, path, body }) =>
      method === 'PUT' && ANNOUNCED.test(path) ? [JSON.parse(wholeOf(body).line.toString())] : [],
    )
  }

  /** The parts of a transfer, as its sender last sent them. */
  partsOf(transferId: string): Buffer[] {
    const parts: Buffer[] = []
    for (const one of this.uploads) {
      if (one.transferId === transferId) parts[one.partNumber - 1] = one.bytes
    }
    return parts
  }

  /**
   * Offers a transfer that the real portal does not offer, and serves it. As a real portal does, it offers it again to a receiver that
   * connects before it has answered.
   *
   * @param token of the receiver that gets the offer
   * @returns the receiver's answer
   */
  async offer(token: string, forged: Forged): Promise<Disposition> {
    const { promise, resolve } = Promise.withResolvers<Disposition>()
    this.#forged.set(forged.offer.transferId, { ...forged, token, answered: resolve })
    const streams = [...this.#streams].filter(
      ({ path, authorization }) => path === '/v1/inbox' && authorization === `Bearer ${token}`,
    )
    if (streams.length === 0) throw new Error('that receiver is not connected')
    for (const { answer } of streams) writeOffer(answer, forged)
    return promise
  }

  /** Cuts all open requests. */
  cut(): void {
    this.#server.closeAllConnections()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #serve(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/' } = incoming
    const asked = { method, path: url.replace(/\?.*/, '') }
    const seen = { ...asked, head: `${url}\n${incoming.rawHeaders.join('\n')}`, body: Buffer.alloc(0) }
    this.requests.push(seen)
    const hang = this.lies.hangs?.(asked) ?? null
    incoming.on('data', (bytes: Buffer) => {
      seen.body = Buffer.concat([seen.body, bytes])
      if (hang !== null && seen.body.length >= hang.afterBytes) incoming.pause()
    })
    if (hang !== null) return
    await new Promise<void>((resolve, reject) => incoming.once('end', resolve).once('close', reject))
    const own = this.#ownAnswer(asked, seen.body) ?? this.lies.answers?.(asked) ?? null
    if (Buffer.isBuffer(own)) return answerPart(answer, own)
    if (own !== null) return answerJson(answer, 200, own)
    await this.#forward({ ...incoming.headers }, url, await this.#heard(asked, seen.body), asked, answer)
  }

  async #heard(asked: Asked, body: Buffer): Promise<Buffer> {
    if (this.lies.heard === undefined || body.length === 0 || partIn(UPLOADED, asked.path) !== null) return body
    const { line, content } = wholeOf(body)
    const said = Buffer.from(JSON.stringify(await this.lies.heard(JSON.parse(line.toString()), asked)))
    return UPLOADED_WHOLE.test(asked.path) ? Buffer.concat([said, Buffer.from('\n'), content]) : said
  }

  async #forward(
    headers: IncomingMessage['headers'],
    url: string,
    body: Buffer,
    asked: Asked,
    answer: ServerResponse,
  ): Promise<void> {
    if (headers['content-length'] !== undefined) headers['content-length'] = String(body.length)
    const outgoing = request(this.#portalUrl() + url, { method: asked.method, headers, agent: false })
    answer.once('close', () => outgoing.destroy())
    outgoing.end(body)
    const back = await new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve)
      outgoing.on('error', reject)
    })
    back.on('error', () => answer.destroy())
    const type = back.headers['content-type'] ?? ''
    if (type.startsWith('text/event-stream')) {
      this.#passStream(back, asked, headers.authorization ?? '', answer)
      return
    }
    const bytes = await buffer(back)
    const status = back.statusCode ?? 502
    const part = partIn(FETCHED, asked.path)
    if (part !== null && status === 200) return answerPart(answer, this.lies.gives?.(part, bytes) ?? bytes)
    if (!type.startsWith('application/json')) {
      answer.writeHead(status, back.headers).end(bytes)
      return
    }
    answerJson(answer, status, await this.#says(JSON.parse(bytes.toString()), asked, null))
  }

  #passStream(back: IncomingMessage, asked: Asked, authorization: string, answer: ServerResponse): void {
    const stream = { path: asked.path, authorization, answer }
    this.#streams.add(stream)
    answer.once('close', () => this.#streams.delete(stream))
    answer.writeHead(200, { 'content-type': 'text/event-stream' })
    answer.flushHeaders()
    for (const forged of asked.path === '/v1/inbox' ? this.#forged.values() : []) {
      if (authorization === `Bearer ${forged.token}`) writeOffer(answer, forged)
    }
    let text = ''
    // One after the other, however long each takes.
    let passed = Promise.resolve()
    back.setEncoding('utf8')
    back.on('data', (more: string) => {
      const messages = (text + more).split('\n\n')
      text = messages.pop() ?? ''
      for (const message of messages) {
        passed = passed
          .then(async () => void answer.write(`${await this.#passMessage(message, asked)}\n\n`))
          .catch(() => void answer.destroy())
      }
    })
    back.on('end', () => passed.then(() => answer.end()))
  }

  async #passMessage(message: string, asked: Asked): Promise<string> {
    const event = /^event: (.*)$/m.exec(message)?.[1]
    const data = /^data: (.*)$/m.exec(message)?.[1]
    if (event === undefined || data === undefined) return message
    const said = JSON.stringify(await this.#says(JSON.parse(data), asked, event))
    return message.replace(/^data: .*$/m, () => `data: ${said}`)
  }

  async #says(said: Json, asked: Asked, event: string | null): Promise<Json> {
    if ('leaseId' in said) this.offers.set(String(said.transferId), said as unknown as Offer)
    return (await this.lies.says?.(said, { ...asked, event })) ?? said
  }

  /** The answer about a transfer that the real portal does not know, or does not offer. */
  #ownAnswer({ method, path }: Asked, body: Buffer): Json | Buffer | null {
    const [, transferId = '', rest, partNumber] = OF_OFFER.exec(path) ?? []
    const forged = this.#forged.get(transferId)
    if (forged === undefined) return null
    if (partNumber !== undefined) return forged.parts[Number(partNumber) - 1] ?? null
    if (rest === undefined) return { ...forged.offer }
    if (method !== 'POST') return null
    const disposition: Disposition = JSON.parse(body.toString())
    this.#forged.delete(transferId)
    forged.answered(disposition)
    return { state: disposition.disposition === 'received' ? 'delivered' : 'failed' }
  }
}

function writeOffer(answer: ServerResponse, { offer }: Forged): void {
  answer.write(`event: offer\ndata: ${JSON.stringify(offer)}\n\n`)
}

/** JSON alone, or followed by a line feed and content. */
function wholeOf(body: Buffer): { line: Buffer; content: Buffer } {
  const end = body.indexOf('\n')
  return end < 0
    ? { line: body, content: Buffer.alloc(0) }
    : { line: body.subarray(0, end), content: body.subarray(end + 1) }
}

function partIn(pattern: RegExp, path: string): PartOf | null {
  const [, transferId, partNumber] = pattern.exec(path) ?? []
  return transferId === undefined ? null : { transferId, partNumber: Number(partNumber) }
}

function answerPart(answer: ServerResponse, bytes: Buffer): void {
  answer
    .writeHead(200, {
      'content-type': 'application/octet-stream',
      'content-length': bytes.length,
      'content-digest': knownDigestAlgorithms
        .map((name) => formatContentDigest(name, digestOf(name, bytes)))
        .join(', '),
    })
    .end(bytes)
}

function answerJson(answer: ServerResponse, status: number, said: Json): void {
  answer.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(said))
}
