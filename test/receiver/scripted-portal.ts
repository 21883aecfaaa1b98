/**
 * A portal's half of the second hop, as a real HTTP server with a script: for answers and failures that a real portal rarely
 * gives.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'
import { PortalClient } from '../../src/client/index.ts'
import { nodeTransport } from '../../src/client/node-transport.ts'
import {
  type DeliveryState,
  type Disposition,
  formatContentDigest,
  type Limits,
  newLeaseId,
  newTransferId,
  type Offer,
  Problem,
  type ProblemCode,
} from '../../src/protocol/index.ts'
import type { Content } from './folders.ts'

/** The behaviour for one request; `serve` is that of a real portal. */
export type PartScript = 'serve' | 'corrupt' | 'cut' | 'short' | 'headless' | ProblemCode
export type AnswerScript = DeliveryState | 'lost' | ProblemCode

const answers = { received: 'delivered', refused: 'failed', resend: 'offered', released: 'waiting' } as const

const LEASE_MS = 2_000
const HOLD_MS = 50

interface Transfer {
  offer: Offer
  readonly content: Content
}

export class ScriptedPortal {
  readonly dispositions: Disposition[] = []
  /** The part numbers that were asked for, in order. */
  readonly asked: number[] = []
  readonly connections: { instanceId: string; window: string }[] = []
  readonly held: number[] = []
  /** The number of requests with an outdated lease. */
  lost = 0
  /** Called for each request for a part. */
  onPart: (partNumber: number) => PartScript | Promise<PartScript> = () => 'serve'
  onAnswer: (disposition: Disposition) => AnswerScript | Promise<AnswerScript> = ({ disposition }) =>
    answers[disposition]
  onInbox: () => ProblemCode | null = () => null
  /** The answer for a transfer that is not on offer. */
  unknownCode: ProblemCode = 'delivery-ended'
  readonly #transfers = new Map<string, Transfer>()
  readonly #streams = new Set<ServerResponse>()
  readonly #server = createServer((request, response) => {
    this.#serve(request, response).catch((error: unknown) => response.destroy(error as Error))
  })

  static async start(): Promise<ScriptedPortal> {
    const portal = new ScriptedPortal()
    portal.#server.listen(0, '127.0.0.1')
    await once(portal.#server, 'listening')
    onTestFinished(() => {
      portal.#server.closeAllConnections()
      portal.#server.close()
    })
    return portal
  }

  client(): PortalClient<Readable> {
    const { port } = this.#server.address() as AddressInfo
    const client = new PortalClient(nodeTransport(`http://127.0.0.1:${port}`), 'token')
    onTestFinished(() => client.close())
    return client
  }

  /** Offers a file to the receivers that are connected, and to those that connect later. @returns its transferId */
  send(content: Content, changes: Partial<Offer> = {}): string {
    const transferId = newTransferId()
    const offer: Offer = {
      transferId,
      leaseId: newLeaseId(),
      leaseMs: LEASE_MS,
      state: 'stored',
      from: 'ada',
      metadata: { name: 'file.bin' },
      ...content.layout,
      manifestDigest: content.manifestDigest,
      manifest: null,
      expiresAt: '2099-01-01T00:00:00.000Z',
      ...changes,
    }
    this.#transfers.set(transferId, { offer, content })
    this.#write('offer', offer)
    return transferId
  }

  /** Changes an offer without a message to receivers. */
  change(transferId: string, changes: Partial<Offer>): void {
    const transfer = this.#transferOf(transferId)
    transfer.offer = { ...transfer.offer, ...changes }
  }

  /** Offers a file again, under another lease. */
  offerAgain(transferId: string): void {
    this.change(transferId, { leaseId: newLeaseId() })
    this.#write('offer', this.#transferOf(transferId).offer)
  }

  withdraw(transferId: string, code: ProblemCode): void {
    this.#transfers.delete(transferId)
    this.#write('withdrawn', { transferId, problem: new Problem(code).toJSON() })
  }

  /** Ends a delivery without a message to receivers. */
  forget(transferId: string): void {
    this.#transfers.delete(transferId)
  }

  /** Breaks the connections of all receivers' inboxes. */
  breakStreams(): void {
    for (const stream of this.#streams) stream.destroy()
  }

  #limits(response: ServerResponse): void {
    const limits: Limits = {
      at: new Date().toISOString(),
      digestAlgorithms: ['sha-256'],
      partSizeBytesMin: 1,
      partSizeBytesMax: 1,
      partsPerTransferMax: 1,
      transferSizeBytesMax: 1,
      wholeSizeBytesMax: 0,
      receiversPerTransferMax: 1,
      attemptsMax: 1,
      uploadTimeoutMs: 1,
      leaseMs: LEASE_MS,
      expiryMs: 1,
      heartbeatMs: 1,
      sealedOnly: false,
    }
    response.setHeader('content-type', 'application/json').end(JSON.stringify(limits))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://portal')
    if (url.pathname === '/v1/limits') return this.#limits(response)
    const [transferId, what, number] = url.pathname.split('/').slice(3)
    if (transferId === undefined) return this.#inbox(url, response)
    const transfer = this.#transfers.get(transferId)
    if (what === 'disposition') return this.#answer(transfer, JSON.parse(await text(request)), response)
    if (transfer === undefined) return refuse(response, this.unknownCode)
    if (url.searchParams.get('lease') !== transfer.offer.leaseId) {
      this.lost++
      return refuse(response, 'lease-lost')
    }
    this.held.push(Number(url.searchParams.get('held')))
    if (what === 'parts') return this.#part(transfer, Number(number), response)
    if (transfer.offer.state === 'receiving' && request.headers.prefer !== 'wait=0') await sleep(HOLD_MS)
    json(response, transfer.offer)
  }

  #inbox(url: URL, response: ServerResponse): void {
    const code = this.onInbox()
    if (code !== null) {
      refuse(response, code)
      return
    }
    const { instance = '', window = '' } = Object.fromEntries(url.searchParams)
    this.connections.push({ instanceId: instance, window })
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    this.#streams.add(response)
    response.once('close', () => this.#streams.delete(response))
    for (const { offer } of this.#transfers.values()) response.write(message('offer', offer))
    response.write(message('current', {}))
  }

  async #part({ content }: Transfer, partNumber: number, response: ServerResponse): Promise<void> {
    this.asked.push(partNumber)
    const script = await this.onPart(partNumber)
    const part = content.parts[partNumber - 1]
    if (part === undefined) return refuse(response, 'part-unknown')
    const digest = formatContentDigest('sha-256', part.digest)
    const head = { 'content-length': part.bytes.length, ...(script === 'headless' ? {} : { 'content-digest': digest }) }
    switch (script) {
      case 'serve':
      case 'headless':
        response.writeHead(200, head).end(part.bytes)
        break
      case 'corrupt': {
        const bytes = Buffer.from(part.bytes)
        bytes[0] = (bytes[0] ?? 0) ^ 1
        response.writeHead(200, head).end(bytes)
        break
      }
      case 'short': {
        const bytes = part.bytes.subarray(0, -1)
        response.writeHead(200, { ...head, 'content-length': bytes.length }).end(bytes)
        break
      }
      case 'cut':
        response.writeHead(200, head).write(part.bytes.subarray(0, -1), () => response.destroy())
        break
      default:
        refuse(response, script)
    }
  }

  async #answer(transfer: Transfer | undefined, disposition: Disposition, response: ServerResponse): Promise<void> {
    if (transfer === undefined) return refuse(response, 'delivery-ended')
    if (disposition.leaseId !== transfer.offer.leaseId) return refuse(response, 'lease-lost')
    this.dispositions.push(disposition)
    const script = await this.onAnswer(disposition)
    if (script === 'lost') response.destroy()
    else if (script === 'delivered' || script === 'failed' || script === 'offered' || script === 'waiting') {
      // Like a real portal, it tells all streams that the delivery has ended before it answers.
      if (script === 'failed' && 'problem' in disposition) {
        this.#write('withdrawn', { transferId: transfer.offer.transferId, problem: disposition.problem })
      }
      if (script === 'delivered' || script === 'failed') this.#transfers.delete(transfer.offer.transferId)
      json(response, { state: script })
    } else refuse(response, script)
  }

  #write(event: string, data: unknown): void {
    for (const stream of this.#streams) stream.write(message(event, data))
  }

  #transferOf(transferId: string): Transfer {
    const transfer = this.#transfers.get(transferId)
    if (transfer === undefined) throw new Error('no such transfer')
    return transfer
  }
}

function message(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

function refuse(response: ServerResponse, code: ProblemCode): void {
  const problem = new Problem(code)
  response.writeHead(problem.status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem))
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
