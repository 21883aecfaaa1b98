/** The events of `receive`. */
import type { ProblemJson } from '../protocol/index.ts'
import type { LinksLeftOut, TreeProgress } from './incoming-file.ts'
import type { RequestOfFile, ShownTraits } from './traits.ts'
import type { RenamedEntry } from './tree-names.ts'

interface About extends ShownTraits {
  readonly transferId: string
  readonly from: string
  /** The name that the sender gave, that of a folder without the `.tar` of its transfer. It is not safe to show unescaped. */
  readonly name: string
  /** 0 while the size of a stream is not known. */
  readonly sizeBytes: number
  /** Only of a stream that has not ended. */
  readonly isSizeKnown?: false
  readonly isSealed: boolean
  /** The request for files by which a guest sent it. */
  readonly request?: RequestOfFile
  /** Whether the portal is known to hold the whole file. */
  readonly isStored: boolean
}

export type ReceiveEvent =
  | { readonly type: 'connected' }
  /** The connection to the portal is lost. The next try comes after the pause. */
  | { readonly type: 'disconnected'; readonly reason: string; readonly pauseMs: number }
  /** A proxy holds event streams back, so the receiver asks the portal again and again instead. */
  | { readonly type: 'held-back'; readonly reason: string }
  /** The folder is gone, or the machine is short of memory or descriptors. Files wait at the portal until the next `connected`. */
  | { readonly type: 'waiting'; readonly reason: string }
  /** The clocks of this machine and of the portal differ: `clock-off`, with `aheadMs`. With `isWaiting`, files wait at the portal. */
  | { readonly type: 'clock-off'; readonly problem: ProblemJson; readonly isWaiting: boolean }
  /** Another process, perhaps on another machine, has connected for the same inbox. The portal keeps this one and refuses the other. */
  | { readonly type: 'contested'; readonly problem: ProblemJson }
  | ({ readonly type: 'offered'; readonly isResumed: boolean } & About)
  /** A person is asked whether to accept the file. The event comes again when the portal has stored all of it meanwhile. */
  | ({ readonly type: 'asking' } & About)
  /** `heldBytes` are written and verified. `redirectedBytes` came directly from the portal's storage. */
  | ({
      readonly type: 'fetching'
      readonly heldBytes: number
      readonly redirectedBytes: number
      /** The progress of unpacking a folder; null where the content is a file. */
      readonly unpacked: TreeProgress | null
    } & About)
  /**
   * Entries of a folder are written under other names than their own, because these are not safe, or are taken. Of one folder, the event
   * tells 100 of them at most.
   */
  | ({ readonly type: 'entries-renamed'; readonly renamed: readonly RenamedEntry[] } & About)
  /** Symbolic links of a folder are not made, because the file system has none. */
  | ({ readonly type: 'links-left-out' } & LinksLeftOut & About)
  /** A part could not be fetched from the portal's storage. The receiver fetches it from the portal. */
  | ({ readonly type: 'link-failed'; readonly reason: string } & About)
  /** Bad content was deleted and is fetched again. */
  | ({ readonly type: 'repeating'; readonly problem: ProblemJson } & About)
  /** The file is durable at `path`, and the portal knows. `isRenamed` when the name differs from the sender's; `signedBy` is
   * the fingerprint of the keys with which the sender signed it, null where it signed nothing, or where an earlier run
   * verified it. */
  | ({
      readonly type: 'received'
      readonly path: string
      readonly isRenamed: boolean
      readonly signedBy: string | null
    } & About)
  | ({ readonly type: 'refused'; readonly problem: ProblemJson } & About)
  /** The portal withdrew the offer, and its parts have been deleted. */
  | ({ readonly type: 'withdrawn'; readonly problem: ProblemJson } & About)
  /** The lease was lost before an answer could be given. Verified parts are kept for the next offer. */
  | ({ readonly type: 'given-up'; readonly reason: string } & About)
