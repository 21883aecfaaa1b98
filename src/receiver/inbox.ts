/**
 * The contract of an inbox, the place where a receiver puts files, and of its most important step: giving a finished file its name.
 *
 * The promise of every inbox: a file appears whole, verified and durable, under a name that was not in use. However often the
 * program is killed on the way, the file appears exactly once, and the portal gets the answer for it.
 */
import type { Problem } from '../protocol/index.ts'
import type { ReceiptClaims } from '../trust/index.ts'
import type { IncomingFile, KeptTraits, PartBody, PartialLayout } from './incoming-file.ts'
import type { Clocks } from './memory.ts'

/** A file that stands under its final name, durable. */
export interface Published {
  readonly name: string
  /** hex */
  readonly manifestDigest: string
  /** The claims of the receipt; null where this account has no keys to sign it with. */
  readonly receipt: ReceiptClaims | null
  /** Whether the portal has confirmed the answer of an earlier run. */
  readonly isAnswered?: true
}

/** A file has its name, but the name could not be made durable. The commit record stays, and the next try completes it. */
export class PublishIncompleteError extends Error {
  override readonly name = 'PublishIncompleteError'
}

export interface Inbox<Body extends PartBody> {
  /** Identifies this inbox to the portal, so that a restarted receiver gets its own offers again. */
  readonly instanceId: string

  /** Whether it unpacks trees. Elsewhere a tree is a file like any other, a tar. */
  readonly unpacksTrees: boolean

  /** Whether a later run continues with the parts that this one has received. */
  readonly keepsParts: boolean

  /** Whether it takes streams that have not ended. */
  readonly takesStreams?: boolean

  /**
   * Deletes unfinished content of transfers that are long over, and records of transfers that are too old to be accepted again.
   * Both clocks have to agree about the age. Called once, before any other method.
   *
   * @returns the time since which all received transfers are remembered (`memory.ts`), in milliseconds
   * @throws what `meaningOf` knows
   */
  tidy(clocks: Clocks): Promise<number>

  /** How many bytes can still be written. */
  freeBytes(): Promise<number>

  /** Whether `open` has begun this transfer, so that a later run would find its partial file. */
  hasBegun(transferId: string): Promise<boolean>

  /**
   * Opens the partial file of a transfer, or begins one. Parts of an earlier run count only after they have been verified again.
   *
   * @param traits the same each time that a transfer is opened. An inbox keeps of them what its storage can
   * @throws what `meaningOf` knows; the signal's reason when that aborts
   */
  open(transferId: string, layout: PartialLayout, signal: AbortSignal, traits?: KeptTraits): Promise<IncomingFile<Body>>

  /**
   * Finds a transfer that an earlier run has published, so that only the answer to the portal is missing or was lost. Completes
   * the publishing if it was interrupted.
   *
   * @returns null when it was not published; then no record of it remains
   * @param signal ends the wait when a person has to grant access to the folder first
   * @throws PublishIncompleteError; what `meaningOf` knows; the signal's reason when it aborts that wait
   */
  published(transferId: string, signal: AbortSignal): Promise<Published | null>

  /**
   * Publishes a file: it has its name when this resolves. It never replaces another file.
   *
   * @param name from `safeName`; a number is added when it is taken
   * @param finished resolves when the content is durable and closed. Nothing is published or recorded before
   * @param signal ends the wait when a person has to grant access first. Publishing that has begun is still completed
   * @throws Problem `name-refused` when all numbers are taken, or the file system takes no form of the name;
   *   PublishIncompleteError; what `meaningOf` knows, and then the file has not been published
   */
  commit(
    transferId: string,
    name: string,
    record: Pick<CommitRecord, 'manifestDigest' | 'receipt' | 'signedBy'>,
    finished: Promise<void>,
    signal: AbortSignal,
  ): Promise<Published>

  /**
   * Called before the answer `received`. From then on a published file stays in any case, because its sender may hear of it. Durable when it
   * resolves. Absent where a published file is never taken back.
   */
  keeps?(transferId: string): Promise<void>

  /** The portal has confirmed the answer. From now on the published transfer is only remembered. */
  answered(transferId: string): Promise<void>

  /** The place of a published file, for people. */
  whereIs(name: string): string

  /** The transfers that have unfinished content here, or an answer that the portal has not confirmed. */
  unfinished(): Promise<string[]>

  /** Deletes everything of a transfer, except a published file. If that fails, a later start does it. */
  discard(transferId: string): Promise<void>

  /**
   * What an error of this inbox, or of one of its files, means: the problem for the sender; `later` when memory or descriptors
   * are short at the moment; null when it does not come from the storage but from a mistake in the program. A problem is
   * returned unchanged.
   */
  meaningOf(error: unknown): Problem | 'later' | null

  /**
   * The reason why the whole inbox cannot take files at the moment, for instance because its folder is gone. Files wait meanwhile.
   * Null when it can be used; then an inbox that was gone has also been opened again.
   *
   * @param error the error that was the reason to look; null when a waiting receiver looks again
   */
  obstacle(error: unknown): Promise<Obstacle | null>
}

/** Why no file can be taken at the moment. */
export interface Obstacle {
  /** The reason, as text. */
  readonly reason: string
  /** Whether fewer files at a time would help, because memory or descriptors are short. */
  readonly isShortage: boolean
}

export interface CommitRecord {
  readonly transferId: string
  readonly finalName: string
  /** hex */
  readonly manifestDigest: string
  /** The claims of the receipt, the same each time it is signed; null where this account has no keys. */
  readonly receipt: ReceiptClaims | null
  /** The fingerprint of the keys with which the sender signed. Only the page records and shows it. */
  readonly signedBy?: string | null
  /** Whether the content gets its name by a rename instead of a link. Then the file was published when its old name is gone. */
  readonly isByRenaming?: boolean
  /** Whether the content is a folder, which gets its name by a rename over an empty folder. */
  readonly isTree?: boolean
  /** In the log of small files: the time of the last modification, as `secondsText`. */
  readonly mtime?: string
  /** In the log of small files: whether the file is a program. */
  readonly isExecutable?: boolean
}

/** The report of a published file. @param name its name in the folder, where the user may have changed it */
export function publishedBy({ finalName, manifestDigest, receipt }: CommitRecord, name: string = finalName): Published {
  return { name, manifestDigest, receipt }
}

/** @throws Error for a value of another form */
export function commitRecordOf(value: unknown): CommitRecord {
  if (typeof value !== 'object' || value === null) throw new Error('not an object')
  const {
    transferId,
    finalName,
    manifestDigest,
    receipt = null,
    isByRenaming,
    isTree,
    mtime,
    isExecutable,
  }: Partial<Record<keyof CommitRecord, unknown>> = value
  if (typeof transferId !== 'string' || typeof finalName !== 'string' || typeof manifestDigest !== 'string') {
    throw new Error('a member is missing')
  }
  if (typeof receipt !== 'object') throw new Error('the receipt is not an object')
  const record = { transferId, finalName, manifestDigest, receipt: receipt as ReceiptClaims | null }
  return {
    ...record,
    ...(isByRenaming === true ? { isByRenaming } : {}),
    ...(isTree === true ? { isTree } : {}),
    ...(typeof mtime === 'string' ? { mtime } : {}),
    ...(isExecutable === true ? { isExecutable } : {}),
  }
}
