/**
 * The requests to one bucket, with a bounded number of connections, time-outs, and retries where they help (`failures.ts`). The SDK's
 * own retries are off.
 *
 * All S3 servers can detect damaged content in one way: by its SHA-256, which is signed with the request. Not all of them verify the
 * newer checksums of the SDK, so those are off unless S3 requires them.
 */
import { createHash } from 'node:crypto'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { homedir } from 'node:os'
import { Readable } from 'node:stream'
import {
  type _Error,
  CopyObjectCommand,
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
import { Semaphore } from '../../../async/index.ts'
import { systemStore } from '../../../client/node-authorities.ts'
import { Problem, timerMs } from '../../../protocol/index.ts'
import type { S3Address } from './address.ts'
import { nameOf, retryPassing, statusOf } from './failures.ts'

export interface RequestOptions {
  /** How long errors that may pass are retried. */
  readonly retryMs: number
  /** How long connecting may take. */
  readonly connectMs: number
  /** A connection without a byte for this time is closed. */
  readonly idleMs: number
  /** How many connections for writes and look-ups. */
  readonly connectionsMax: number
  /** How many connections for reads. A slow reader occupies one for as long as it reads. */
  readonly readsMax: number
  /** Called for every request, to count it. */
  readonly onRequest: (kind: RequestKind) => void
}

export type RequestKind = 'put' | 'get' | 'list' | 'delete'

/** An object in a listing. */
export interface ListedObject {
  /** The key without the prefix of the address. */
  readonly key: string
  readonly modifiedAtMs: number
}

export interface ListQuery {
  readonly prefix: string
  /** Leaves out keys with a slash after the prefix. */
  readonly isFlat?: boolean
  /** Only keys after this one. */
  readonly startAfter?: string | null
  /** The continuation token of the previous page. */
  readonly token?: string | null
  readonly retryMs?: number
}

/** An answer whose body is still arriving. */
export interface ObjectContent {
  /** The caller reads it to the end or destroys it. Otherwise its connection stays occupied. */
  readonly body: Readable
  readonly lengthBytes: number
  readonly wholeBytes: number
}

export interface NewObject {
  readonly key: string
  readonly lengthBytes: number
  /** hex */
  readonly sha256: string
  /** Does not replace an existing object. */
  readonly isConditional: boolean
  /** Called once for each try. */
  readonly content: () => Readable
}

const KEYS_PER_DELETION_MAX = 1000
/** How many deletions run at a time when each object needs a request of its own. */
const DELETIONS_AT_A_TIME = 16
const FREE_CONNECTIONS_MAX = 64
/** Idle connections are closed after this time, before the server closes them unexpectedly. */
const FREE_CONNECTION_MS = 15_000

export class S3Requests {
  readonly #address: S3Address
  readonly #options: RequestOptions
  readonly #client: S3Client
  /** Signs links with the public endpoint. */
  readonly #linkClient: S3Client
  readonly #places: Semaphore
  readonly #readPlaces: Semaphore
  #canDeleteMany = true

  constructor(address: S3Address, options: RequestOptions) {
    this.#address = address
    this.#options = options
    this.#client = clientOf(address, options)
    const { publicEndpoint } = address
    this.#linkClient =
      publicEndpoint === null ? this.#client : clientOf({ ...address, endpoint: publicEndpoint }, options)
    this.#places = new Semaphore(options.connectionsMax)
    this.#readPlaces = new Semaphore(options.readsMax)
  }

  /** @throws the SDK's error when it finds no credentials or no region */
  async requireCredentials(): Promise<void> {
    await this.#client.config.credentials()
    await this.#client.config.region()
  }

  /** @returns whether the object is new; false when a conditional put found an existing one */
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
        // The signer uses this header and does not hash the body itself.
        command.middlewareStack.add(
          withHeader('x-amz-content-sha256', () => sha256),
          { step: 'build' },
        )
        await this.#client.send(command, { abortSignal: abort.signal })
        return true
      } catch (error) {
        // Ends the body, because the answer may have come before its end.
        abort.abort(error)
        if (isConditional && statusOf(error) === 412) return false
        throw error
      } finally {
        body.destroy()
      }
    })
  }

  /** Copies an object within the bucket. @returns false when there is no such object */
  async copy(from: string, to: string): Promise<boolean> {
    const { Bucket, Key } = this.#object(from)
    const source = [Bucket, ...Key.split('/')].map(encodeURIComponent).join('/')
    return this.#send('put', undefined, async () => {
      try {
        await this.#client.send(new CopyObjectCommand({ ...this.#object(to), CopySource: source }))
        return true
      } catch (error) {
        if (nameOf(error) === 'NoSuchKey') return false
        throw error
      }
    })
  }

  /** @returns null when there is no such object */
  async get(key: string, range: { startByte: number; endByte: number } | null, retryMs = this.#options.retryMs) {
    return retryPassing(retryMs, async (): Promise<ObjectContent | null> => {
      const leave = await this.#readPlaces.acquire(AbortSignal.timeout(timerMs(this.#options.retryMs))).catch(tooBusy)
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

  /** Removes objects. Succeeds for missing ones. */
  async delete(keys: readonly string[], retryMs?: number): Promise<void> {
    for (let start = 0; start < keys.length; start += KEYS_PER_DELETION_MAX) {
      const some = keys.slice(start, start + KEYS_PER_DELETION_MAX)
      if (some.length === 1 || !this.#canDeleteMany) await this.#deleteEach(some, retryMs)
      else await this.#deleteMany(some, retryMs)
    }
  }

  /** An address from which anyone can read the object for a while. */
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
    return retryPassing(retryMs, async () => {
      const leave = await this.#places.acquire(AbortSignal.timeout(timerMs(this.#options.retryMs))).catch(tooBusy)
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

  /** Empty content, for a range that begins after the end of an object which is shorter than expected. */
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
        // S3 requires a checksum of this request, and not every server supports the SDK's own kind.
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
    // With the header, Node would still send the body at once, and the SDK would not reuse the connection.
    expectContinueHeader: false,
    requestHandler: {
      httpAgent: new HttpAgent(agentOptions),
      httpsAgent: new HttpsAgent(isSecure(address) ? { ...agentOptions, secureContext: systemStore() } : agentOptions),
      connectionTimeout: connectMs,
      socketTimeout: idleMs,
    },
  }
  if (address.endpoint !== null) config.endpoint = address.endpoint
  if (address.region !== null) config.region = address.region
  standInForHome()
  const client = new S3Client(config)
  // Replaces the SDK's middleware under its name, because other middleware is ordered relative to it.
  const off = { name: 'retryMiddleware', step: 'finalizeRequest', priority: 'high', override: true } as const
  client.middlewareStack.add((next) => next, off)
  return client
}

/** Whether the server has to show a certificate. An organisation's own authority is in the system's store. */
function isSecure({ endpoint }: S3Address): boolean {
  return endpoint === null || new URL(endpoint).protocol === 'https:'
}

/** The conventional home of users without one. */
const NO_HOME = '/nonexistent'

/**
 * Sets a home without files for a user who has none, as in a container with a random uid. The SDK always looks for settings in the
 * user's home, even when the environment has all of them, and fails without a home.
 */
function standInForHome(): void {
  try {
    homedir()
  } catch {
    process.env.HOME = NO_HOME
  }
}

/** The part of the SDK's middleware arguments that is used here. */
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

/** The error of one object in a deletion of many, in the form of an error of a single request. */
function deletionError({ Code = '', Message = '' }: _Error): Error {
  const isPassing = ['InternalError', 'ServiceUnavailable', 'SlowDown'].includes(Code)
  return Object.assign(new Error(Message), { name: Code, $metadata: { httpStatusCode: isPassing ? 503 : 403 } })
}

function tooBusy(cause: unknown): never {
  throw new Problem('unavailable', { detail: 'too many requests to the storage are open' }, { cause })
}
