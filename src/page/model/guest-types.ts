/** The state of the page of a link, and the actions that its views call. */
import type { ReadonlySignal } from '@preact/signals'
import type { ProblemJson, TreeSize } from '../../protocol/index.ts'
import type { Picked } from '../platform/picked-folder.ts'
import type { Abilities } from '../platform/trial.ts'
import type { HistoryLine, Incoming, Outgoing, OutgoingFiles } from './types.ts'

export type GuestStage =
  | { readonly stage: 'starting' }
  /** The link has been cut off, or is none. */
  | { readonly stage: 'incomplete' }
  | { readonly stage: 'unable'; readonly reason: string; readonly advice: string }
  /** Another tab has the same link. */
  | { readonly stage: 'elsewhere' }
  | { readonly stage: 'taking'; readonly taking: Taking }
  | { readonly stage: 'giving'; readonly giving: Giving }

/** What the pages of both links need. */
export interface GuestContext<Link> {
  readonly link: Link
  readonly portalUrl: string
  /** Names the storage of this link. */
  readonly storageUrl: string
  readonly abilities: Abilities
  /** Aborts when another tab takes over. */
  readonly signal: AbortSignal
}

/** The owner of a link: the portal's word for the name, the link's for the fingerprint. */
export interface LinkOwner {
  readonly account: string
  readonly fingerprint: string
}

/** Taking the file of a send link. */
export interface Taking {
  readonly state: ReadonlySignal<TakingState>
  /** The limitations of this browser, in plain words. */
  readonly shortcomings: readonly string[]
  /** Opens a link that has a passphrase. */
  unlock(passphrase: string): void
  /** Begins to receive. Until then nothing has changed at the portal. */
  take(): void
  /** Removes the file and everything else of the link from this browser. */
  finish(): void
  /** Asks the portal again, after a problem. */
  lookAgain(): void
}

export type TakingState =
  /** @property isOpening the passphrase is being tried */
  | { readonly state: 'locked'; readonly isOpening: boolean; readonly isWrong: boolean }
  /** @property isSilent the portal does not answer, and the page retries */
  | { readonly state: 'looking'; readonly isSilent: boolean }
  /** The sender has announced no file yet, or has cancelled it before anybody took it. */
  | { readonly state: 'absent'; readonly owner: LinkOwner }
  | { readonly state: 'offered'; readonly offered: Offered }
  /** @property isElsewhere another device receives it by the same link at the moment */
  | {
      readonly state: 'receiving'
      readonly owner: LinkOwner
      readonly guest: string
      /** Null until the portal has offered it. */
      readonly file: Incoming | null
      readonly isElsewhere: boolean
      readonly isConnected: boolean
    }
  /** The file was received by this link before. @property at when; null where the portal does not say */
  | { readonly state: 'taken'; readonly owner: LinkOwner; readonly at: string | null }
  /** The link does not work, or not any more. */
  | { readonly state: 'failed'; readonly problem: ProblemJson }
  /** Everything of the link has been removed from this browser. */
  | { readonly state: 'finished'; readonly owner: LinkOwner | null }

/** What is offered by a link. */
export interface Offered {
  readonly owner: LinkOwner
  /** Null where it cannot be opened. */
  readonly name: string | null
  /** Null while the size of a stream is not known. */
  readonly sizeBytes: number | null
  readonly tree: TreeSize | null
  /** Whether the portal has all of it. */
  readonly isStored: boolean
  readonly expiresAt: string
}

/** Sending to a request link. */
export interface Giving {
  readonly state: ReadonlySignal<GivingState>
  readonly shortcomings: readonly string[]
  lookAgain(): void
}

export type GivingState =
  | { readonly state: 'looking'; readonly isSilent: boolean }
  | { readonly state: 'failed'; readonly problem: ProblemJson }
  | { readonly state: 'open'; readonly request: OpenRequest }
  | { readonly state: 'finished'; readonly owner: LinkOwner | null }

export interface OpenRequest {
  readonly owner: LinkOwner
  /** What the owner asks for; null where they have not said. */
  readonly label: string | null
  readonly expiresAt: string | null
  readonly filesLeft: number
  readonly bytesLeft: number
  /** Whether the request takes no more files. What was sent before is still delivered. */
  readonly isClosed: boolean
  /** Null until this browser has sent something. */
  readonly sending: ReadonlySignal<GuestSending | null>
  /** Why nothing can be sent at the moment. */
  readonly problem: ReadonlySignal<ProblemJson | null>
  send(picked: readonly Picked[]): void
  /** Removes the keys, the receipts and everything else of the request from this browser. */
  finish(): void
}

/** What this browser sends and has sent. */
export interface GuestSending {
  readonly account: string
  readonly outgoing: OutgoingFiles
  /** Files that were sent at an earlier visit, newest first. */
  readonly earlier: ReadonlySignal<readonly HistoryLine[]>
  /** The receipt of a delivered file, for `golooader verify`; null where there is none. */
  receiptOf(transferId: string): Promise<string | null>
}

/** Whether more is to come of a file. */
export function isOpen({ progress }: Outgoing): boolean {
  return progress.value.phase !== 'ended' && progress.value.phase !== 'refused'
}
