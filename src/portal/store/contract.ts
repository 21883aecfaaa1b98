/**
 * Temporary storage: where the portal keeps the parts of transfers. What a part holds is opaque to it.
 *
 * The store is the truth about which parts are held: a part's key carries its number and its digest, so that after
 * any crash what is there can be listed without a database. Every driver passes `test/suites/store.ts`.
 */
import type { Readable } from 'node:stream'
import type { PartSink } from '../../hop/index.ts'
import type { DigestAlgorithm } from '../../protocol/index.ts'

/**
 * The parts of a transfer that are judged together. A transfer whose parts were all given up goes on with another generation,
 * and one that was given up never comes back: so whoever removes it late, a portal that was paused in the middle above all,
 * cannot hit what came after it.
 */
export interface PartsKey {
  readonly transferId: string
  /** `''` for the first; otherwise 1 to 32 letters (a-z) and digits. */
  readonly generation: string
}

/** The place of a part that is still to come. */
export interface PartPlace extends PartsKey {
  readonly partNumber: number
}

export interface PartKey extends PartPlace {
  /** hex; the algorithm is the transfer's */
  readonly digest: string
}

/** Parts that are held, as the search for orphans finds them. */
export interface HeldParts extends PartsKey {
  /** When the newest of them came, by the store's clock. */
  readonly newestAtMs: number
}

/** A part's bytes on their way out. The reader consumes or destroys the stream, and owns the memory of what it brings. */
export interface PartContent {
  /** Of what the stream brings. */
  readonly lengthBytes: number
  /** Of the whole part as it is stored: a damaged one may be shorter than it was. */
  readonly partBytes: number
  readonly stream: Readable
}

export interface Store {
  readonly traits: {
    /** Whether other processes use it at the same time: then what is there may be theirs, and just coming in. */
    readonly isShared: boolean
  }

  /** To whom the storage belongs, as they have said; null where nobody has claimed it. */
  owner(): Promise<string | null>

  /**
   * Says to whom it belongs, to everybody who uses it, durably.
   *
   * @param isOnlyFirst leaves it to whoever has claimed it before; where that cannot be had at once, the later one may win
   */
  claim(owner: string, { isOnlyFirst }: { isOnlyFirst: boolean }): Promise<void>

  /**
   * Opens a place for one part. Its `commit` makes the content durable and visible. Several sinks for one place may be
   * open; each commit is atomic. What is held is never replaced: otherwise a late part could take the place of one
   * that was already answered for.
   *
   * @throws Problem `storage-full` (from `write` and `commit` too) when there is no room, `unavailable` when the system
   *   is overloaded, `part-incomplete` when the transfer was removed meanwhile, `store-failed` otherwise;
   *   `part-conflict` from `commit` when the number is held under another digest
   * @param digestAlgorithm that of the digest which `commit` will be given, where it is known: a store that has to hash,
   *   too, may be spared that
   */
  openPart(place: PartPlace, digestAlgorithm?: DigestAlgorithm): Promise<PartSink>

  /** The digest under which a part is held, or null. */
  find(place: PartPlace): Promise<string | null>

  /**
   * The same, for whoever is about to put a part there. What another process has put since this one looked may be missed, so that
   * not every part costs a request: what came first counts all the same, and `list` tells it.
   */
  findBeforePut(place: PartPlace): Promise<string | null>

  /**
   * All parts held of one generation, as they are on record now, not as they are remembered: part number -> digest.
   * Empty for an unknown one.
   */
  list(parts: PartsKey): Promise<ReadonlyMap<number, string>>

  /**
   * The content of a part, or of the bytes `startByte` to `endByte` inclusive of it; null when it is not held, and then it is
   * not remembered as held either.
   */
  read(key: PartKey, range?: { startByte: number; endByte: number }): Promise<PartContent | null>

  /**
   * An address from which anybody can fetch a part for a while, without the portal; null where the store has no such thing.
   * Nothing is asked of the storage.
   */
  readonly linkTo: ((key: PartKey, link: { readonly lifetimeMs: number }) => Promise<string>) | null

  /** Removes one part. Removing what is not there succeeds. */
  removePart(key: PartKey): Promise<void>

  /**
   * After this resolves, what `list` said before the call survives the loss of power.
   *
   * @throws Problem `store-failed` when it is not there any more
   */
  seal(parts: PartsKey): Promise<void>

  /** Removes everything of one generation, partial content too. Removing what is not there succeeds. */
  removeParts(parts: PartsKey): Promise<void>

  /** Removes everything of a transfer, of all its generations. Removing what is not there succeeds. */
  remove(transferId: string): Promise<void>

  /** Everything that is stored, in no particular order. For the sweeper's search for orphans. */
  held(): AsyncIterable<HeldParts>

  /** How much more can be stored, or null where the driver cannot know. */
  freeBytes(): Promise<number | null>

  close(): Promise<void>
}
