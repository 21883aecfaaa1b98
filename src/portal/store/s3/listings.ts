/**
 * What this process knows of the parts that are held, so that finding one does not always mean to ask. Other portals put parts
 * and remove them, too: what is remembered is believed for a moment only. That something is *not* there is believed by nobody but
 * whoever puts it there.
 */
import type { PartKey, PartPlace, PartsKey } from '../contract.ts'

/** What was found is believed for so long: another portal may have removed it since. */
const BELIEVED_MS = 10_000
/** Parts that are remembered, about 20 MiB. */
const PARTS_MAX = 100_000
/** What stands behind a part in a listing is read along with it this often at most: it is a large answer. */
const READ_AHEAD_EVERY_MS = 1_000

interface Known {
  readonly digest: string
  readonly knownAtMs: number
}

interface Listing {
  readonly parts: Map<number, Known>
  /** Whether the last part that was looked up was there: then those behind it may be, too. */
  isWorthReadingAhead: boolean
  readAheadAtMs: number
  /** Whether all that was held at some time was seen, and is remembered. */
  isListed: boolean
}

export class Listings {
  /** transferId -> generation -> listing, those first that nobody has asked for the longest time. */
  readonly #transfers = new Map<string, Map<string, Listing>>()
  #partCount = 0

  /** The digest of a part that was held a moment ago. */
  find(place: PartPlace): string | null {
    const known = this.#known(place)
    return known !== null && performance.now() - known.knownAtMs < BELIEVED_MS ? known.digest : null
  }

  /** The digest of a part that was held once, and may not be any more. */
  recall(place: PartPlace): string | null {
    return this.#known(place)?.digest ?? null
  }

  /** Whether everything of a generation was seen once, so that what is not remembered came later, from elsewhere, if at all. */
  isListed({ transferId, generation }: PartsKey): boolean {
    return this.#transfers.get(transferId)?.get(generation)?.isListed === true
  }

  add({ partNumber, digest, ...parts }: PartKey): void {
    this.#set(this.#listing(parts), partNumber, digest)
  }

  /** A look-up of one part is about to happen. @returns whether to read ahead */
  startLookUp(place: PartsKey): boolean {
    const listing = this.#listing(place)
    const nowMs = performance.now()
    if (!listing.isWorthReadingAhead || nowMs - listing.readAheadAtMs < READ_AHEAD_EVERY_MS) return false
    listing.readAheadAtMs = nowMs
    return true
  }

  /** What a look-up of one part has found, perhaps with others that stand behind it. */
  endLookUp({ partNumber, ...parts }: PartPlace, found: ReadonlyMap<number, string>): void {
    const listing = this.#listing(parts)
    listing.isWorthReadingAhead = found.has(partNumber)
    if (!found.has(partNumber)) this.#unset(listing, partNumber)
    for (const [number, digest] of found) this.#set(listing, number, digest)
  }

  /** All that was held of a generation at some time after `startedAtMs`. What this process has put since then it may not show. */
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
    // Moved to the end: the map's order is that of last use.
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
        // A single transfer of more parts than that is not remembered as a whole.
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
