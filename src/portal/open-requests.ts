/**
 * The requests that are under way, by the token that came with them, so that they can be cut when it dies: event
 * streams, inboxes, uploads, downloads, waits.
 *
 * A request is noted before its token is looked up in the ledger. So one whose token was still valid when it was
 * looked up is found here by whoever is told of its end later; the other order would leave a gap between the two.
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
}
