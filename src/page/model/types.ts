/** The state that the views show and the actions that they call. Everything that changes is a signal. */
import type { ReadonlySignal } from '@preact/signals'
import type { InviteStatus, Operations, ProblemJson, TreeSize } from '../../protocol/index.ts'
import type { Contact } from '../../trust/index.ts'
import type { Unpacked } from '../platform/inbox/tree-progress.ts'
import type { Picked } from '../platform/picked-folder.ts'
import type { Picture } from './hops.ts'

/** The state of the page as a whole. */
export type Stage =
  | { readonly stage: 'starting' }
  /** This browser, or an insecure connection to the portal, lacks something that the page needs. */
  | { readonly stage: 'unable'; readonly reason: string; readonly advice: string; readonly hasInvite: boolean }
  /** Another tab is active. */
  | { readonly stage: 'elsewhere' }
  /** This browser has no account yet. */
  | { readonly stage: 'stranger'; readonly joining: Joining }
  | { readonly stage: 'member'; readonly member: Member }

/** The state while a user joins. */
export interface Joining {
  /** Null where the page was opened without an invite. */
  readonly invite: ReadonlySignal<string | null>
  /** What the invite is for; null until the portal has answered, and without an invite. */
  readonly about: ReadonlySignal<InviteStatus | null>
  /** The account of this browser that joining would replace; null where it has none. */
  readonly replaces: string | null
  /** The limitations of this browser, in plain words. */
  readonly shortcomings: readonly string[]
  /** Keeps the present account. */
  leave(): void
  readonly isUnderway: ReadonlySignal<boolean>
  readonly problem: ReadonlySignal<ProblemJson | null>
  /** @returns false where the text contains no invite */
  useLink(text: string): boolean
  join(): Promise<void>
}

export type ConnectionState = 'connecting' | 'connected' | 'lost'

/** The state of a browser that has an account. */
export interface Member {
  readonly account: string
  readonly fingerprint: string
  readonly portalUrl: string
  /** The limitations of this browser, in plain words. */
  readonly shortcomings: readonly string[]
  readonly connection: ReadonlySignal<ConnectionState>
  /** A proxy between this browser and the portal holds event streams back. The page works without them. */
  readonly isHeldBack: ReadonlySignal<boolean>
  /** Why everything has stopped, for example an invalid token. Null while the page works. */
  readonly trouble: ReadonlySignal<ProblemJson | null>
  readonly outgoing: OutgoingFiles
  readonly incoming: IncomingFiles
  readonly history: History
  readonly people: People
  /** Null for accounts that are not operators of the portal. */
  readonly operations: ReadonlySignal<OperationsModel | null>
  /** Null where the portal makes no links for people without an account, and until it has said so. */
  readonly guests: ReadonlySignal<GuestLinks | null>
}

/** What an account can do for people without one. */
export interface GuestLinks {
  /** The longest time that a link works. */
  readonly expiryMsMax: number
  /** The send links that this browser has made, by the account of each of their guests. */
  readonly links: ReadonlySignal<ReadonlyMap<string, ShownLink>>
  /** Makes a link for each of the files, and sends them. @throws Error with a problem to show */
  send(picked: readonly Picked[], options: LinkOptions): Promise<void>
  readonly requests: FileRequests
  makeRequest(options: FileRequestOptions): Promise<void>
}

export interface LinkOptions {
  /** How many people may receive the file, each once. */
  readonly takes: number
  readonly expiryMs: number
  /** Null for none. */
  readonly passphrase: string | null
}

export interface ShownLink {
  readonly text: string
  readonly hasPassphrase: boolean
  readonly takes: number
  readonly expiresAt: string
}

export interface FileRequestOptions {
  /** Empty for none. */
  readonly label: string
  readonly expiryMs: number
  readonly filesMax: number
  readonly bytesMax: number
}

/** Requests for files from anybody. */
export interface FileRequests {
  /** Newest first. */
  readonly requests: ReadonlySignal<readonly ShownRequest[]>
  load(): Promise<void>
  close(requestId: string): Promise<void>
}

export interface ShownRequest {
  readonly requestId: string
  /** Null where there is none, and where another browser made the request. */
  readonly label: string | null
  /** Null where another browser made the request. */
  readonly link: string | null
  readonly state: 'open' | 'closed' | 'expired'
  readonly expiresAt: string
  readonly files: number
  readonly bytes: number
  readonly filesMax: number
  readonly bytesMax: number
}

