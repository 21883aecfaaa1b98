/**
 * A real portal whose store makes links, and a real HTTP server in the role of the storage: it serves the stored parts, or fails as
 * the test demands.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'
import { PortalClient } from '../../src/client/index.ts'
import { nodeTransport } from '../../src/client/node-transport.ts'
import { invite } from '../../src/portal/accounts/accounts.ts'
import { OpenRequests } from '../../src/portal/accounts/open-requests.ts'
import { Deliveries } from '../../src/portal/deliveries/deliveries.ts'
import { buildServer } from '../../src/portal/http/server.ts'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import type { PortalOptions } from '../../src/portal/options.ts'
import type { PartKey, Store } from '../../src/portal/store/contract.ts'
import { ResumableUploads } from '../../src/portal/uploads/resumable/index.ts'
import { Transfers } from '../../src/portal/uploads/transfers.ts'
import { newToken, newTransferId } from '../../src/protocol/index.ts'
import { aContext } from '../portal/context.ts'
import { memoryStore } from '../suites/memory-store.ts'
import type { Content } from './folders.ts'

/** The behaviour for one request to the storage. A number is a status with a useless body. */
export type LinkScript =
  | 'serve'
  | 'corrupt'
  | 'short'
  | 'long'
  | 'cut'
  | 'silent'
  | 'stalled'
  | 'dripping'
  | 'elsewhere'
  | number

export class LinkingStorage {
  /** The heads of all requests, in order. */
  readonly requests: { readonly path: string; readonly headers: IncomingHttpHeaders }[] = []
  readonly lifetimesMs: number[] = []
  onGet: (key: PartKey) => LinkScript = () => 'serve'
  /** The origin of links; by default the server itself. */
  origin = ''
  /** Whether making links fails. */
  isBroken = false
  readonly #keys = new Map<string, PartKey>()
  readonly #store = memoryStore()
  readonly #server = createServer(({ url: path = '', headers }, response) => {
    this.requests.push({ path, headers })
    this.#serve(path, response).catch((error: unknown) => response.destroy(error as Error))
  })

  static async start(): Promise<LinkingStorage> {
    const storage = new LinkingStorage()
    storage.#server.listen(0, '127.0.0.1')
    await once(storage.#server, 'listening')
    storage.origin = `http://127.0.0.1:${(storage.#server.address() as AddressInfo).port}`
    onTestFinished(() => storage.stop())
    return storage
  }

  /** Stops the server. */
  stop(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  get store(): Store {
    const linkTo: NonNullable<Store['linkTo']> = async (key, { lifetimeMs }) => {
      if (this.isBroken) throw new Error('the storage says no')
      this.lifetimesMs.push(lifetimeMs)
      const path = `/bucket/${randomUUID()}?signature=${randomUUID()}`
      this.#keys.set(path, key)
      return this.origin + path
    }
    return { ...this.#store, linkTo }
  }

  async #serve(path: string, response: ServerResponse): Promise<void> {
    const key = this.#keys.get(path)
    const content = key === undefined ? null : await this.#store.read(key)
    if (key === undefined || content === null) {
      response.writeHead(404).end()
      return
    }
    const bytes = await buffer(content.stream)
    const head = { 'content-length': bytes.length }
    const script = this.onGet(key)
    switch (script) {
      case 'serve':
        response.writeHead(200, head).end(bytes)
        break
      case 'corrupt':
        response.writeHead(200, head).end(Buffer.from(bytes).reverse())
        break
      case 'short':
        response.writeHead(200).end(bytes.subarray(0, -1))
        break
      case 'long':
        response.writeHead(200).end(Buffer.concat([bytes, bytes]))
        break
      case 'cut':
        response.writeHead(200, head).write(bytes.subarray(0, -1), () => response.destroy())
        break
      case 'silent':
        break
      case 'stalled':
        response.writeHead(200, head).write(bytes.subarray(0, 100))
        break
      case 'dripping': {
        response.writeHead(200, head)
        const dripping = setInterval(() => response.write('drop'), 500)
        response.once('close', () => clearInterval(dripping))
        break
      }
      case 'elsewhere':
        response.writeHead(302, { location: `${this.origin}${path}&again` }).end()
        break
      default:
        response.writeHead(script, { 'content-type': 'application/xml' }).end('<Error/>')
    }
  }
}

export class LinkingPortal {
  readonly url: string
  readonly #tokens: Readonly<Record<string, string>>

  private constructor(url: string, tokens: Record<string, string>) {
    this.url = url
    this.#tokens = tokens
  }

  /** Starts a portal with the accounts alice and bob. */
  static async start(store: Store, options: Partial<PortalOptions> = {}): Promise<LinkingPortal> {
    const ledger = await sqliteLedger({ path: ':memory:' })
    const context = aContext({ ledger, store, options: { redirectDownloads: true, freeBytesMin: 0, ...options } })
    const stop = new AbortController()
    const [transfers, deliveries, openRequests] = [new Transfers(context), new Deliveries(context), new OpenRequests()]
    const uploads = new ResumableUploads(context, transfers)
    const services = { context, transfers, uploads, deliveries, openRequests, stop: stop.signal }
    const app = await buildServer(services, null)
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    onTestFinished(async () => {
      stop.abort()
      app.server.closeAllConnections()
      await app.close()
      await ledger.close()
    })
    const tokens = { alice: newToken(), bob: newToken() }
    const transport = nodeTransport(url)
    for (const [name, token] of Object.entries(tokens)) {
      await new PortalClient(transport, null).join({ invite: await invite(ledger, name, 60_000), token })
    }
    await transport.close()
    return new LinkingPortal(url, tokens)
  }

  client(name = 'bob'): PortalClient<Readable> {
    const client = new PortalClient(nodeTransport(this.url), this.token(name))
    onTestFinished(() => client.close())
    return client
  }

  token(name: string): string {
    return this.#tokens[name] ?? ''
  }

  /** Stores a file from alice that waits for bob. @returns its id */
  async store({ layout, parts, manifestDigest }: Content): Promise<string> {
    const alice = this.client('alice')
    const transferId = newTransferId()
    await alice.announce(transferId, { to: ['bob'], metadata: { name: 'file.bin' }, ...layout })
    for (const [index, { bytes, digest }] of parts.entries()) {
      await alice.putPart(transferId, index + 1, { bytes, digest, digestAlgorithm: 'sha-256' })
    }
    await alice.complete(transferId, { attempt: 1, manifestDigest })
    return transferId
  }
}
