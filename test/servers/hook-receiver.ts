/** A receiver of webhooks that can go away and come back at the same address. https://www.standardwebhooks.com */
import { createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { freePort } from './server-process.ts'

/** A message whose signature is right. */
export interface HookMessage {
  readonly id: string
  readonly type: string
  readonly transferId: string
}

export class HookReceiver implements AsyncDisposable {
  /** In the order of their arrival, repeated ones included. */
  readonly messages: HookMessage[] = []
  wrongSignatures = 0
  /** Set once the webhook is registered. */
  secret = ''
  readonly url: string
  readonly #port: number
  #server: Server | null = null

  private constructor(port: number) {
    this.#port = port
    this.url = `http://127.0.0.1:${port}/hook`
  }

  static async start(): Promise<HookReceiver> {
    const receiver = new HookReceiver(await freePort())
    await receiver.comeBack()
    return receiver
  }

  async comeBack(): Promise<void> {
    const server = createServer((request, response) => void this.#take(request, response))
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve))
    this.#server = server
  }

  async goAway(): Promise<void> {
    const server = this.#server
    if (server === null) return
    this.#server = null
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.goAway()
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request)
    const {
      'webhook-id': id = '',
      'webhook-timestamp': timestamp = '',
      'webhook-signature': given = '',
    } = request.headers
    const key = Buffer.from(this.secret.replace(/^whsec_/, ''), 'base64')
    const expected = `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`
    const isRight = String(given).split(' ').includes(expected)
    if (isRight) {
      const { type, data } = JSON.parse(body)
      this.messages.push({ id: String(id), type, transferId: data.transferId })
    } else {
      this.wrongSignatures++
    }
    response.writeHead(isRight ? 204 : 401).end()
  }
}
