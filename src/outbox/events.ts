/** The events of a drop folder, and the ends of its files. */
import type { ProblemJson } from '../protocol/index.ts'
import type { KeptReceipt, SendEvent } from '../sender/index.ts'

/** The end of a file that was put into a drop folder. */
export type WatchedFile = {
  /** Its name in the drop folder. */
  readonly name: string
  /** Where it is now; null when it was deleted, or when it has changed and is sent again. */
  readonly path: string | null
  /** The receipts of those who have it. */
  readonly receipts: readonly KeptReceipt[]
} & (
  | { readonly outcome: 'delivered'; readonly transferId: string }
  /** These receivers do not have it. */
  | {
      readonly outcome: 'failed'
      readonly transferId: string
      readonly failures: readonly { readonly receiver: string; readonly problem: ProblemJson }[]
    }
  /** No receiver has it. `transferId` is null when no transfer was begun. */
  | { readonly outcome: 'refused'; readonly transferId: string | null; readonly problem: ProblemJson }
)

/** A file that the portal has, and its receivers not yet. */
export interface StoredFile {
  readonly name: string
  /** Where it is until its transfer ends. */
  readonly path: string
  readonly outcome: 'stored'
  readonly transferId: string
}

/** In the events of a transfer, `path` is that of the file in the drop folder. */
export type WatchEvent =
  | SendEvent
  /** The folder belongs to this process. `unfinished` files of an earlier run are continued. */
  | { readonly type: 'watching'; readonly folder: string; readonly unfinished: number }
  /** The connection to the portal stands, for the first time or again. */
  | { readonly type: 'connected' }
  /** Something stays in the drop folder, and why. Said once. */
  | { readonly type: 'left-alone'; readonly name: string; readonly reason: string }
  /** A file was written to while it was sent, or later. It is sent again, once nothing writes to it. */
  | {
      readonly type: 'changed'
      readonly name: string
      readonly reason: string
      /** The transfer that has ended with it; null without one. */
      readonly transferId: string | null
    }
  /** Someone has taken a file away while it was sent. What the portal does not have yet is cancelled. */
  | { readonly type: 'vanished'; readonly name: string; readonly transferId: string | null }
  /** A file stays under way when the watch ends, and the next one continues it: no answer of the portal, or none of the receivers. */
  | { readonly type: 'unfinished'; readonly name: string; readonly outcome: 'no-answer' | 'undelivered' }
  /** The folder cannot be used at the moment, for instance because its disk is full. Everything waits, and is tried again. */
  | { readonly type: 'waiting'; readonly reason: string }
  /** The system reports no changes in the folder, so that it is only looked at every `everyMs`. */
  | { readonly type: 'polling'; readonly reason: string; readonly everyMs: number }
  /** The file lies in its place now. */
  | ({ readonly type: 'ended' } & WatchedFile)
