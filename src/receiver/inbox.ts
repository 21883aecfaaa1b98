/**
 * The contract of where files are delivered to, and of the step that matters most: giving a finished file its name.
 *
 * The promise that every inbox keeps: a file appears whole, verified and durable, under a name that nothing had before; and
 * however often the program is killed in between, it appears exactly once, and is answered for.
 */
import type { Problem } from '../protocol/index.ts'
import type { ReceiptClaims } from '../trust/index.ts'
import type { CommitRecord } from './commit-record.ts'
import type { IncomingFile, PartBody, PartialLayout } from './incoming-file.ts'

/** A file that stands under its final name, durable. */
export interface Published {
  readonly name: string
  /** hex */
  readonly manifestDigest: string
  /** What the receipt says; null where there are no keys to sign it with. */
  readonly receipt: ReceiptClaims | null
}

/** A file stands under its name, but could not be made durable there. Its record stays, and the next try completes it. */
export class NotDurableYet extends Error {
  override readonly name = 'NotDurableYet'
}

export interface Inbox<Body extends PartBody> {
  /** Names this inbox to the portal, so that a restarted receiver gets its own offers again. */
  readonly instanceId: string

  /** How much can still be written. */
  freeBytes(): Promise<number>

  /** Whether `open` has begun this transfer, and a later run would find something of it. */
  hasBegun(transferId: string): Promise<boolean>

  /**
   * Opens what is there of a transfer, or begins it. What an earlier run left counts only once it has been verified again.
   *
   * @throws what `meaningOf` knows; the signal's reason when that aborts
   */
  open(transferId: string, layout: PartialLayout, signal: AbortSignal): Promise<IncomingFile<Body>>

  /**
   * Whether an earlier run has published a transfer, and only the answer to the portal is open, or was lost on the way.
   * Completes what was left of the publishing.
   *
   * @returns null when it was not published; then there is no record any more that could say otherwise later
   * @param signal ends the wait for a person whose leave is needed to look
   * @throws NotDurableYet; what `meaningOf` knows; the signal's reason when it waited
   */
  published(transferId: string, signal: AbortSignal): Promise<Published | null>

  /**
   * Publishes a file. It stands under its name when this resolves; it never takes the place of another one.
   *
   * @param name what `safeName` gave; a number is added where it is taken
   * @param finished resolves when the content is durable and closed. Nothing is published, and no record says so, before that
   * @param signal ends the wait for a person whose leave is needed to write; what has been begun is done all the same
   * @throws Problem `name-refused` when all numbers are taken; NotDurableYet; what `meaningOf` knows, after which the file
   *   has not been published
   */
  commit(
    transferId: string,
    name: string,
    record: Pick<CommitRecord, 'manifestDigest' | 'receipt'>,
    finished: Promise<void>,
    signal: AbortSignal,
  ): Promise<Published>

  /** The portal has answered: a published transfer is only remembered from now on. */
  answered(transferId: string): Promise<void>

  /** Where a published file is to be found, for people. */
  whereIs(name: string): string

  /** The transfers of which something unfinished, or unanswered, lies here. */
  unfinished(): Promise<string[]>

  /** Deletes what there is of a transfer, except a file that has been published. What cannot be deleted now is so later. */
  discard(transferId: string): Promise<void>

  /**
   * What an error of this inbox, or of a file of it, means: the problem that the sender is told; `later` where something is
   * short at the moment and nothing is wrong with the inbox; null where it does not come from the storage, and is a
   * mistake in the program. A problem is itself.
   */
  meaningOf(error: unknown): Problem | 'later' | null
}
