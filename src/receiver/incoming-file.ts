/**
 * The contract of a file on its way in. Node has one over a partial file in the folder, and one in memory for small files; a
 * browser has its own.
 */
import type { Floor } from '../hop/index.ts'
import type { DigestAlgorithm, PartLayout } from '../protocol/index.ts'
import type { PartPosition } from '../trust/index.ts'

/** What the content of a part comes as. Each runtime has its own. */
export type PartBody = AsyncIterable<Uint8Array>

/** What the parts belong to, in the sizes of the file itself; what is held of another layout is of no use. */
export interface PartialLayout extends PartLayout {
  readonly digestAlgorithm: DigestAlgorithm
}

/** By what a part was sealed, and where it belongs. */
export interface PartSeal {
  readonly partKey: Uint8Array
  readonly position: PartPosition
}

/** One part as it comes: what it has to be, and its bytes. */
export interface ArrivingPart<Body extends PartBody> {
  readonly partNumber: number
  /** Of what travels; the tag of a sealed part counts. */
  readonly lengthBytes: number
  readonly digestAlgorithm: DigestAlgorithm
  /** Of what travels, in hex. */
  readonly digest: string
  /** Null where what travels is what the file holds. */
  readonly seal: PartSeal | null
  /** All of it at once where it came with the offer. */
  readonly body: Body | Uint8Array
}

export interface TakeLimits {
  /** A body that brings nothing for so long has stalled: the part is given up. */
  readonly idleMs: number
  /** A body that is slower than this is given up, too. */
  readonly floor?: Floor
  readonly signal: AbortSignal
}

/**
 * A file on its way in, of whatever size. Parts may be taken in several at a time, each number at most once at a time.
 */
export interface IncomingFile<Body extends PartBody> {
  /** The parts that are verified: part number -> digest in hex of what travelled. */
  readonly held: ReadonlyMap<number, string>
  /** Of what the file holds. */
  readonly heldBytes: number
  /** The digests of what the file holds, in the order of the parts. All of them must be there. */
  contentDigests(): Iterable<string>
  /**
   * Takes one part in: reads the body to its end, compares length and digest, opens the seal, and writes what the file is to
   * hold. Only then does the part count; where this throws, nothing of it does. Has to look after the body from the
   * moment of the call, as that may break while nobody reads it.
   *
   * A part that counts is still there after a crash, or it does not count any more: whoever opens the file again verifies
   * what it finds.
   *
   * @throws Problem `part-incomplete` when the body ends early, brings too much, breaks or stalls, and when the signal
   *   aborts; `digest-mismatching-value` when the bytes are not those of the digest; `seal-broken`; what `Inbox.meaningOf`
   *   knows
   */
  takePart(part: ArrivingPart<Body>, limits: TakeLimits): Promise<void>
  /** Deletes all parts: none of them counts any more. */
  startOver(): Promise<void>
  /** Makes the whole content durable, in its exact length, and ends the writing. */
  finish(): Promise<void>
  /** Ends the writing, and keeps what is held. May be called again. */
  close(): Promise<void>
}
