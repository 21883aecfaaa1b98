/** The possible ends of the first hop, and what the transfers of one file share. */
import type { CallOptions } from '../client/index.ts'
import type { Problem, ProblemJson } from '../protocol/index.ts'
import type { JournalEntry } from './journal.ts'
import type { NotificationLog } from './notification-log.ts'
import type { UploadCuts } from './upload-cuts.ts'

export type End =
  | { readonly end: 'stored' }
  | { readonly end: 'refused'; readonly problem: ProblemJson }
  /** The sender must assume that the portal does not have the file. */
  | { readonly end: 'no-answer'; readonly reason: string }
  /** The portal has lost the transfer several times. */
  | { readonly end: 'lost'; readonly problem: Problem }

/** The end after an error that says nothing about the transfer at the portal. */
export function noAnswer({ message }: Error): End {
  return { end: 'no-answer', reason: message }
}

/** The end of the first hop, and its transfer. */
export type FirstHopEnd = End & { readonly entry: JournalEntry; readonly log: NotificationLog }

/** Repeats a request until it gets an answer. */
export type Retry = <Result>(request: (options: CallOptions) => Promise<Result>) => Promise<Result>

/** Ends when `batchUploads` need not wait for the file any more; null for one that goes in parts. */
export type Expected = Disposable | null

/** State that is shared by the transfers of one file, when one replaces another. */
export interface FileState {
  readonly cuts: UploadCuts
  readonly expected: Expected
}
