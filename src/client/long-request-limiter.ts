/**
 * Limits how many long requests a page has under way. A browser opens at most six connections to one origin over HTTP/1.1 and queues
 * further requests silently, which looks like a portal that does not answer. A page has two event streams, so three long requests leave
 * one connection for short ones. A portal may hold the answer to a receiver until a part has arrived, so receiving takes two of the
 * three at most: otherwise a page that receives its own file would wait for itself.
 */
import { acquireAll, type Release, Semaphore } from '../async/index.ts'

/** The direction of the long body: `out` for parts that are sent, `in` for parts that come and for answers that the portal holds. */
export type Direction = 'out' | 'in'

const LONG_MAX = 3
const LONG_IN_MAX = 2

export class LongRequestLimiter {
  readonly #all = new Semaphore(LONG_MAX)
  readonly #in = new Semaphore(LONG_IN_MAX)

  /** Whether a request would have to wait for its turn. */
  isFull(direction: Direction): boolean {
    return this.#all.isFull || (direction === 'in' && this.#in.isFull)
  }

  /**
   * Waits until a request may begin. Requests begin in the order of the calls.
   *
   * @returns the function to call when the request is over; a second call does nothing
   * @throws the reason of `signal` when that aborts first
   */
  begin(direction: Direction, signal?: AbortSignal): Promise<Release> {
    return acquireAll(direction === 'in' ? [this.#in, this.#all] : [this.#all], signal)
  }
}

/** The direction in which a request takes long; null for one that does not. @param preference its `Prefer` (RFC 7240) */
export function directionOfLongRequest(method: string, path: string, preference: string | undefined): Direction | null {
  if (method === 'PUT' && /^\/v1\/transfers\/[^/]+\/(?:parts\/|whole$)/.test(path)) return 'out'
  if (method === 'POST' && path === '/v1/transfers/batch') return 'out'
  // Held answers of the inbox and the events replace a stream, so they do not count.
  if (method !== 'GET' || /^\/v1\/(?:inbox|events)(?:\?|$)/.test(path)) return null
  return /^\/v1\/inbox\/[^/]+\/parts\//.test(path) || /\bwait=[1-9]/.test(preference ?? '') ? 'in' : null
}
