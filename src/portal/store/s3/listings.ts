/**
 * A cache of the held parts, so that not every look-up costs a request. Other portals put and remove parts, too, so entries are trusted
 * only for a moment. That a part is missing is trusted only by a caller that is about to put it.
 */
import type { PartKey, PartPlace, PartsKey } from '../contract.ts'

/** How long an entry is trusted, because another portal may remove the part. */
const BELIEVED_MS = 10_000
/** How many parts are cached, about 20 MiB. */
const PARTS_MAX = 100_000
/** How often at most a look-up also reads the following parts, because that is a large answer. */
const READ_AHEAD_EVERY_MS = 1_000

interface Known {
  readonly digest: string
  readonly knownAtMs: number
}

interface Listing {
  readonly parts: Map<number, Known>
  /** Whether the last look-up found its part: then the following parts may exist, too. */
  isWorthReadingAhead: boolean
  readAheadAtMs: number
  /** Whether all parts that were held at some time are cached. */
  isListed: boolean
}

export class Listings {
  /** transferId -> generation -> listing, the least recently used first. */
  readonly #transfers = new Map<string, Map<string, Listing>>()
  #partCount = 0

  /** The digest of a part with a trusted entry. */
  find(place: PartPlace): string | null {
    const known = this.#known(place)
    return known !== null && performance.now() - known.knownAtMs < BELIEVED_MS ? known.digest : null
  }

  /** The digest of a part with any entry. It may have been removed since. */
  recall(place: PartPlace): string | null {
    return this.#known(place)?.digest ?? null
  }

  /** Whether a whole generation was listed once. A part that is not cached can then only have been put later, by another portal. */
  isListed({ transferId, generation }: PartsKey): boolean {
    return this.#transfers.get(transferId)?.get(generation)?.isListed === true
  }

  add({ partNumber, digest, ...parts }: PartKey): void {
    this.#set(this.#listing(parts), partNumber, digest)
  }

  /** Called before a look-up of one part. @returns whether to read the following parts, too */
  startLookUp(place: PartsKey): boolean {
    const listing = this.#listing(place)
    const nowMs = performance.now()
    if (!listing.isWorthReadingAhead || nowMs - listing.readAheadAtMs < READ_AHEAD_EVERY_MS) return false
    listing.readAheadAtMs = nowMs
    return true
  }

  /** Called with the result of a look-up, perhaps with following parts. */
  endLookUp({ partNumber, ...parts }: PartPlace, found: ReadonlyMap<number, string>): void {
    const listing = this.#listing(parts)
    listing.isWorthReadingAhead = found.has(partNumber)
    if (!found.has(partNumber)) this.#unset(listing, partNumber)
    for (const [number, digest] of found) this.#set(listing, number, digest)
  }

  /** Called with all held parts of a generation at some time after `startedAtMs`. Parts that this process has put since may be missing. */
  replace(parts: PartsKey, held: ReadonlyMap<number, string>, startedAtMs: number): void {
    const listing = this.#listing(parts)
    for (const [partNumber, { knownAtMs }] of listing.parts) {
      if (knownAtMs < startedAtMs) this.#unset(listing, partNumber)
    }
    listing.isListed = true
    for (const [partNumber, digest] of held) this.#set(listing, partNumber, digest)
  }

  remove({ transferId, generation, partNumber, digest }: PartKey): void {
    const listing = this.#transfers.get(transferId)?.get(generation)
    if (listing?.parts.get(partNumber)?.digest === digest) this.#unset(listing, partNumber)
  }

  removeParts({ transferId, generation }: PartsKey): void {
    const generations = this.#transfers.get(transferId)
    this.#partCount -= generations?.get(generation)?.parts.size ?? 0
    generations?.delete(generation)
    if (generations?.size === 0) this.#transfers.delete(transferId)
  }

  removeTransfer(transferId: string): void {
    for (const { parts } of this.#transfers.get(transferId)?.values() ?? []) this.#partCount -= parts.size
    this.#transfers.delete(transferId)
  }

  #known({ transferId, generation, partNumber }: PartPlace): Known | null {
    return this.#transfers.get(transferId)?.get(generation)?.parts.get(partNumber) ?? null
  }

  #listing({ transferId, generation }: PartsKey): Listing {
    const generations = this.#transfers.get(transferId) ?? new Map<string, Listing>()
    // Moved to the end, because the map's order is that of last use.
    this.#transfers.delete(transferId)
    this.#transfers.set(transferId, generations)
    const listing = generations.get(generation) ?? {
      parts: new Map<number, Known>(),
      isWorthReadingAhead: true,
      readAheadAtMs: Number.NEGATIVE_INFINITY,
      isListed: false,
    }
    generations.set(generation, listing)
    this.#makeRoom(transferId)
    return listing
  }

  #makeRoom(transferId: string): void {
    for (const oldest of this.#transfers.keys()) {
      if ((this.#partCount < PARTS_MAX && this.#transfers.size < PARTS_MAX) || oldest === transferId) return
      this.removeTransfer(oldest)
    }
  }

  #set(listing: Listing, partNumber: number, digest: string): void {
    if (!listing.parts.has(partNumber)) {
      if (this.#partCount >= PARTS_MAX) {
        // A single transfer with more parts than the cache holds is not cached as a whole.
        listing.isListed = false
        return
      }
      this.#partCount++
    }
    listing.parts.set(partNumber, { digest, knownAtMs: performance.now() })
  }

  #unset({ parts }: Listing, partNumber: number): void {
    if (parts.delete(partNumber)) this.#partCount--
  }
}
