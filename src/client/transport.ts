/**
 * The one thing that differs between Node and a browser: how a request gets to the portal. Everything else of the
 * client stands on this contract.
 */

import type { Problem, ProblemCode } from '../protocol/index.ts'

export interface HttpRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** Path and query, beginning with a slash; added to the portal's address. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** Called as bytes of the body leave this process. */
  readonly onSent?: (byteCount: number) => void
  /** Called when the portal gives a sign of life before its answer, and when the request begins after it had to wait for others. */
  readonly onAlive?: () => void
  /** Is given the way to say that the portal was heard to be busy with this request, by another way. @returns ends that */
  readonly elsewhere?: (alive: () => void) => () => void
  /** The request fails when for so long neither a byte could be sent nor the answer began. */
  readonly stallMs: number
  readonly signal?: AbortSignal
}

/** An answer whose head has arrived. The body must be read to its end or discarded. */
export interface HttpResponse<Body extends AsyncIterable<Uint8Array>> {
  readonly status: number
  /** @returns the field value, null where it is absent */
  header(name: string): string | null
  readonly body: Body
  /** Gives up the rest of the body and its connection. Does nothing once the body has been read. */
  discard(): void
}

export interface Transport<Body extends AsyncIterable<Uint8Array>> {
  /**
   * @throws NoAnswer when no head of an answer arrives; UnsafeConnection when whoever would answer cannot be trusted to
   *   be the portal; the reason of `signal` when that aborts
   */
  request(request: HttpRequest): Promise<HttpResponse<Body>>
  /**
   * Fetches from an address that the portal named. It is told nothing of ours, and follows no redirect.
   *
   * @throws NoAnswer when no head of an answer arrives, or the address is not one to follow; the reason of `signal`
   */
  follow?(link: string, limits: Pick<HttpRequest, 'stallMs' | 'signal'>): Promise<HttpResponse<Body>>
  close(): Promise<void>
}

/**
 * The portal was not asked, because the way there is not safe. Trying again changes nothing; somebody has to. What is
 * under way is not given up for it: the same call goes on with it once the way is safe.
 */
export class UnsafeConnection extends Error {
  override readonly name = 'UnsafeConnection'
  /** `insecure-transport` or `certificate-invalid`. */
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.message, { cause: problem })
    this.problem = problem
  }

  get code(): ProblemCode {
    return this.problem.code
  }
}

/**
 * Nothing, or nothing intelligible, came back: the connection failed, broke or stalled. What the request wanted may
 * or may not have happened.
 */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  /** The same request would fare no better: somebody has to change what stands between here and the portal. */
  readonly isHopeless: boolean

  constructor(message: string, { isHopeless = false, ...options }: ErrorOptions & { isHopeless?: boolean } = {}) {
    super(message, options)
    this.isHopeless = isHopeless
  }
}
