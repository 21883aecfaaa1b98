/**
 * Temporary storage for the parts of transfers. Their content is opaque to it.
 *
 * The store alone decides which parts are held: a part's key has its number and its digest, so that after any crash the held
 * parts can be listed without a database. Every driver passes `test/suites/store.ts`.
 *
 * A storage that is away (the server does not answer, the folder was moved) never counts as empty: the call throws Problem
 * `unavailable`.
 */
import type { Readable } from 'node:stream'
import type { PartSink } from '../../parts/index.ts'
import type { DigestAlgorithm } from '../../protocol/index.ts'

/**
 * One generation of a transfer's parts. When all parts of a transfer are given up, it continues with a new generation, and the old one
 * is never used again. So a portal that removes the old one late, for instance because it was paused, cannot remove newer parts.
 */
export interface PartsKey {
  readonly transferId: string
  /** `''` for the first one; otherwise 1 to 32 letters (a-z) and digits. */
  readonly generation: string
}

/** The place of a part whose digest is not known. */
export interface PartPlace extends PartsKey {
  readonly partNumber: number
}

export interface PartKey extends PartPlace {
  /** hex; the algorithm is the transfer's */
  readonly digest: string
}

/** A generation of held parts, as the search for orphans finds it. */
export interface HeldGeneration extends PartsKey {
  /** When the newest part came, by the store's clock. */
  readonly newestAtMs: number
}

/** The content of a part as a stream. The caller reads it to the end or destroys it, and owns the memory of its buffers. */
export interface PartContent {
  /** The length of the stream. */
  readonly lengthBytes: number
  /** The length of the whole stored part. A damaged part may be shorter than it was. */
  readonly partBytes: number
  readonly stream: Readable
}

/** A sink of the store. Exactly one of `commit`, `commitAs` and `discard` is called, once, as the last call. */
export interface StoreSink extends PartSink {
  /**
   * Like `commit`, under another place of the same transfer: for content that turned out to be only the beginning of the part.
   */
  commitAs(place: PartPlace, digest: string): Promise<void>
}

export interface Store {
  readonly traits: {
    /** Whether other processes use the store at the same time. Then parts may be theirs, and just arriving. */
    readonly isShared: boolean
  }

  /** The recorded owner of the storage; null before the first `claim`. */
  owner(): Promise<string | null>

  /**
   * Records the owner of the storage durably.
   *
   * @param isOnlyFirst keeps an owner that is already recorded. Where the storage cannot do that atomically, a later claim may win
   */
  claim(owner: string, { isOnlyFirst }: { isOnlyFirst: boolean }): Promise<void>

  /**
   * Opens a sink for one part. Its `commit` makes the content durable and visible. Several sinks for one place may be open; each
   * commit is atomic. A held part is never replaced: otherwise a late part could replace one that was already acknowledged.
   *
   * @throws Problem `storage-full` (from `write` and `commit`, too) when there is no room, `unavailable` when the system is
   *   overloaded, `part-incomplete` when the transfer was removed meanwhile, `store-failed` otherwise; `part-conflict` from
   *   `commit` when the number is held with another digest
   * @param digestAlgorithm the algorithm of the digest for `commit`, if known. It may save a store from hashing the content again
   */
  openPart(place: PartPlace, digestAlgorithm?: DigestAlgorithm): Promise<StoreSink>

  /** The digest with which a part is held, or null. */
  find(place: PartPlace): Promise<string | null>

  /**
   * The same, for a caller that is about to put a part. To save a request per part, it may miss a part that another process has put
   * recently. The first part still counts, and `list` shows it.
   */
  findBeforePut(place: PartPlace): Promise<string | null>

  /**
   * Puts a held part into another generation of its transfer, as atomically and as durably as the `commit` of a new sink. Succeeds when
   * it is held there already. What it leaves in the old generation is removed with that.
   *
   * @throws Problem `part-conflict` when the number is held there with another digest; `part-incomplete` when the part is not held;
   *   like `commit` otherwise
   */
  movePart(key: PartKey, generation: string): Promise<void>

  /**
   * All held parts of one generation, read from the storage and not from a cache: part number -> digest. Empty for an unknown
   * generation.
   */
  list(parts: PartsKey): Promise<ReadonlyMap<number, string>>

  /**
   * The content of a part, or its bytes from `startByte` to `endByte` inclusive. Null when it is not held; then caches do not list it
   * any more either.
   */
  read(key: PartKey, range?: { startByte: number; endByte: number }): Promise<PartContent | null>

  /**
   * Makes an address from which anyone can fetch a part for a while without the portal; null where the store cannot do that. Makes no
   * request to the storage.
   */
  readonly linkTo: ((key: PartKey, link: { readonly lifetimeMs: number }) => Promise<string>) | null

  /** Removes one part. Succeeds when it does not exist. */
  removePart(key: PartKey): Promise<void>

  /**
   * When this resolves, the parts that `list` gave before the call survive the loss of power.
   *
   * @throws Problem `store-failed` when they do not exist any more
   */
  seal(parts: PartsKey): Promise<void>

  /** Removes everything of one generation, including partial content. Succeeds when nothing exists. */
  removeParts(parts: PartsKey): Promise<void>

  /** Removes all generations of a transfer. Succeeds when nothing exists. */
  remove(transferId: string): Promise<void>

  /** All held generations, in no particular order, for the sweeper's search for orphans. */
  held(): AsyncIterable<HeldGeneration>

  /** How many bytes can still be stored; null where the driver cannot know. */
  freeBytes(): Promise<number | null>

  close(): Promise<void>
}
