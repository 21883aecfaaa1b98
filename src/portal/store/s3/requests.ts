/**
 * The requests that the store makes of one bucket. Each has a place among a bounded number of connections, time-outs, and is tried
 * again where that helps (`failures.ts`); the SDK's own retries are off.
 *
 * S3 servers agree on one way to find out that content was damaged on its way: its SHA-256, which is signed with the request.
 * The newer checksums of the SDK are not verified by all, so they are off where S3 does not ask for them.
 */
import { createHash } from 'node:crypto'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { Readable } from 'node:stream'
import {
  type _Error,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { Places } from '../../../hop/index.ts'
import { Problem } from '../../../protocol/index.ts'
import type { S3Address } from './address.ts'
import { nameOf, statusOf, withPatience } from './failures.ts'

export interface RequestOptions {
  /** How long what may pass is tried again. */
  readonly retryMs: number
  /** For a connection to come about. */
  readonly connectMs: number
  /** A connection on which nothing moves for so long is given up. */
  readonly idleMs: number
  /** Connections at a time for what is written and looked up. */
  readonly connectionsMax: number
  /** Connections at a time for what is read. Its reader may be slow, and keeps one for as long as it reads. */
  readonly readsMax: number
  /** Is told of every request, for whoever counts them. */
  readonly onRequest: (kind: RequestKind) => void
}

export type RequestKind = 'put' | 'get' | 'list' | 'delete'

/** An object as listings show it. */
export interface ListedObject {
  /** Without the prefix of the address. */
  readonly key: string
  readonly modifiedAtMs: number
}

export interface ListQuery {
  readonly prefix: string
  /** Leaves out what has a slash after the prefix. */
  readonly isFlat?: boolean
  /** Only keys behind this one. */
  readonly startAfter?: string | null
  /** Where the page before ended, by its own words. */
  readonly token?: string | null
  readonly retryMs?: number
}

/** An answer that is still coming in. */
export interface ObjectContent {
  /** Has to be read to its end or destroyed, lest its connection stay taken. */
  readonly body: Readable
  readonly lengthBytes: number
  readonly wholeBytes: number
}

export interface NewObject {
  readonly key: string
  readonly lengthBytes: number
  /** hex */
  readonly sha256: string
  /** Leaves an object alone that is there already. */
  readonly isConditional: boolean
  /** Is asked once for each try. */
  readonly content: () => Readable
}

const KEYS_PER_DELETION_MAX = 1000
/** Deletions at a time, where each object needs a request of its own. */
const DELETIONS_AT_A_TIME = 16
const FREE_CONNECTIONS_MAX = 64
/** Servers close a connection that lies idle; whoever closes it first is not surprised by that. */
const FREE_CONNECTION_MS = 15_000

export class S3Requests {
  readonly #address: S3Address
  readonly #options: RequestOptions
  readonly #client: S3Client
  /** Signs links, under the address at which others reach the endpoint. */
  readonly #linkClient: S3Client
  readonly #places: Places
  readonly #readPlaces: Places
  #canDeleteMany = true

  constructor(address: S3Address, options: RequestOptions) {
    this.#address = address
    this.#options = options
    this.#client = clientOf(address, options)
    const { publicEndpoint } = address
    this.#linkClient =
      publicEndpoint === null ? this.#client : clientOf({ ...address, endpoint: publicEndpoint }, options)
    this.#places = new Places(options.connectionsMax)
    this.#readPlaces = new Places(options.readsMax)
  }

  /** @throws what the SDK throws when it finds no credentials or no region */
  async requireCredentials(): Promise<void> {
    await this.#client.config.credentials()
    await this.#client.config.region()
  }

  /** @returns whether the object is new; false where a conditional request found it there */
  async put({ key, lengthBytes, sha256, isConditional, content }: NewObject, retryMs?: number): Promise<boolean> {
    return this.#send('put', retryMs, async () => {
      const body = content()
      const abort = new AbortController()
      // The SDK does not notice when a body breaks.
      body.once('error', (error) => abort.abort(error))
      try {
        const command = new PutObjectCommand({
          ...this.#object(key),
          Body: body,
          ContentLength: lengthBytes,
          ...(isConditional && { IfNoneMatch: '*' }),
        })
        // The signer takes what stands there, and does not hash the body itself.
        command.middlewareStack.add(
          withHeader('x-amz-content-sha256', () => sha256),
          { step: 'build' },
        )
        await this.#client.send(command, { abortSignal: abort.signal })
        return true
      } catch (error) {
        // The answer may have come before the end of the body, which nobody wants any more.
        abort.abort(error)
        if (isConditional && statusOf(error) === 412) return false
        throw error
      } finally {
        body.destroy()
      }
    })
  }

  /** @returns null when there is no such object */
  async get(key: string, range: { startByte: number; endByte: number } | null, retryMs = this.#options.retryMs) {
    return withPatience({ retryMs }, async (): Promise<ObjectContent | null> => {
      const leave = await this.#readPlaces.take(AbortSignal.timeout(this.#options.retryMs)).catch(tooBusy)
      let isOpen = false
      try {
        const content = await this.#get(key, range)
        isOpen = true
        content.body.once('close', leave)
        return content
      } catch (error) {
        if (nameOf(error) === 'NoSuchKey') return null
        if (nameOf(error) === 'InvalidRange') return await this.#nothingOf(key)
        throw error
      } finally {
        if (!isOpen) leave()
      }
    })
  }

  /** A page of a listing, in the order of the keys. */
  async list({ prefix, isFlat = false, startAfter = null, token = null, retryMs }: ListQuery) {
    const { bucket, prefix: root } = this.#address
    const answer = await this.#send('list', retryMs, () =>
      this.#client.send(
        new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: root + prefix,
          ...(isFlat && { Delimiter: '/' }),
          ...(startAfter !== null && { StartAfter: root + startAfter }),
          ...(token !== null && { ContinuationToken: token }),
        }),
      ),
    )
    const objects: ListedObject[] = (answer.Contents ?? []).map(({ Key = '', LastModified }) => ({
      key: Key.slice(root.length),
      modifiedAtMs: LastModified?.getTime() ?? 0,
    }))
    return { objects, nextToken: answer.IsTruncated === true ? (answer.NextContinuationToken ?? null) : null }
  }

  /** All objects under a prefix, page by page. */
  async *listAll(query: Omit<ListQuery, 'startAfter' | 'token'>): AsyncGenerator<ListedObject[]> {
    let token: string | null = null
    do {
      const { objects, nextToken } = await this.list({ ...query, token })
      yield objects
      token = nextToken
    } while (token !== null)
  }

  /** Removing what is not there succeeds. */
  async delete(keys: readonly string[], retryMs?: number): Promise<void> {
    for (let start = 0; start < keys.length; start += KEYS_PER_DELETION_MAX) {
      const some = keys.slice(start, start + KEYS_PER_DELETION_MAX)
      if (some.length === 1 || !this.#canDeleteMany) await this.#deleteEach(some, retryMs)
      else await this.#deleteMany(some, retryMs)
    }
  }

  /** An address under which anybody can read the object for a while. */
  linkTo(key: string, lifetimeMs: number): Promise<string> {
    const expiresIn = Math.max(1, Math.floor(lifetimeMs / 1000))
    return getSignedUrl(this.#linkClient, new GetObjectCommand(this.#object(key)), { expiresIn })
  }

  close(): void {
    this.#client.destroy()
    this.#linkClient.destroy()
  }

  #object(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#address.bucket, Key: this.#address.prefix + key }
  }

  #send<Result>(kind: RequestKind, retryMs = this.#options.retryMs, act: () => Promise<Result>): Promise<Result> {
    return withPatience({ retryMs }, async () => {
      const leave = await this.#places.take(AbortSignal.timeout(this.#options.retryMs)).catch(tooBusy)
      try {
        this.#options.onRequest(kind)
        return await act()
      } finally {
        leave()
      }
    })
  }

  async #get(key: string, range: { startByte: number; endByte: number } | null): Promise<ObjectContent> {
    this.#options.onRequest('get')
    const answer = await this.#client.send(
      new GetObjectCommand({
        ...this.#object(key),
        ...(range !== null && { Range: `bytes=${range.startByte}-${range.endByte}` }),
      }),
    )
    const body = answer.Body
    if (!(body instanceof Readable)) throw new Error('the SDK brought no stream')
    const lengthBytes = answer.ContentLength ?? 0
    const wholeBytes = answer.ContentRange?.replace(/^.*\//, '')
    return { body, lengthBytes, wholeBytes: wholeBytes === undefined ? lengthBytes : Number(wholeBytes) }
  }

  /** An object that is shorter than its reader thinks. */
  async #nothingOf(key: string): Promise<ObjectContent | null> {
    this.#options.onRequest('get')
    const { ContentLength } = await this.#client.send(new HeadObjectCommand(this.#object(key)))
    return { body: Readable.from([]), lengthBytes: 0, wholeBytes: ContentLength ?? 0 }
  }

  async #deleteMany(keys: readonly string[], retryMs?: number): Promise<void> {
    let left = keys
    try {
      await this.#send('delete', retryMs, async () => {
        const Objects = left.map((key) => ({ Key: this.#object(key).Key }))
        const command = new DeleteObjectsCommand({ Bucket: this.#address.bucket, Delete: { Objects, Quiet: true } })
        // S3 wants this request to prove what it says, and not every server knows the SDK's own way.
        command.middlewareStack.add(withHeader('content-md5', md5Of), { step: 'build' })
        const { Errors = [] } = await this.#client.send(command)
        const [first] = Errors.filter(({ Code }) => Code !== 'NoSuchKey')
        if (first === undefined) return
        left = Errors.map(({ Key = '' }) => Key.slice(this.#address.prefix.length))
        throw deletionError(first)
      })
    } catch (problem) {
      const cause = problem instanceof Problem ? problem.cause : problem
      if (!['NotImplemented', 'MethodNotAllowed'].includes(nameOf(cause))) throw problem
      this.#canDeleteMany = false
      await this.#deleteEach(left, retryMs)
    }
  }

  async #deleteEach(keys: readonly string[], retryMs?: number): Promise<void> {
    const left = [...keys]
    const work = async (): Promise<void> => {
      for (let key = left.pop(); key !== undefined; key = left.pop()) {
        const command = new DeleteObjectCommand(this.#object(key))
        await this.#send('delete', retryMs, () => this.#client.send(command))
      }
    }
    await Promise.all(Array.from({ length: Math.min(DELETIONS_AT_A_TIME, keys.length) }, work))
  }
}

function clientOf(address: S3Address, { connectMs, idleMs }: RequestOptions): S3Client {
  const agentOptions = { keepAlive: true, maxFreeSockets: FREE_CONNECTIONS_MAX, timeout: FREE_CONNECTION_MS }
  const config: S3ClientConfig = {
    forcePathStyle: address.isPathStyle,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Node sends the body at once all the same, and the SDK would not keep the connection.
    expectContinueHeader: false,
    requestHandler: {
      httpAgent: new HttpAgent(agentOptions),
      httpsAgent: new HttpsAgent(agentOptions),
      connectionTimeout: connectMs,
      socketTimeout: idleMs,
    },
  }
  if (address.endpoint !== null) config.endpoint = address.endpoint
  if (address.region !== null) config.region = address.region
  const client = new S3Client(config)
  // By that name, since others of the SDK ask to stand behind it.
  const off = { name: 'retryMiddleware', step: 'finalizeRequest', priority: 'high', override: true } as const
  client.middlewareStack.add((next) => next, off)
  return client
}

/** What the middleware of the SDK passes on, as far as it matters here. */
interface Building {
  readonly request: unknown
}

function withHeader(name: string, fieldOf: (body: unknown) => string) {
  return <Args extends Building, Output>(next: (args: Args) => Promise<Output>) =>
    (args: Args): Promise<Output> => {
      const request = args.request as { headers: Record<string, string>; body?: unknown }
      request.headers[name] = fieldOf(request.body)
      return next(args)
    }
}

function md5Of(body: unknown): string {
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) throw new Error('a request to be hashed is no text')
  return createHash('md5').update(body).digest('base64')
}

/** An error of one object of many, as if it had been asked for alone. */
function deletionError({ Code = '', Message = '' }: _Error): Error {
  const isPassing = ['InternalError', 'ServiceUnavailable', 'SlowDown'].includes(Code)
  return Object.assign(new Error(Message), { name: Code, $metadata: { httpStatusCode: isPassing ? 503 : 403 } })
}

function tooBusy(cause: unknown): never {
  throw new Problem('unavailable', { detail: 'too many requests to the storage are under way' }, { cause })
}
