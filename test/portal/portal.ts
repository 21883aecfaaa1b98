/**
 * A portal within the process of the test, with a free port and a new folder. Tests write requests byte by byte, so that any part of
 * a request can be wrong.
 */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { onTestFinished } from 'vitest'
import { PortalClient } from '../../src/client/index.ts'
import { nodeTransport } from '../../src/client/node-transport.ts'
import { digestOf, manifestDigestOf } from '../../src/digests/index.ts'
import {
  invite,
  openLedger,
  type PortalOptions,
  type RunningPortal,
  renew,
  startPortal,
} from '../../src/portal/index.ts'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import {
  type Announcement,
  type DispositionResult,
  formatContentDigest,
  newToken,
  newTransferId,
  type Offer,
} from '../../src/protocol/index.ts'
import { type Documentation, documentationOf, watchAnswers } from './documented.ts'

export const KIB = 1024
export const partSizeBytes = 64 * KIB
export const instance = 'instance-1'

/** An answer as the portal sent it. */
export interface Answer {
  readonly status: number
  /** The header fields. Their names are in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export interface Ask {
  readonly token?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
  /** An object goes as JSON, text and bytes as they are. The Content-Length is correct unless the test gives another one. */
  readonly body?: unknown
}

/** Registers a function to run at the end of a test, or of a whole test file. */
export type OnEnd = (end: () => Promise<void>) => void

export class TestPortal {
  readonly url: string
  readonly port: number
  readonly dataFolder: string
  readonly tokens: Readonly<Record<string, string>>

  readonly #onEnd: OnEnd
  readonly #running: RunningPortal
  readonly #documentation: Documentation

  private constructor(
    running: RunningPortal,
    documentation: Documentation,
    dataFolder: string,
    tokens: Record<string, string>,
    onEnd: OnEnd,
  ) {
    this.#onEnd = onEnd
    this.#running = running
    this.#documentation = documentation
    this.url = running.url
    this.port = Number(new URL(running.url).port)
    this.dataFolder = dataFolder
    this.tokens = tokens
  }

  /** Starts a portal with the accounts alice, bob and carol. It ends with the test, or at `onEnd` of a whole file. */
  static async start(
    settings: Partial<PortalOptions> = {},
    { log, onEnd = onTestFinished }: { log?: Logger; onEnd?: OnEnd } = {},
  ): Promise<TestPortal> {
    const dataFolder = await mkdtemp(join(tmpdir(), 'golooader-portal-'))
    const portal = await startPortal(
      { listenPort: 0, dataFolder, freeBytesMin: 0, stopMs: 100, addressFailuresPerMinute: 1e6, ...settings },
      log,
    )
    const port = Number(new URL(portal.url).port)
    const documentation = await documentationOf(port)
    const requireDocumented = watchAnswers(port, documentation)
    onEnd(async () => {
      await portal.close()
      await rm(dataFolder, { recursive: true, maxRetries: 5 })
      requireDocumented()
    })
    const tokens: Record<string, string> = {}
    const transport = nodeTransport(portal.url)
    for (const name of ['alice', 'bob', 'carol']) {
      const token = newToken()
      const client = new PortalClient(transport, null)
      await client.join({ invite: await TestPortal.invite(dataFolder, name), token })
      tokens[name] = token
    }
    await transport.close()
    return new TestPortal(portal, documentation, dataFolder, tokens, onEnd)
  }

  /** Stops the portal early. Its folder stays. */
  stop(): Promise<void> {
    return this.#running.close()
  }

  /** Makes an invite while the portal runs, as the operator's command does. */
  static async invite(dataFolder: string, name: string, lifetimeMs = 60_000): Promise<string> {
    const ledger = await openLedger({ dataFolder: dataFolder })
    try {
      return await invite(ledger, name, lifetimeMs)
    } finally {
      await ledger.close()
    }
  }

  /** Works on the ledger over a separate connection, as an operator's command does. */
  async operate<Result>(act: (ledger: Ledger) => Promise<Result>): Promise<Result> {
    const ledger = await openLedger({ dataFolder: this.dataFolder })
    try {
      return await act(ledger)
    } finally {
      await ledger.close()
    }
  }

  /** Makes a new link for an account and uses it. @returns the new token */
  async rotate(name: string): Promise<string> {
    const invite = await this.operate((ledger) => renew(ledger, name, 60_000))
    const token = newToken()
    const { status } = await this.ask('POST', '/v1/join', { body: { invite, token } })
    if (status !== 200) throw new Error(`join, and answered ${status}`)
    return token
  }

  token(name: string): string {
    const token = this.tokens[name]
    if (token === undefined) throw new Error(`${name} has no account here`)
    return token
  }

  /** Sends bytes as they are. Resolves with everything that the portal sent until it closed the connection. */
  async raw(bytes: string | Buffer): Promise<Buffer> {
    const socket = await this.connect()
    socket.write(bytes)
    return readToEnd(socket)
  }

  /** Opens a TCP connection without sending anything. */
  async connect(): Promise<Socket> {
    const socket = connect(this.port, '127.0.0.1')
    socket.on('error', () => {})
    await new Promise((resolve) => socket.once('connect', resolve))
    return socket
  }

  /** Makes one request on a new connection. @throws when the answer contradicts `/openapi.json` */
  async ask(method: string, path: string, ask: Ask = {}): Promise<Answer> {
    const answer = parseAnswer(await this.raw(this.request(method, path, ask)), method)
    const fault = this.#documentation.faultOf(method, path, answer)
    if (fault !== null) throw new Error(fault)
    return answer
  }

