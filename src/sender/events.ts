/** The events of `send`, and its result. */
import type { Notification, PartRange, Problem, ProblemJson, TreeSize } from '../protocol/index.ts'

/** A notification from the portal's log, or a refusal that the portal did not log. */
export type SenderNotification =
  | Notification
  | {
      /** The portal refused before it logged anything, so there is no `eventId`. */
      readonly notification: 'refused'
      readonly transferId: string
      readonly at: string
      readonly problem: ProblemJson
    }

export type SendEvent =
  /**
   * The sending of a file starts, or its transfer is resumed (`isResumed`). When the resumed transfer turns out to be over, a
   * second `started` follows for the same path, with a new transferId.
   */
  | {
      readonly type: 'started'
      readonly transferId: string
      readonly path: string
      readonly sizeBytes: number
      /** False for a stream: then `sizeBytes` is 0, and `sized` follows once its end was read. Left out when the size is known. */
      readonly isSizeKnown?: boolean
      readonly to: readonly string[]
      /** Whether the file is end-to-end encrypted. */
      readonly isSealed: boolean
      readonly isResumed: boolean
      /** What is in the folder that is sent; null for a file. `sizeBytes` is then the length of its tar. */
      readonly tree: TreeSize | null
    }
  /**
   * Progress of the first hop. The portal holds and has verified `acknowledgedBytes`; `sentBytes` have left this process;
   * `hashedBytes` have been read. Each counts the whole file, including the work of an earlier run.
   */
  | {
      readonly type: 'uploading'
      readonly transferId: string
      readonly hashedBytes: number
      readonly sentBytes: number
      readonly acknowledgedBytes: number
      /** Only of folders: how many files the portal holds, and the path of what is being read. */
      readonly files?: { readonly done: number; readonly path: string }
    }
  /** The end of a stream was read. */
  | { readonly type: 'sized'; readonly transferId: string; readonly sizeBytes: number }
  /**
   * A proxy on the way ends uploads of this size. The transfer has been cancelled, and another one with parts of `partSizeBytes`
   * follows, which begins with a second `started`.
   */
  | {
      readonly type: 'smaller-parts'
      readonly transferId: string
      readonly reason: string
      readonly partSizeBytes: number
    }
  /** The portal asks for parts again. */
  | {
      readonly type: 'repeating'
      readonly transferId: string
      readonly wanted: readonly PartRange[]
      readonly problem: ProblemJson
    }
  /** A `delivered` has a `receipt` only if that was verified. With an invalid receipt the event is a `failed`. */
  | { readonly type: 'notification'; readonly notification: SenderNotification }
  /** The file of a link is stored, so the link works now, until `expiresAt`. */
  | { readonly type: 'link'; readonly transferId: string; readonly link: string; readonly expiresAt: string }
  /** A valid receipt could not be kept on this machine. It can be fetched again. */
  | {
      readonly type: 'receipt-unkept'
      readonly transferId: string
      readonly receiver: string
      readonly reason: string
    }
  /** Progress of the second hop: how much the receiver has fetched and verified. */
  | {
      readonly type: 'fetched'
      readonly transferId: string
      readonly receiver: string
      readonly fetchedBytes: number
      /** Only of folders: how many files the receiver has, and the path of what follows. */
      readonly files?: { readonly done: number; readonly path: string }
    }
  /** Something in a folder cannot be sent, and is left out. `path` begins with the name of the folder. */
  | { readonly type: 'left-out'; readonly transferId: null; readonly path: string; readonly reason: string }
  /** The clocks of this machine and of the portal differ: `clock-off`, with `aheadMs`. */
  | { readonly type: 'clock-off'; readonly transferId: null; readonly problem: ProblemJson }
  /** A proxy holds event streams back, so the sender asks the portal again and again instead. */
  | { readonly type: 'held-back'; readonly transferId: null; readonly reason: string }
  /** The portal does not answer. The sender assumes that it does not have the file, and tries again after the pause. */
  | { readonly type: 'silence'; readonly transferId: string | null; readonly reason: string; readonly pauseMs: number }

/** The result of sending one file. `transferId` is null when no transfer was begun. */
export type SendOutcome = SentFile & {
  /** The link by which others receive the file, where one was asked for and the file is stored. */
  readonly link?: string
}

type SentFile =
  | ({ readonly path: string; readonly transferId: string } & (
      | { readonly outcome: 'delivered' }
      /** Stored, and the caller did not want to wait for the receivers. */
      | { readonly outcome: 'stored' }
      /** Stored, but the delivery to these receivers failed. */
      | { readonly outcome: 'failed'; readonly failures: readonly { receiver: string; problem: ProblemJson }[] }
      /** Stored, but these receivers had not answered when the waiting time ended. */
      | { readonly outcome: 'undelivered'; readonly waitingFor: readonly string[] }
    ))
  | ({ readonly path: string; readonly transferId: string | null } & (
      | { readonly outcome: 'refused'; readonly problem: ProblemJson }
      /**
       * The caller must assume that the portal does not have the file. With the `problem` `transfer-lost` the portal had it and has
       * lost it, because it was restored from a backup. With `stream-broken` the input has to come again from its beginning.
       */
      | { readonly outcome: 'no-answer'; readonly reason: string; readonly problem?: ProblemJson }
    ))

/** The outcome of a transfer that the portal has lost. */
export function lostOutcome(problem: Problem): { outcome: 'no-answer'; reason: string; problem: ProblemJson } {
  return { outcome: 'no-answer', reason: problem.message, problem: problem.toJSON() }
}
