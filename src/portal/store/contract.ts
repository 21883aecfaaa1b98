/**
 * Temporary storage: where the portal keeps the parts of transfers. What a part holds is opaque to it.
 *
 * The store is the truth about which parts are held: a part's key carries its number and its digest, so that after
 * any crash what is there can be listed without a database. Every driver passes `test/suites/store.ts`.
 */
import type { Readable } from 'node:stream'
import type { PartSink } from '../../hop/index.ts'

export interface PartKey {
  readonly transferId: string
  readonly partNumber: number
  /** hex; the algorithm is the transfer's */
  readonly digest: string
}

/** The place of a part that is still to come. */
export type PartPlace = Pick<PartKey, 'transferId' | 'partNumber'>

/** A part's bytes on their way out. The reader consumes or destroys the stream, and owns the memory of what it brings. */
export interface PartContent {
  /** Of what the stream brings. */
  readonly lengthBytes: number
  /** Of the whole part as it is stored: a damaged one may be shorter than it was. */
  readonly partBytes: number
  readonly stream: Readable
}

export interface Store {
  /**
   * Opens a place for one part. Its `commit` makes the content durable and visible. Several sinks for one place may be
   * open; each commit is atomic. What is held is never replaced: otherwise a late part could take the place of one
   * that was already answered for.
   *
   * @throws Problem `storage-full` (from `write` and `commit` too) when there is no room, `unavailable` when the system
   *   is overloaded, `part-incomplete` when the transfer was removed meanwhile, `store-failed` otherwise;
   *   `part-conflict` from `commit` when the number is held under another digest
   */
  openPart(place: PartPlace): Promise<PartSink>

  /** The digest under which a part is held, or null. */
  find(transferId: string, partNumber: number): Promise<string | null>

  /**
   * All parts held of a transfer, as they are on record now, not as they are remembered: part number -> digest.
   * Empty for an unknown transfer.
   */
  list(transferId: string): Promise<ReadonlyMap<number, string>>

  /** The content of a part, or of the bytes `startByte` to `endByte` inclusive of it; null when it is not held. */
  read(key: PartKey, range?: { startByte: number; endByte: number }): Promise<PartContent | null>

  /** Removes one part. Removing what is not there succeeds. */
  removePart(key: PartKey): Promise<void>

  /**
   * After this resolves, what `list` said before the call survives the loss of power.
   *
   * @throws Problem `store-failed` when it is not there any more
   */
  seal(transferId: string): Promise<void>

  /** Removes everything of a transfer, partial content too. Removing what is not there succeeds. */
  remove(transferId: string): Promise<void>

  /** Every transfer of which anything is stored, in no particular order. For the sweeper's search for orphans. */
  transferIds(): AsyncIterable<string>

  /** How much more can be stored, or null where the driver cannot know. */
  freeBytes(): Promise<number | null>
}
