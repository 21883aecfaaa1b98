/** A portal in memory for the sender's tests: it keeps the protocol, except where the test tells it to misbehave. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'
import { nodeTransport } from '../../src/client/node-transport.ts'
import { PortalClient } from '../../src/client/portal-client.ts'
import { digestDriver, digestOf } from '../../src/digests/index.ts'
import { checkManifest } from '../../src/parts/index.ts'
import {
  type Announcement,
  allParts,
  type Limits,
  type Notification,
  newToken,
  Problem,
  parseContentDigest,
  type TransferState,
  type TransferStatus,
} from '../../src/protocol/index.ts'

interface Held {
  readonly announcement: Announcement & { readonly sizeBytes: number }
  readonly parts: Map<number, Buffer>
  readonly notifications: Notification[]
  state: TransferState
  attempt: number
}

type Content<N = Notification> = N extends Notification ? Omit<N, 'eventId' | 'at' | 'transferId' | 'attempt'> : never

/** Runs before a request is served. It may answer by itself, destroy the connection, or throw. */
type Interference = (request: { method: string; path: string; count: number; raw: ServerResponse }) => unknown

const limitsDefault: Limits = {
  digestAlgorithms: ['sha-256'],
  partSizeBytesMin: 1,
  partSizeBytesMax: 64 * 1024 * 1024,
  partsPerTransferMax: 10_000,
  transferSizeBytesMax: 2 ** 40,
  wholeSizeBytesMax: 0,
  receiversPerTransferMax: 32,
  attemptsMax: 5,
  uploadTimeoutMs: 60_000,
  leaseMs: 60_000,
  expiryMs: 60_000,
  heartbeatMs: 15_000,
  sealedOnly: false,
}

