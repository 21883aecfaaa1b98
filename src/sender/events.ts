/** What a caller of `send` is told while it runs, and what it gets in the end. */
import type { Notification, PartRange, ProblemJson } from '../protocol/index.ts'

/** A notification as the sender had it: from the portal's log, or an answer that never got into a log. */
export type SenderNotification =
  | Notification
  | {
      /** The portal refused before it recorded anything, so there is no `eventId`. */
      readonly notification: 'refused'
      readonly transferId: string
      readonly at: string
      readonly problem: ProblemJson
    }

export type SendEvent =
  /**
   * A file is about to be sent, or its transfer to be gone on with (`isResumed`). When that turns out to be over, a
   * second `started` follows for the same path, with a new transferId.
   */
  | {
      readonly type: 'started'
      readonly transferId: string
      readonly path: string
      readonly sizeBytes: number
      readonly to: readonly string[]
      /** False where everybody on the way can read it. */
      readonly isSealed: boolean
      readonly isResumed: boolean
    }
  /**
   * The first hop. `acknowledgedBytes` are held by the portal, verified; `sentBytes` have left this process;
   * `hashedBytes` have been read. Each counts the whole file, what an earlier run did included.
   */
  | {
      readonly type: 'uploading'
      readonly transferId: string
      readonly hashedBytes: number
      readonly sentBytes: number
      readonly acknowledgedBytes: number
    }
  /** The portal asks for parts again. */
  | {
      readonly type: 'repeating'
      readonly transferId: string
      readonly wanted: readonly PartRange[]
      readonly problem: ProblemJson
    }
  /** `delivered` has a `receipt` only where it has been verified; one that proves nothing is told as `failed`. */
  | { readonly type: 'notification'; readonly notification: SenderNotification }
  /** A receipt is valid, but could not be kept on this machine. It can be fetched again. */
  | {
      readonly type: 'receipt-unkept'
      readonly transferId: string
      readonly receiver: string
      readonly reason: string
    }
  /** The second hop: what the receiver has fetched and verified. */
  | { readonly type: 'fetched'; readonly transferId: string; readonly receiver: string; readonly fetchedBytes: number }
  /** No answer; the sender assumes that the portal does not have it, and tries again after a pause. */
  | { readonly type: 'silence'; readonly transferId: string | null; readonly reason: string; readonly pauseMs: number }

/** How the sending of one file ended. `transferId` is null where no transfer was begun. */
export type SendOutcome =
  | ({ readonly path: string; readonly transferId: string } & (
      | { readonly outcome: 'delivered' }
      /** Stored; `--no-wait` asked for no more. */
      | { readonly outcome: 'stored' }
      /** Stored, but these receivers did not take it. */
      | { readonly outcome: 'failed'; readonly failures: readonly { receiver: string; problem: ProblemJson }[] }
      /** Stored, but these receivers had not answered when the time to wait ran out. */
      | { readonly outcome: 'undelivered'; readonly waitingFor: readonly string[] }
    ))
  | ({ readonly path: string; readonly transferId: string | null } & (
      | { readonly outcome: 'refused'; readonly problem: ProblemJson }
      /** The sender must assume that the portal does not have it. */
      | { readonly outcome: 'no-answer'; readonly reason: string }
    ))
