/**
 * Checks that the portal's copy of a part is intact, by reading and hashing the whole part. The cost is bounded: a part is read once
 * for all requests at the same time, few parts are read at a time, and reading stops when the last request has gone.
 */

import { never, Semaphore } from '../../async/index.ts'
import { digestDriver } from '../../digests/index.ts'
import { isDigestAlgorithm, Problem } from '../../protocol/index.ts'
import type { PortalContext } from '../context.ts'
import type { PartContent, PartKey } from '../store/contract.ts'

/** How many parts are read at the same time. With only one, a slow part would delay all others. */
const READ_AT_A_TIME = 2

interface Underway {
  readonly isSound: Promise<boolean>
  readonly stop: AbortController
  askers: number
}

export class PartVerifier {
  readonly #log: PortalContext['log']
  readonly #read: (key: PartKey) => Promise<PartContent | null>
  readonly #reads = new Semaphore(READ_AT_A_TIME)
  readonly #underway = new Map<string, Underway>()

  /** @param read opens a part; null when it is missing */
  constructor(log: PortalContext['log'], read: (key: PartKey) => Promise<PartContent | null>) {
    this.#log = log
    this.#read = read
  }

  /**
   * Whether a part is intact. Reads it twice before it says no, because the bytes may have been damaged on the way from the storage.
   *
   * @param signal aborts when the request has gone
   * @returns null when the signal aborted first
   * @throws Problem `unavailable` when the storage cannot be read now
   */
  async isSound(digestAlgorithm: string, key: PartKey, signal: AbortSignal = never): Promise<boolean | null> {
    if (signal.aborted) return null
    const one = this.#join(digestAlgorithm, key)
    one.askers += 1
    const gone = Promise.withResolvers<null>()
    const leave = (): void => gone.resolve(null)
    signal.addEventListener('abort', leave, { once: true })
    try {
      return await Promise.race([one.isSound, gone.promise])
    } finally {
      signal.removeEventListener('abort', leave)
      one.askers -= 1
      if (one.askers === 0) one.stop.abort()
    }
  }

  /** The running check of a part, or a new one. */
  #join(digestAlgorithm: string, key: PartKey): Underway {
    const name = `${key.transferId} ${key.generation} ${key.partNumber} ${key.digest}`
    const known = this.#underway.get(name)
    if (known !== undefined && !known.stop.signal.aborted) return known
    const stop = new AbortController()
    const one = { isSound: this.#look(digestAlgorithm, key, stop.signal), stop, askers: 0 }
    this.#underway.set(name, one)
    const forget = (): void => {
      if (this.#underway.get(name) === one) this.#underway.delete(name)
    }
    // Waiting requests get the failure. When all have gone, it is ignored here.
    one.isSound.then(forget, forget)
    return one
  }

  async #look(digestAlgorithm: string, key: PartKey, stop: AbortSignal): Promise<boolean> {
    const leave = await this.#reads.acquire(stop)
    try {
      return (
        (await this.#looksSound(digestAlgorithm, key, stop)) || (await this.#looksSound(digestAlgorithm, key, stop))
      )
    } finally {
      leave()
    }
  }

  async #looksSound(digestAlgorithm: string, key: PartKey, stop: AbortSignal): Promise<boolean> {
    if (!isDigestAlgorithm(digestAlgorithm)) return false
    stop.throwIfAborted()
    const content = await this.#read(key)
    if (content === null) return false
    const end = (): void => void content.stream.destroy()
    stop.addEventListener('abort', end, { once: true })
    const hasher = digestDriver(digestAlgorithm).create()
    try {
      for await (const bytes of content.stream) {
        stop.throwIfAborted()
        hasher.update(bytes)
      }
    } catch (error) {
      stop.throwIfAborted()
      this.#log.error({ err: error, ...key }, 'a part could not be read to its end')
      if (error instanceof Problem) throw new Problem('unavailable', {}, { cause: error })
      return false
    } finally {
      stop.removeEventListener('abort', end)
    }
    // After an abort the stream has ended early, so the digest would be wrong.
    stop.throwIfAborted()
    return hasher.digest() === key.digest
  }
}
