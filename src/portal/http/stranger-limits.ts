/**
 * Limits for strangers: clients without a token. It bounds their open requests, by address and in total. Their answers are small or
 * shared, so this also bounds memory. Accounts are bounded by `RequestLimits`.
 */
import type { ServerResponse } from 'node:http'
import { Problem } from '../../protocol/index.ts'
import type { PortalOptions } from '../options.ts'
import { exemptAddresses, networkOf } from './limits.ts'

/**
 * Not counted. Load balancers use the first two, and must not take a portal that strangers keep busy for a dead one. Senders and
 * receivers use the third before all other requests. The answers are tiny.
 */
const UNCOUNTED_ROUTES: ReadonlySet<string | undefined> = new Set(['/healthz', '/readyz', '/v1/limits'])

export class StrangerLimits {
  readonly #options: PortalOptions
  readonly #isExempt: (address: string) => boolean
  readonly #underWay = new Map<string, number>()
  #count = 0

  constructor(options: PortalOptions) {
    this.#options = options
    this.#isExempt = exemptAddresses(options)
  }

  /**
   * Counts a request without a token until its answer has ended.
   *
   * @throws Problem `rate-limited` when its address has too many open requests, `unavailable` when all addresses together do
   */
  admit(address: string, route: string | undefined, response: ServerResponse): void {
    if (UNCOUNTED_ROUTES.has(route)) return
    const network = networkOf(address)
    const count = this.#underWay.get(network) ?? 0
    if (count >= this.#options.addressStrangerRequestsMax && !this.#isExempt(address)) {
      throw new Problem('rate-limited', { detail: 'this address has too many open requests' })
    }
    if (this.#count >= this.#options.strangerRequestsMax) {
      throw new Problem('unavailable', { detail: 'too many requests without a token are open' })
    }
    this.#count++
    this.#underWay.set(network, count + 1)
    response.once('close', () => {
      this.#count--
      const left = (this.#underWay.get(network) ?? 1) - 1
      if (left > 0) this.#underWay.set(network, left)
      else this.#underWay.delete(network)
    })
  }
}
