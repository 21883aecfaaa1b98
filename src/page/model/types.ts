/** What the views see of the page's state, and what they can ask for. Everything that changes is a signal. */
import type { ReadonlySignal } from '@preact/signals'
import type { Operations as OperationsReport, ProblemJson } from '../../protocol/index.ts'
import type { Contact } from '../../trust/index.ts'
import type { Picture } from './hops.ts'

/** How far the page has come. */
export type Stage =
  | { readonly stage: 'starting' }
  /** This browser, or this way of reaching the portal, cannot do it. */
  | { readonly stage: 'unable'; readonly reason: string; readonly advice: string }
  /** Another tab works. */
  | { readonly stage: 'elsewhere' }
  /** Nobody has joined in this browser. */
  | { readonly stage: 'stranger'; readonly joining: Joining }
  | { readonly stage: 'member'; readonly member: Member }

/** Whoever opens an invite. */
export interface Joining {
  /** Null where the page was opened without one. */
  readonly invite: ReadonlySignal<string | null>
  /** Who this browser is already, and may not be any more; null for nobody. */
  readonly replaces: string | null
  /** Stays who this browser is. */
  leave(): void
  readonly isUnderway: ReadonlySignal<boolean>
  readonly problem: ReadonlySignal<ProblemJson | null>
  /** @returns false where the text has no invite in it */
  useLink(text: string): boolean
  join(): Promise<void>
}

export type Connection = 'connecting' | 'connected' | 'lost'

/** Who has joined in this browser. */
export interface Member {
  readonly account: string
  readonly fingerprint: string
  readonly portalUrl: string
  readonly connection: ReadonlySignal<Connection>
  /** Why nothing goes on any more: the token is not valid, say. Null while it does. */
  readonly trouble: ReadonlySignal<ProblemJson | null>
  readonly outgoing: OutgoingFiles
  readonly incoming: IncomingFiles
  readonly history: History
  readonly people: People
  /** Null for all but the portal's operators. */
  readonly operations: ReadonlySignal<Operations | null>
}

/** What is sent in this tab. */
export interface OutgoingFiles {
  readonly files: ReadonlySignal<readonly Outgoing[]>
  /** What was begun before this tab was loaded, and can be gone on with once the same file has been chosen again. */
  readonly unfinished: ReadonlySignal<readonly Unfinished[]>
  readonly isSealedOnly: ReadonlySignal<boolean>
  send(files: readonly NamedFile[], to: readonly string[], options: { isSealed: boolean }): void
}

/** A file, and what it is to be called: in a folder, by the way to it. */
export interface NamedFile {
  readonly name: string
  readonly file: File
}

export interface Outgoing {
  readonly key: number
  readonly name: string
  readonly sizeBytes: number
  readonly to: readonly string[]
  readonly isSealed: boolean
  readonly transferId: ReadonlySignal<string | null>
  readonly picture: ReadonlySignal<Picture>
  readonly progress: ReadonlySignal<OutgoingProgress>
  pause(): void
  goOn(): void
  cancel(): void
  /** Whether the file is at hand: not, when an earlier tab sent it. */
  readonly canSendAgain: boolean
  /** Sends it once more, as a new transfer, to those who do not have it. */
  sendAgain(): void
  /** Takes it from the list, once it is over. */
  dismiss(): void
}

export type OutgoingProgress =
  | { readonly phase: 'queued' }
  /** Reading what the portal has already, after a pause or in a new tab. */
  | { readonly phase: 'reading'; readonly readBytes: number }
  | {
      readonly phase: 'sending'
      readonly acknowledgedBytes: number
      /** On their way, and not acknowledged yet. */
      readonly underwayBytes: number
      readonly bytesPerSecond: number | null
      readonly leftMs: number | null
    }
  | { readonly phase: 'paused'; readonly acknowledgedBytes: number }
  /** The portal does not answer; it is tried again. */
  | { readonly phase: 'silent'; readonly reason: string }
  /** The portal has it; the receivers do not yet, or not all of them. */
  | { readonly phase: 'stored'; readonly waitingFor: readonly string[]; readonly failures: readonly Failure[] }
  | { readonly phase: 'ended'; readonly failures: readonly Failure[]; readonly proven: readonly string[] }
  | { readonly phase: 'refused'; readonly problem: ProblemJson }

export interface Failure {
  readonly receiver: string
  readonly problem: ProblemJson
}

export interface Unfinished {
  readonly transferId: string
  readonly name: string
  readonly sizeBytes: number
  readonly to: readonly string[]
  readonly createdAt: string
  /** Goes on with the same file, chosen again. @returns why not, in plain words; null where it does */
  goOn(file: File): string | null
  /** Gives the transfer up; the portal deletes what it has of it. */
  forget(): Promise<void>
}

