/**
 * The contract of a file that is being received. Node has one implementation over a partial file in the folder and one in memory
 * for small files; browsers have their own.
 */
import type { MinThroughput } from '../parts/index.ts'
import type { DigestAlgorithm, FileTraits, PartLayout } from '../protocol/index.ts'
import type { PartSeal } from '../trust/index.ts'
import type { RenamedEntry } from './tree-names.ts'

/** The type of a part's content. Each runtime has its own. */
export type PartBody = AsyncIterable<Uint8Array>

/** The layout of the parts, in the sizes of the file itself. Parts of another layout cannot be used. */
export interface PartialLayout extends PartLayout {
  readonly digestAlgorithm: DigestAlgorithm
  /** False for a stream that has not ended: then `sizeBytes` is the most that its parts can have. */
  readonly isSizeKnown?: false
}

/** The properties of a file besides its name and content. */
export interface KeptTraits extends FileTraits {
  /** Whether files get the times that their sender says. */
  readonly keepsTimes: boolean
}

/** Nothing is known about the file. */
export const noTraits: KeptTraits = {
  mediaType: null,
  mtimeNs: null,
  isExecutable: false,
  tree: null,
  keepsTimes: true,
}

/** One part as it arrives: its expected properties, and its bytes. */
export interface ArrivingPart<Body extends PartBody> {
  readonly partNumber: number
  /** The length of the part as it travels, with the tag of a sealed part. */
  readonly lengthBytes: number
  readonly digestAlgorithm: DigestAlgorithm
  /** The digest of the part as it travels, in hex. */
  readonly digest: string
  /** Null where the transfer is not sealed. */
  readonly seal: PartSeal | null
  /** An array where the content came with the offer. Then `digest` was taken from it. */
  readonly body: Body | Uint8Array
}

export interface ReceiveLimits {
  /** The part fails when the body brings no byte for this time. */
  readonly idleMs: number
  /** The part also fails when the body is slower than this. */
  readonly minThroughput?: MinThroughput
  readonly signal: AbortSignal
}

/** How far a tree is unpacked. */
export interface TreeProgress {
  readonly fileCount: number
  /** The size of the files, without the overhead of the tar. */
  readonly contentBytes: number
  /** The path of the file that came last, as its sender wrote it; null before the first one. Not to be shown unescaped. */
  readonly path: string | null
}

/** Symbolic links of a tree that are not made, because the file system has none. */
export interface LinksLeftOut {
  readonly linkCount: number
  /** The first 100 of them, as their sender wrote them. Not to be shown unescaped. */
  readonly paths: readonly string[]
}

export interface IncomingTree {
  readonly progress: TreeProgress
  /** The entries that were written under other names than their own, since the last call. */
  takeRenamed(): readonly RenamedEntry[]
  /** Known once the tree is finished. */
  readonly linksLeftOut: LinksLeftOut
  /** Whether a part would have to wait too long for the parts before it, so that it should not be fetched yet. */
  isTooEarly(partNumber: number): boolean
}

/**
 * A file that is being received. Several parts may be received at the same time, but each number only once at a time.
 */
export interface IncomingFile<Body extends PartBody> {
  /** Bytes that the rest of it still takes on the disk, where that is not what is missing of its content. */
  readonly neededBytes?: number
  /** For a tree that is unpacked as it arrives. */
  readonly tree?: IncomingTree
  /** The verified parts: part number -> digest in hex of the part as it travelled. */
  readonly held: ReadonlyMap<number, string>
  /** How many bytes of the file are verified. */
  readonly heldBytes: number
  /** The digests of the opened parts, in the order of their numbers. All parts must be held. */
  contentDigests(): Iterable<string>
  /**
   * Receives one part: reads the body to its end, compares length and digest, opens the seal, and writes the content. The part
   * counts when this resolves, and not at all when it throws. It listens for errors of the body from the moment of the call,
   * because the body may break before it is read.
   *
   * After a crash the next run verifies the parts again that it finds, so a lost part does not count.
   *
   * @throws Problem `part-incomplete` when the body ends early, brings too much, breaks or stalls, and when the signal
   *   aborts; `digest-mismatching-value` when the bytes are not those of the digest; `seal-broken`; what `Inbox.meaningOf`
   *   knows
   */
  receivePart(part: ArrivingPart<Body>, limits: ReceiveLimits): Promise<void>
  /** The size of a stream is known from now on. Absent where an inbox takes no streams before their end. */
  sized?(sizeBytes: number): Promise<void>
  /** Deletes all parts. None of them counts any more. */
  startOver(): Promise<void>
  /** Makes the whole content durable, in its exact length and with its traits, and ends the writing. */
  finish(): Promise<void>
  /** Ends the writing and keeps the held parts. May be called again. */
  close(): Promise<void>
}
