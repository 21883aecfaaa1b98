/**
 * What a program does with each file in the folder: before the portal gets the answer, or after the file was published.
 *
 * The promise: each is called at least once for each file, however often this program is killed. Before a file gets its name, a durable
 * record says what is to be done with it (`node-handling-records.ts`). After a kill the same may be called again, so it has to be
 * idempotent; the transferId tells a repeated call.
 */
import type { Problem } from '../protocol/index.ts'
import type { Published } from './inbox.ts'
import type { RequestOfFile, ShownTraits } from './traits.ts'

/** A file that was received: complete, verified and durable; and what its sender said about it. */
export interface ReceivedFile extends ShownTraits {
  readonly transferId: string
  readonly from: string
  /** The name that the sender gave. It is not safe to show unescaped, and no path. */
  readonly name: string
  /** The path of the file or folder. Its name differs from `name` when that was taken or cannot be used here: see `isRenamed`. */
  readonly path: string
  readonly isRenamed: boolean
  readonly sizeBytes: number
  /** Whether the file was end-to-end encrypted. */
  readonly isSealed: boolean
  /** The request for files by which a guest sent it. `label` is null where this machine does not know it. */
  readonly request?: RequestOfFile
  /** The fingerprint of the keys with which the sender signed it; null when it signed nothing, or an earlier run verified it. */
  readonly signedBy: string | null
}

/** What a program gets of each file. */
export interface HandledFile extends ReceivedFile {
  /** The receipt that its sender gets; null where this account has no keys to sign one. */
  readonly receipt: string | null
}

/** What is known about a file before it has its name. */
export type HandledAbout = Omit<HandledFile, 'path' | 'isRenamed'>

/**
 * Called once the file is published and durable, before the portal hears that it was received. One call at a time.
 *
 * When it resolves, the answer is `received`; with `later`, none: the file stays in the folder, and this is called again when the portal
 * offers it again, after the length of a lease. When it throws, the file is taken out of the folder again and refused: `exec-failed` with the
 * message of the error, or the Problem that was thrown.
 *
 * @param signal aborts when no answer is expected any more, and when the receiver stops, which then waits for this call. A file for which it
 *   rejects after that is not refused
 */
export type BeforeAnswer = (file: HandledFile, signal: AbortSignal) => Promise<'later' | undefined>

/**
 * Called once the file is published and durable. One call at a time, in the order of publication; what an earlier run has left comes first.
 *
 * @param signal aborts when the receiver stops, which then waits for this call. If it rejects after that, the next run calls it again
 */
export type Handle = (file: HandledFile, signal: AbortSignal) => Promise<void>

/** At least one of them. */
export interface Handlers {
  readonly beforeAnswer: BeforeAnswer | null
  readonly handle: Handle | null
}

/** What one delivery needs of it. */
export interface FileHandling {
  /** Records durably what is to be done with a file. Called when its content is durable, before it gets its name. */
  begin(about: HandledAbout): Promise<void>
  /**
   * Calls what is to be called before the answer of a published file, if that is still to be done, and lets the rest begin.
   *
   * @throws FileRefusedError when the file was taken out of the folder again; HandledLaterError; the signal's reason
   */
  published(about: HandledAbout, published: Published, signal: AbortSignal): Promise<void>
  /** Whether nothing has decided yet that the file stays in the folder. */
  isUndecided(transferId: string): boolean
}

/** What had to be done before the answer has failed, and the file is not in the folder any more. */
export class FileRefusedError extends Error {
  override readonly name = 'FileRefusedError'
  /** For the sender. */
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.message, { cause: problem.cause })
    this.problem = problem
  }
}

/** What has to be done before the answer cannot be done now. The file stays in the folder. */
export class HandledLaterError extends Error {
  override readonly name = 'HandledLaterError'
}
