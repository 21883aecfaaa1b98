/**
 * The contract for sending a request, with one implementation for Node and one for browsers. The rest of the client is the
 * same in both.
 */
import type { Problem, ProblemCode } from '../protocol/index.ts'

export interface HttpRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** Path and query, beginning with a slash; added to the portal's address. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** Whether the answer is large. If it then comes in reused memory, its reader releases the buffers that it has read (`src/buffers/`). */
  readonly isBulk?: boolean
  /** How long the part is at most that it asks for. A part may be fetched in ranges. */
  readonly partBytesMax?: number
  /** Called as bytes of the body leave this process. */
  readonly onSent?: (byteCount: number) => void
  /** Called when the portal gives a sign of life before its answer, and when the request begins after a wait in the queue. */
  readonly onAlive?: () => void
  /** Subscribes to signs of life that come by another way: it calls `alive` for each. @returns the function that unsubscribes */
  readonly elsewhere?: (alive: () => void) => () => void
  /** The request fails when for this time no byte was sent and no answer began. */
  readonly stallTimeoutMs: number
  readonly signal?: AbortSignal
}

/** The message for a connection that ends without an answer and without an error. */
export const closedText = 'the connection was closed before an answer came'

/** An answer whose head has arrived. The body must be read to its end or discarded. */
export interface HttpResponse<Body extends AsyncIterable<Uint8Array>> {
  readonly status: number
  /** @returns the field value, null where it is absent */
  header(name: string): string | null
  readonly body: Body
  /** Discards the rest of the body and closes its connection. Does nothing once the body has been read. */
  discard(): void
}

/** Bounds of a request to a storage. */
export interface LinkLimits extends Pick<HttpRequest, 'stallTimeoutMs' | 'signal'> {
  readonly range?: string
}

/** What may be under way at once where the rate is limited. */
export interface RateBounds {
  /** How many connections may carry parts of a file. */
  readonly connectionsMax: number
  /** How many offers may be open. The system takes each from the line when it comes. */
  readonly offersMax: number
  /** How many bytes of content open offers may bring. The receiver asks for the content of the others. */
  readonly contentBytesMax: number
  /** How many files may be uploaded in parts: each needs a speed that portals accept. */
  readonly uploadsMax: number
}

export interface Transport<Body extends AsyncIterable<Uint8Array>> {
  /** Absent where the rate is not limited. */
  readonly rateBounds?: RateBounds
  /**
   * @throws NoResponseError when no head of an answer arrives; UnusableConnectionError when the peer cannot be trusted to
   *   be the portal; the reason of `signal` when that aborts
   */
  request(request: HttpRequest): Promise<HttpResponse<Body>>
  /**
   * Fetches from an address that the portal gave. It sends no token and no cookie there, and follows no redirect.
   *
   * @param limits `range` asks for a range of the content (RFC 9110 section 14.2)
   * @throws NoResponseError when no head of an answer arrives, or when the address is not safe; the reason of `signal`
   */
  follow?(link: string, limits: LinkLimits): Promise<HttpResponse<Body>>
  close(): Promise<void>
}

/**
 * The client sent no request, because the connection to the portal is not safe, or a proxy refuses it. A retry does not help: a person
 * has to change the address, the certificate or the proxy. Transfers stay as they are, and the same call continues them afterwards.
 */
export class UnusableConnectionError extends Error {
  override readonly name = 'UnusableConnectionError'
  /** `insecure-transport`, `certificate-invalid` or `proxy-refused`. */
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.message, { cause: problem })
    this.problem = problem
  }

  get code(): ProblemCode {
    return this.problem.code
  }
}

interface NoResponseErrorOptions extends ErrorOptions {
  readonly isPermanent?: boolean
  readonly isCut?: boolean
}

/**
 * No valid answer came: the connection failed, broke or stalled. The portal may or may not have carried out the request.
 */
export class NoResponseError extends Error {
  override readonly name = 'NoResponseError'
  /** Retries fail, too: a person has to change a proxy between the client and the portal. */
  readonly isPermanent: boolean
  /** The peer ended the request: it closed the connection, or a proxy answered instead of the portal. */
  readonly isCut: boolean

  constructor(message: string, { isPermanent = false, isCut = false, ...options }: NoResponseErrorOptions = {}) {
    super(message, options)
    this.isPermanent = isPermanent
    this.isCut = isCut
  }
}
