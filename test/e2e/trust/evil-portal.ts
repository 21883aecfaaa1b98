/**
 * A portal that reads and lies: a man in the middle with all that a portal knows and can say, in front of a real one. It
 * rewrites offers, parts, notifications and keys as a test tells it to, with digests that fit.
 */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { digestOf } from '../../../src/digests/index.ts'
import {
  type AccountWithKeys,
  formatContentDigest,
  type Notification,
  type Offer,
  type TransferStatus,
} from '../../../src/protocol/index.ts'

/** A part on its way to the receiver. */
export interface PassingPart {
  readonly transferId: string
  readonly partNumber: number
  readonly bytes: Buffer
}

/** What is done to what passes. Each may leave it as it is. */
export interface Lies {
  readonly offer?: (offer: Offer) => Offer
  readonly part?: (part: PassingPart) => Buffer | Promise<Buffer>
  readonly notification?: (notification: Notification) => Notification[]
  readonly status?: (status: TransferStatus) => TransferStatus
  readonly account?: (account: AccountWithKeys) => AccountWithKeys
}

/** What a sender has let go of for one part: whole, or as far as it came. */
export interface SentPart {
  readonly transferId: string
  readonly partNumber: number
  readonly bytes: Buffer
}

export class EvilPortal implements AsyncDisposable {
  readonly url: string
  lies: Lies = {}
  /** Stops passing parts on after so many bytes of them, as a link that breaks. */
  cutAfterBytes = Number.POSITIVE_INFINITY
  /** Everything that was sent as a part, in the order of its end. */
  readonly sent: SentPart[] = []
  /** Everything else that was sent and answered, as text: what a portal may learn. */
  readonly heard: string[] = []
  /** The parts that were passed on to the receiver, to be used again. */
  readonly passed = new Map<string, Buffer>()
  readonly #server: Server
  #sentBytes = 0

  private constructor(server: Server, url: string) {
    this.#server = server
    this.url = url
  }

  static async open(portalUrl: () => string): Promise<EvilPortal> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const evil = new EvilPortal(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    server.on('request', (incoming, answer) => evil.#pass(incoming, answer, portalUrl()))
    return evil
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #pass(incoming: IncomingMessage, answer: ServerResponse, portalUrl: string): void {
    const { method, url = '/' } = incoming
    const outgoing = request(portalUrl + url, { method, headers: incoming.headers, agent: false })
    outgoing.on('error', () => incoming.socket.destroy())
    answer.on('close', () => outgoing.destroy())
    incoming.on('error', () => outgoing.destroy())
    this.#listen(incoming, outgoing)
    outgoing.on('response', (back) => {
      this.#answer(incoming, back, answer).catch(() => answer.destroy())
    })
  }

  #listen(incoming: IncomingMessage, outgoing: ReturnType<typeof request>): void {
    const part = /^\/v1\/transfers\/([^/]+)\/parts\/(\d+)$/.exec(incoming.url ?? '')
    const gathered: Buffer[] = []
    incoming.on('data', (bytes: Buffer) => {
      gathered.push(bytes)
      if (part !== null) this.#sentBytes += bytes.length
      if (this.#sentBytes > this.cutAfterBytes) incoming.socket.destroy()
      else outgoing.write(bytes)
    })
    incoming.on('end', () => outgoing.end())
    incoming.on('close', () => {
      const bytes = Buffer.concat(gathered)
      if (part === null) this.heard.push(`${incoming.method} ${incoming.url} ${bytes.toString('latin1')}`)
      else this.sent.push({ transferId: part[1] ?? '', partNumber: Number(part[2]), bytes })
    })
  }

  async #answer(incoming: IncomingMessage, back: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { url = '/' } = incoming
    const path = url.replace(/\?.*/, '')
    if (back.headers['content-type']?.startsWith('text/event-stream') === true) {
      return this.#answerEvents(back, answer)
    }
    const gathered: Buffer[] = []
    for await (const bytes of back) gathered.push(bytes)
    let body: Buffer = Buffer.concat(gathered)
    const headers: IncomingHttpHeaders = { ...back.headers }
    const part = /^\/v1\/inbox\/([^/]+)\/parts\/(\d+)$/.exec(path)
    if (back.statusCode === 200 && part !== null) {
      const passing = { transferId: part[1] ?? '', partNumber: Number(part[2]), bytes: body }
      this.passed.set(`${passing.transferId} ${passing.partNumber}`, body)
      body = (await this.lies.part?.(passing)) ?? body
      headers['content-digest'] = formatContentDigest('sha-256', digestOf('sha-256', body))
      headers.etag = `"${digestOf('sha-256', body)}"`
    } else if (back.statusCode === 200 && headers['content-type']?.startsWith('application/json') === true) {
      body = Buffer.from(JSON.stringify(this.#rewritten(path, JSON.parse(body.toString()))))
      this.heard.push(body.toString())
    }
    delete headers['transfer-encoding']
    answer.writeHead(back.statusCode ?? 502, { ...headers, 'content-length': body.length })
    answer.end(body)
  }

  // biome-ignore lint/suspicious/noExplicitAny: it is whatever the path says that it is
  #rewritten(path: string, value: any): unknown {
    const { offer, status, account, notification } = this.lies
    if (/^\/v1\/inbox\/[^/]+$/.test(path)) return offer?.(value) ?? value
    if (/^\/v1\/accounts\//.test(path)) return account?.(value) ?? value
    if (/^\/v1\/transfers\/[^/]+$/.test(path)) {
      const told = status?.(value) ?? (value as TransferStatus)
      return { ...told, notifications: told.notifications.flatMap((one) => notification?.(one) ?? [one]) }
    }
    return value
  }

  async #answerEvents(back: IncomingMessage, answer: ServerResponse): Promise<void> {
    answer.writeHead(200, back.headers)
    answer.flushHeaders()
    let text = ''
    for await (const bytes of back) {
      text += String(bytes)
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) answer.write(`${this.#rewrittenEvent(block)}\n\n`)
    }
    answer.end()
  }

  #rewrittenEvent(block: string): string {
    const event = /^event: (.*)$/m.exec(block)?.[1]
    const data = /^data: (.*)$/m.exec(block)?.[1]
    if (data === undefined) return block
    this.heard.push(data)
    if (event === 'offer') return eventText('offer', this.lies.offer?.(JSON.parse(data)) ?? JSON.parse(data))
    if (event !== 'notification') return block
    const told = this.lies.notification?.(JSON.parse(data)) ?? [JSON.parse(data)]
    return told.map((one) => eventText('notification', one, one.eventId)).join('\n\n')
  }
}

function eventText(event: string, data: unknown, id?: string): string {
  return `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}`
}