/** The outgoing files and folders of this tab. Each is one delivery. */
export interface OutgoingFiles {
  readonly files: ReadonlySignal<readonly Outgoing[]>
  /** Transfers of earlier tabs. Each one resumes once the user has chosen the same file or folder again. */
  readonly unfinished: ReadonlySignal<readonly Unfinished[]>
  readonly isSealedOnly: ReadonlySignal<boolean>
  send(picked: readonly Picked[], to: readonly string[], options: { isSealed: boolean }): void
}

/** What is sent or received, as people know it. */
export interface ShownContent {
  /** The name of the file or folder. */
  readonly name: string
  /** How many bytes travel; those of a tree's tar. */
  readonly sizeBytes: number
  /** Null for a file. */
  readonly tree: TreeSize | null
}

export interface Outgoing extends ShownContent {
  readonly key: number
  readonly to: readonly string[]
  readonly isSealed: boolean
  readonly transferId: ReadonlySignal<string | null>
  readonly picture: ReadonlySignal<Picture>
  readonly progress: ReadonlySignal<OutgoingProgress>
  pause(): void
  resume(): void
  cancel(): void
  /** Whether this tab has the file. It has none for a transfer of an earlier tab. */
  readonly canSendAgain: boolean
  /** Sends the file again, as a new transfer, to the receivers that do not have it. */
  sendAgain(): void
  /** Removes a finished file from the list. */
  dismiss(): void
}

export type OutgoingProgress =
  | { readonly phase: 'queued' }
  /** Rereads what the portal already has, after a pause or in a new tab. */
  | { readonly phase: 'reading'; readonly readBytes: number }
  | {
      readonly phase: 'sending'
      readonly acknowledgedBytes: number
      /** Bytes that were sent and are not acknowledged yet. */
      readonly underwayBytes: number
      readonly bytesPerSecond: number | null
      readonly leftMs: number | null
      /** Of a folder: how many files the portal has, and the path of the file that follows. Null for a file. */
      readonly files: { readonly doneCount: number; readonly path: string | null } | null
    }
  | { readonly phase: 'paused'; readonly acknowledgedBytes: number }
  /** The portal does not answer. The page retries. */
  | { readonly phase: 'silent'; readonly reason: string }
  /** The portal has the file, and some receivers do not have it yet. */
  | { readonly phase: 'stored'; readonly waitingFor: readonly string[]; readonly failures: readonly DeliveryFailure[] }
  | { readonly phase: 'ended'; readonly failures: readonly DeliveryFailure[]; readonly proven: readonly string[] }
  | { readonly phase: 'refused'; readonly problem: ProblemJson }

export interface DeliveryFailure {
  readonly receiver: string
  readonly problem: ProblemJson
}

export interface Unfinished extends ShownContent {
  readonly transferId: string
  readonly to: readonly string[]
  readonly createdAt: string
  /**
   * Resumes with the same file or folder, which the user has chosen again.
   *
   * @returns why it is refused, in plain words; null on success
   */
  resume(picked: Picked): string | null
  /** Cancels the transfer. The portal deletes the bytes that it has. */
  forget(): Promise<void>
}

/** The incoming files. */
export interface IncomingFiles {
  /** Newest first. */
  readonly files: ReadonlySignal<readonly Incoming[]>
  readonly isAutomatic: ReadonlySignal<boolean>
  setAutomatic(isAutomatic: boolean): void
  /** The name of the chosen folder; null where files are downloads of the browser. */
  readonly folder: ReadonlySignal<string | null>
  /**
   * Why files cannot be written to the chosen folder now: the permission has expired, or the folder is missing. Null
   * while they can.
   */
  readonly lapse: ReadonlySignal<'permission' | 'missing' | null>
  readonly canChooseFolder: boolean
  chooseFolder(): Promise<void>
  forgetFolder(): Promise<void>
  acceptAll(): void
}

export interface Incoming {
  readonly transferId: string
  readonly from: string
  /** What this account has asked for, where a guest sends it for a request of this browser; null otherwise. */
  readonly label: ReadonlySignal<string | null>
  readonly name: ReadonlySignal<string>
  /** Null while the size of a stream is not known. */
  readonly sizeBytes: ReadonlySignal<number | null>
  /** Null for a file, and while the metadata is sealed. */
  readonly tree: ReadonlySignal<TreeSize | null>
  /** The kind of content in plain text: type and subtype; null where it is unknown. */
  readonly mediaType: ReadonlySignal<string | null>
  /** Null where the page no longer knows it. */
  readonly isSealed: boolean | null
  readonly picture: ReadonlySignal<Picture>
  readonly progress: ReadonlySignal<IncomingProgress>
  accept(): void
  decline(reason: string): void
  /** Why this browser could not save or remove the file, in plain words; null without an error. */
  readonly trouble: ReadonlySignal<string | null>
  /** Starts a download of a file that is kept in this browser. */
  save(): Promise<void>
  /** Removes the file from this browser. */
  remove(): Promise<void>
  dismiss(): void
}