  /** The bytes of a request. */
  request(method: string, path: string, { token, headers = {}, body }: Ask = {}): Buffer {
    const isJson = body !== undefined && typeof body !== 'string' && !Buffer.isBuffer(body)
    const content = Buffer.from(isJson ? JSON.stringify(body) : ((body as string | Buffer | undefined) ?? ''))
    const all: Record<string, string> = {
      host: '127.0.0.1',
      connection: 'close',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(isJson ? { 'content-type': 'application/json' } : {}),
      ...(body === undefined ? {} : { 'content-length': String(content.length) }),
      ...headers,
    }
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
    return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), content])
  }

  /** Announces a transfer from alice to bob. @returns the transferId */
  async announce(content: Buffer, changes: Partial<Announcement> = {}): Promise<string> {
    const transferId = newTransferId()
    const body = { ...announcement(content.length), ...changes }
    const { status } = await this.ask('PUT', `/v1/transfers/${transferId}`, { token: this.token('alice'), body })
    if (status !== 201) throw new Error(`announced, and answered ${status}`)
    return transferId
  }

  putPart(transferId: string, partNumber: number, bytes: Buffer, headers: Record<string, string> = {}) {
    return this.ask('PUT', `/v1/transfers/${transferId}/parts/${partNumber}`, {
      token: this.token('alice'),
      headers: { 'content-digest': contentDigest(bytes), ...headers },
      body: bytes,
    })
  }

  /** Stores a file from alice to bob. @returns the transferId */
  async store(content: Buffer, changes: Partial<Announcement> = {}): Promise<string> {
    const transferId = await this.announce(content, changes)
    for (const [index, bytes] of partsOf(content).entries()) await this.putPart(transferId, index + 1, bytes)
    const body = { manifestDigest: manifestDigest(content), attempt: 1 }
    const path = `/v1/transfers/${transferId}/complete`
    const { status } = await this.ask('POST', path, { token: this.token('alice'), body })
    if (status !== 200) throw new Error(`complete, and answered ${status}`)
    return transferId
  }

  /** A typed client of an account, for requests that the test does not check. It closes with the portal. */
  client(name: string): PortalClient {
    const client = new PortalClient(nodeTransport(this.url), this.token(name))
    this.#onEnd(() => client.close())
    return client
  }

  /** Connects as a receiver until the transfer is offered. @returns the offer */
  async offerOf(transferId: string, name = 'bob'): Promise<Offer> {
    const gone = new AbortController()
    const client = this.client(name)
    try {
      for await (const event of client.watchInbox({ instanceId: instance, window: 64 }, { signal: gone.signal })) {
        if (event.type === 'offer' && event.offer.transferId === transferId) return event.offer
      }
    } finally {
      gone.abort()
    }
    throw new Error('the inbox ended without that offer')
  }

  /** Sends a receiver's disposition of a delivery. */
  async dispose(transferId: string, body: unknown, name = 'bob'): Promise<DispositionResult['state']> {
    const path = `/v1/inbox/${transferId}/disposition`
    const { status, body: text } = await this.ask('POST', path, { token: this.token(name), body })
    if (status !== 200) throw new Error(`disposition, and answered ${status}: ${text}`)
    return JSON.parse(text.toString()).state
  }
}

export function announcement(sizeBytes: number): Announcement & { sizeBytes: number } {
  return { to: ['bob'], metadata: { name: 'plan.pdf' }, sizeBytes, partSizeBytes, digestAlgorithm: 'sha-256' }
}

export function partsOf(content: Buffer): Buffer[] {
  const count = Math.ceil(content.length / partSizeBytes)
  return Array.from({ length: count }, (_, index) =>
    content.subarray(index * partSizeBytes, (index + 1) * partSizeBytes),
  )
}

export function manifestDigest(content: Buffer): string {
  return manifestDigestOf(
    'sha-256',
    partsOf(content).map((bytes) => digestOf('sha-256', bytes)),
  )
}

export function contentDigest(bytes: Buffer): string {
  return formatContentDigest('sha-256', sha256(bytes))
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Reads until the other side closes the connection. */
export function readToEnd(socket: Socket): Promise<Buffer> {
  const gathered: Buffer[] = []
  socket.on('data', (bytes) => gathered.push(bytes))
  return new Promise((resolve) => socket.once('close', () => resolve(Buffer.concat(gathered))))
}

/** Parses an answer and skips interim answers (1xx) before it. @throws when the bytes are not an HTTP answer */
export function parseAnswer(bytes: Buffer, method = 'GET'): Answer {
  const headEnd = bytes.indexOf('\r\n\r\n')
  const [statusLine = '', ...lines] = bytes.subarray(0, headEnd).toString('latin1').split('\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1])
  if (headEnd < 0 || Number.isNaN(status)) throw new Error(`no answer: ${JSON.stringify(bytes.toString('latin1'))}`)
  const rest = bytes.subarray(headEnd + 4)
  if (status < 200) return parseAnswer(rest, method)
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  const lengthBytes = Number(headers['content-length'] ?? rest.length)
  if (method !== 'HEAD' && rest.length < lengthBytes) throw new Error(`the answer ended after ${rest.length} bytes`)
  return { status, headers, body: rest.subarray(0, lengthBytes) }
}

/** The status and code of a refusal, such as `400 request-invalid`. @throws unless the answer is a complete problem of RFC 9457 */
export function refusalOf({ status, headers, body }: Answer): string {
  if (headers['content-type']?.split(';')[0] !== 'application/problem+json') {
    throw new Error(`${status} of type ${headers['content-type']}: ${body}`)
  }
  const problem = JSON.parse(body.toString())
  if (problem.status !== status || typeof problem.title !== 'string' || typeof problem.type !== 'string') {
    throw new Error(`not a whole problem: ${body}`)
  }
  return `${status} ${problem.code}`
}
