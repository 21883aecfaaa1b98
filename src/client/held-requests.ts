/**
 * How many requests a browser may have under way that take long. It opens at most six connections to one origin over HTTP/1.1,
 * and lets all further requests wait without saying so, as if the portal did not answer. A page has two streams of events, so that
 * three of the requests that take long leave one connection for everything that is said between them. And as a portal may
 * hold the answer to a receiver for as long as a part is still on its way to it, receiving takes never all three: a
 * page that receives what it is sending itself would wait for itself.
 */

/** Bodies that leave and answers that come: parts, and answers that the portal holds. */
export type Direction = 'out' | 'in'

const HELD_MAX = 3
const HELD_IN_MAX = 2

interface Waiting {
  readonly direction: Direction
  readonly admit: () => void
}

export class HeldRequests {
  readonly #underway: Record<Direction, number> = { out: 0, in: 0 }
  readonly #waiting = new Set<Waiting>()

  /** Whether a request would have to wait for its turn. */
  isFull(direction: Direction): boolean {
    const { out, in: incoming } = this.#underway
    return out + incoming >= HELD_MAX || (direction === 'in' && incoming >= HELD_IN_MAX)
  }

  /**
   * Waits until a request may begin: first come, first served.
   *
   * @returns what has to be called when it is over; a second call does nothing
   * @throws the reason of `signal` when that aborts before
   */
  async begin(direction: Direction, signal?: AbortSignal): Promise<() => void> {
    if (this.isFull(direction)) await this.#turn(direction, signal)
    else this.#underway[direction]++
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#underway[direction]--
      this.#admit()
    }
  }

  #turn(direction: Direction, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiting.delete(waiting)
        reject(signal?.reason)
      }
      const waiting = {
        direction,
        admit: () => {
          signal?.removeEventListener('abort', abort)
          resolve()
        },
      }
      this.#waiting.add(waiting)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  /** Gives free places away at once, so that nobody who comes later takes them. */
  #admit(): void {
    for (const waiting of this.#waiting) {
      if (this.isFull(waiting.direction)) continue
      this.#waiting.delete(waiting)
      this.#underway[waiting.direction]++
      waiting.admit()
    }
  }
}

/** The direction in which a request takes long; null for one that does not. @param preference its `Prefer` (RFC 7240) */
export function heldDirectionOf(method: string, path: string, preference: string | undefined): Direction | null {
  if (method === 'PUT' && /^\/v1\/transfers\/[^/]+\/(?:parts\/|whole$)/.test(path)) return 'out'
  if (method !== 'GET') return null
  return /^\/v1\/inbox\/[^/]+\/parts\//.test(path) || /\bwait=[1-9]/.test(preference ?? '') ? 'in' : null
}