export type IncomingProgress =
  /** The user has to decide. */
  | { readonly phase: 'asking' }
  | {
      readonly phase: 'fetching'
      readonly heldBytes: number
      readonly bytesPerSecond: number | null
      readonly leftMs: number | null
    }
  /** The files of a folder are being written into the chosen folder. `path` is the last one. */
  | { readonly phase: 'unpacking'; readonly doneCount: number; readonly path: string | null }
  | { readonly phase: 'waiting'; readonly reason: string }
  /** `signedBy` is the fingerprint of the sender. `keptHere` says whether the file is still in this browser. */
  | {
      readonly phase: 'received'
      readonly finalName: string
      readonly folder: string | null
      readonly keptHere: boolean
      readonly signedBy: string | null
      /** What of a folder is not as its sender has it; null for a file. */
      readonly unpacked: Unpacked | null
    }
  | { readonly phase: 'declined'; readonly problem: ProblemJson }
  | { readonly phase: 'withdrawn'; readonly problem: ProblemJson }

/** All sent and received transfers that the portal remembers. */
export interface History {
  readonly lines: ReadonlySignal<readonly HistoryLine[]>
  readonly isLoading: ReadonlySignal<boolean>
  /** Whether there are more pages to load. */
  readonly hasMore: ReadonlySignal<boolean>
  load(): Promise<void>
  loadMore(): Promise<void>
  detail(transferId: string, isOwn: boolean): Promise<TransferDetail>
  cancel(transferId: string): Promise<void>
}

export interface HistoryLine {
  readonly transferId: string
  /** Whether this account sent the file. */
  readonly isOwn: boolean
  /** Null where the keys of this browser cannot open it. */
  readonly name: string | null
  readonly sizeBytes: number
  /** False for a stream that has not ended: then `sizeBytes` is what has come so far. */
  readonly isSizeKnown: boolean
  /** Null for a file. */
  readonly tree: TreeSize | null
  readonly from: string
  /** What this account has asked for, where a guest sent it for a request of this browser; null otherwise. */
  readonly label: string | null
  readonly to: readonly string[]
  readonly createdAt: string
  readonly picture: Picture
  /** The state in a word or two. */
  readonly outcome: string
  readonly isBad: boolean
}

export interface TransferDetail extends HistoryLine {
  readonly steps: readonly Step[]
  readonly receipts: readonly ReceiptLine[]
  /**
   * The fingerprint of the sender of a file that this browser received; null for an unsigned file, and for a sent one.
   */
  readonly signedBy: string | null
  readonly isOpen: boolean
  readonly expiresAt: string
  readonly isSealed: boolean
}

/** One line of the timeline. */
export interface Step {
  /** Null where the portal gives no time. */
  readonly at: string | null
  /** The hop, 1 or 2; 0 for neither. */
  readonly hop: 0 | 1 | 2
  readonly text: string
  readonly problem: ProblemJson | null
  readonly advice: string | null
}

export interface ReceiptLine {
  readonly receiver: string
  /** Whether this browser verified it against the known keys of the receiver. */
  readonly isProven: boolean
  readonly problem: ProblemJson | null
  /** The receipt file for `golooader verify`; null where it proves nothing. */
  readonly text: string | null
}

/** The contacts of this browser. */
export interface People {
  readonly contacts: ReadonlySignal<readonly Contact[]>
  /**
   * The account and its keys, if the portal has it.
   *
   * @throws Error with a message in plain words
   */
  find(name: string): Promise<Contact | null>
  /** The user confirms that these keys are right. */
  trust(name: string, fingerprint: string): Promise<void>
}

/** For operators of the portal. */
export interface OperationsModel {
  readonly report: ReadonlySignal<Operations | null>
  readonly problem: ReadonlySignal<string | null>
  /**
   * Polls the portal while the view is open.
   *
   * @returns a function that stops polling
   */
  watch(): () => void
}
