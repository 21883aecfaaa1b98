/**
 * The open requests by their token, so that they can be cut when the token becomes invalid: event streams, inboxes, uploads,
 * downloads, waits.
 *
 * A request is noted before its token is looked up in the ledger. So when a token becomes invalid after the look-up, its request is
 * found here. In the other order a request could be missed.
 */
import type { ServerResponse } from 'node:http'

export class OpenRequests {
  readonly #open = new Map<string, Set<ServerResponse>>()

  /** Notes a request until it is over. */
  add(tokenId: string, response: ServerResponse): void {
    const open = this.#open.get(tokenId) ?? new Set()
    this.#open.set(tokenId, open)
    open.add(response)
    response.once('close', () => {
      open.delete(response)
      if (open.size === 0 && this.#open.get(tokenId) === open) this.#open.delete(tokenId)
    })
  }

  /** Cuts the connections of all requests with that token. @returns how many there were */
  cut(tokenId: string): number {
    const open = [...(this.#open.get(tokenId) ?? [])]
    for (const response of open) response.destroy()
    return open.length
  }

  /** Cuts the connections of all requests with any token. @returns how many there were */
  cutAll(): number {
    return [...this.#open.keys()].reduce((count, tokenId) => count + this.cut(tokenId), 0)
  }
}