export class ScriptedPortal implements AsyncDisposable {
  readonly transfers = new Map<string, Held>()
  /** `METHOD /path`, in the order of arrival. */
  readonly requests: string[] = []
  readonly client: PortalClient<Readable>
  /** The receivers' answer to a stored file; null when they are offline. */
  receive: ((transferId: string, receiver: string) => Content) | null = (_, receiver) => ({
    notification: 'delivered',
    receiver,
  })
  interfere: Interference = () => {}
  limits: Limits = limitsDefault
  readonly #server = createServer((request, response) => {
    this.#serve(request, response).catch((error) => {
      if (!(error instanceof Problem)) response.destroy()
      else answer(response, error.status, error.toJSON(), 'application/problem+json')
    })
  })
  readonly #streams = new Set<ServerResponse>()
  #events = 0

  private constructor() {
    this.client = new PortalClient(
      { request: (...request) => this.#transport.request(...request), close: () => this.#transport.close() },
      newToken(),
    )
  }
  #transport = nodeTransport('http://127.0.0.1:9')

  static async start(): Promise<ScriptedPortal> {
    const portal = new ScriptedPortal()
    await new Promise<void>((resolve) => portal.#server.listen(0, '127.0.0.1', resolve))
    portal.#transport = nodeTransport(`http://127.0.0.1:${(portal.#server.address() as AddressInfo).port}`)
    return portal
  }

  /** How many requests match the pattern. */
  count(pattern: RegExp): number {
    return this.requests.filter((request) => pattern.test(request)).length
  }

  /** The only transfer. */
  only(): Held & { transferId: string } {
    const [entry, other] = this.transfers
    if (entry === undefined || other !== undefined) throw new Error(`there are ${this.transfers.size} transfers`)
    return Object.assign(entry[1], { transferId: entry[0] })
  }

  content(held: Held): Buffer {
    return Buffer.concat([...held.parts].sort(([a], [b]) => a - b).map(([, bytes]) => bytes))
  }

  notify(transferId: string, content: Content): Notification {
    const held = this.#held(transferId)
    const notification = {
      ...content,
      eventId: String(++this.#events),
      at: new Date().toISOString(),
      transferId,
      attempt: held.attempt,
    } as Notification
    held.notifications.push(notification)
    for (const stream of this.#streams) writeEvent(stream, 'notification', notification)
    return notification
  }

  /** Ends an upload as the portal does after a silent sender. */
  timeOut(transferId: string): void {
    const held = this.#held(transferId)
    held.parts.clear()
    const problem = new Problem('upload-timeout').toJSON()
    this.notify(transferId, { notification: 'resend', problem, wanted: allParts(held.announcement).map(mutable) })
    held.attempt++
  }

  cutStreams(): void {
    for (const stream of this.#streams) stream.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport.close()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request
    const [path = '', query] = url.split('?')
    this.requests.push(`${method} ${path}`)
    const count = this.requests.filter((one) => one === `${method} ${path}`).length
    const body = Buffer.concat(await request.toArray())
    await this.interfere({ method, path, count, raw: response })
    if (response.writableEnded || response.destroyed) return
    if (path === '/v1/limits') return answer(response, 200, this.limits)
    if (path === '/v1/events') return this.#stream(response)
    const [, transferId = '', , partNumber] = /^\/v1\/transfers\/([^/]+)(\/parts\/(\d+)|\/complete)?$/.exec(path) ?? []
    if (partNumber !== undefined) {
      this.#receivePart(transferId, Number(partNumber), request, body)
      response.writeHead(204).end()
    } else if (path.endsWith('/complete')) {
      answer(response, 200, this.#complete(transferId, JSON.parse(body.toString())))
    } else {
      if (method === 'PUT') this.#announce(transferId, JSON.parse(body.toString()))
      if (method === 'DELETE') this.#cancel(transferId, query === 'state=receiving')
      answer(response, 200, this.#status(transferId))
    }
  }

  #stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    this.#streams.add(response)
    response.on('close', () => this.#streams.delete(response))
    writeEvent(response, 'current', {})
  }

  #announce(transferId: string, { sizeBytes, ...announced }: Announcement): void {
    if (sizeBytes === null) throw new Error('this portal takes no streams')
    const announcement = { ...announced, sizeBytes }
    if (this.transfers.has(transferId)) return
    const { digestAlgorithms } = this.limits
    if (!digestAlgorithms.includes(announcement.digestAlgorithm)) {
      throw new Problem('digest-unsupported-algorithm', { wanted: digestAlgorithms })
    }
    this.transfers.set(transferId, {
      announcement,
      parts: new Map(),
      notifications: [],
      state: 'receiving',
      attempt: 1,
    })
  }

  #receivePart(transferId: string, partNumber: number, request: IncomingMessage, bytes: Buffer): void {
    const held = this.#held(transferId)
    if (held.state !== 'receiving') throw new Problem('transfer-closed')
    const { name } = digestDriver(held.announcement.digestAlgorithm)
    const expected = parseContentDigest(name, String(request.headers['content-digest']))
    if (digestOf(name, bytes) !== expected) throw new Problem('digest-mismatching-value', { partNumber })
    held.parts.set(partNumber, bytes)
  }

  #complete(transferId: string, { manifestDigest, attempt }: { manifestDigest: string; attempt: number }) {
    const held = this.#held(transferId)
    const told = held.notifications.find((one) => one.attempt === attempt && !('receiver' in one))
    if (told !== undefined) return told
    const { name } = digestDriver(held.announcement.digestAlgorithm)
    const verdict = checkManifest(held.announcement, name, digestsOf(held), manifestDigest)
    if (verdict.disposition === 'resend') {
      const wanted = verdict.wanted.map(mutable)
      const notification = this.notify(transferId, {
        notification: 'resend',
        problem: verdict.problem.toJSON(),
        wanted,
      })
      held.attempt++
      return notification
    }
    held.state = 'stored'
    const notification = this.notify(transferId, { notification: 'stored' })
    if (this.receive !== null) {
      for (const receiver of held.announcement.to) this.notify(transferId, this.receive(transferId, receiver))
    }
    return notification
  }

  #cancel(transferId: string, isOnlyWhileReceiving: boolean): void {
    const held = this.#held(transferId)
    if (isOnlyWhileReceiving && held.state !== 'receiving') return
    held.state = 'cancelled'
    held.parts.clear()
    this.notify(transferId, { notification: 'refused', problem: new Problem('cancelled').toJSON() })
  }

  #held(transferId: string): Held {
    const held = this.transfers.get(transferId)
    if (held === undefined) throw new Problem('not-found')
    return held
  }

  #status(transferId: string): TransferStatus {
    const held = this.#held(transferId)
    const at = new Date().toISOString()
    return {
      ...held.announcement,
      transferId,
      state: held.state,
      attempt: held.attempt,
      from: 'ada',
      manifest: null,
      createdAt: at,
      expiresAt: at,
      deliveries: [],
      parts: [...digestsOf(held)].map(([partNumber, digest]) => ({ partNumber, digest })),
      notifications: held.notifications,
    }
  }
}

function digestsOf({ announcement, parts }: Held): Map<number, string> {
  const { name } = digestDriver(announcement.digestAlgorithm)
  return new Map([...parts].map(([partNumber, bytes]) => [partNumber, digestOf(name, bytes)]))
}

function mutable([first, last]: readonly [number, number]): [number, number] {
  return [first, last]
}

function answer(response: ServerResponse, status: number, content: unknown, type = 'application/json'): void {
  response.writeHead(status, { 'content-type': type }).end(JSON.stringify(content))
}

function writeEvent(stream: ServerResponse, event: string, data: unknown): void {
  stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
}