/** What comes in. */
export interface IncomingFiles {
  /** Newest first. */
  readonly files: ReadonlySignal<readonly Incoming[]>
  readonly isAutomatic: ReadonlySignal<boolean>
  setAutomatic(isAutomatic: boolean): void
  /** The name of the chosen folder; null: downloads of the browser. */
  readonly folder: ReadonlySignal<string | null>
  /** Why nothing gets into that folder just now: the browser has to be asked again, or it is gone. Null while it does. */
  readonly lapse: ReadonlySignal<'permission' | 'missing' | null>
  readonly canChooseFolder: boolean
  chooseFolder(): Promise<void>
  forgetFolder(): Promise<void>
  acceptAll(): void
}

export interface Incoming {
  readonly transferId: string
  readonly from: string
  readonly name: ReadonlySignal<string>
  readonly sizeBytes: ReadonlySignal<number>
  /** Null where that is not known any more. */
  readonly isSealed: boolean | null
  readonly picture: ReadonlySignal<Picture>
  readonly progress: ReadonlySignal<IncomingProgress>
  accept(): void
  decline(reason: string): void
  /** What kept this browser from saving or removing it, in plain words; null while nothing did. */
  readonly trouble: ReadonlySignal<string | null>
  /** Hands a file that is kept in this browser to its downloads. */
  save(): Promise<void>
  /** Removes it from this browser. */
  remove(): Promise<void>
  dismiss(): void
}

export type IncomingProgress =
  /** The person is asked. */
  | { readonly phase: 'asking' }
  | {
      readonly phase: 'fetching'
      readonly heldBytes: number
      readonly bytesPerSecond: number | null
      readonly leftMs: number | null
    }
  | { readonly phase: 'waiting'; readonly reason: string }
  /** `signedBy` is the fingerprint of the sender; `keptHere` while it is in this browser. */
  | {
      readonly phase: 'received'
      readonly finalName: string
      readonly folder: string | null
      readonly keptHere: boolean
      readonly signedBy: string | null
    }
  | { readonly phase: 'declined'; readonly problem: ProblemJson }
  | { readonly phase: 'withdrawn'; readonly problem: ProblemJson }

/** Everything that was sent and received, as far as the portal remembers it. */
export interface History {
  readonly lines: ReadonlySignal<readonly HistoryLine[]>
  readonly isLoading: ReadonlySignal<boolean>
  /** Whether there is more than has been loaded. */
  readonly hasMore: ReadonlySignal<boolean>
  load(): Promise<void>
  loadMore(): Promise<void>
  detail(transferId: string, isOwn: boolean): Promise<TransferDetail>
  cancel(transferId: string): Promise<void>
}

export interface HistoryLine {
  readonly transferId: string
  /** Whether this account sent it. */
  readonly isOwn: boolean
  /** Null where it cannot be opened with the keys of this browser. */
  readonly name: string | null
  readonly sizeBytes: number
  readonly from: string
  readonly to: readonly string[]
  readonly createdAt: string
  readonly picture: Picture
  /** In a word or two. */
  readonly outcome: string
  readonly isBad: boolean
}

export interface TransferDetail extends HistoryLine {
  readonly steps: readonly Step[]
  readonly receipts: readonly ReceiptLine[]
  readonly isOpen: boolean
  readonly expiresAt: string
  readonly isSealed: boolean
}

/** One line of the timeline. */
export interface Step {
  /** Null where the portal does not say when. */
  readonly at: string | null
  /** Of which hop; 0 for neither. */
  readonly hop: 0 | 1 | 2
  readonly text: string
  readonly problem: ProblemJson | null
  readonly advice: string | null
}

export interface ReceiptLine {
  readonly receiver: string
  /** Verified in this browser against the keys that are known of the receiver. */
  readonly isProven: boolean
  readonly problem: ProblemJson | null
  /** What `golooader verify` takes; null where it proves nothing. */
  readonly text: string | null
}

/** Whom this browser knows. */
export interface People {
  readonly contacts: ReadonlySignal<readonly Contact[]>
  /** Whether there is such an account, and by which keys. @throws Error with plain words */
  find(name: string): Promise<Contact | null>
  /** A person says that these keys are right. */
  trust(name: string, fingerprint: string): Promise<void>
}

/** For those who run the portal. */
export interface Operations {
  readonly report: ReadonlySignal<OperationsReport | null>
  readonly problem: ReadonlySignal<string | null>
  /** Looks now and then, for as long as it is shown. @returns the way to end that */
  watch(): () => void
}
