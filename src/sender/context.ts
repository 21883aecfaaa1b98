import type { ConcurrencyBounds, PortalClient, RetryPolicy } from '../client/index.ts'
import type { DigestAlgorithm, Limits, PublicKeys } from '../protocol/index.ts'
import type { BatchUploads } from './batch-uploads.ts'
import type { EventWatch } from './event-watch.ts'
import type { SendEvent, SendOutcome } from './events.ts'
import type { Journal, JournalEntry } from './journal.ts'
import type { SealRecords } from './seal-record.ts'
import type { SendSlot } from './send-slot.ts'
import type { SenderTrust } from './trust.ts'

/** State and settings that all transfers to the same receivers share. */
export interface SendContext {
  readonly client: PortalClient
  /** Uploads small files in batches. */
  readonly batchUploads: BatchUploads
  readonly journal: Journal
  readonly sealRecords: SealRecords
  readonly events: EventWatch
  /** The limits of the portal. */
  readonly limits: Limits
  /** The time for new transferIds; undefined for the time of this machine. */
  readonly idTimeMs: () => number | undefined
  readonly digestAlgorithm: DigestAlgorithm
  readonly portalUrl: string
  readonly account: string
  /** The receivers, each once, in ascending order. */
  readonly to: readonly string[]
  /** Null for an account without keys: it can neither seal nor sign. */
  readonly trust: SenderTrust | null
  /** The trusted keys of each receiver; null for a receiver without keys. */
  readonly receiverKeys: ReadonlyMap<string, PublicKeys | null>
  readonly waitMs: number | null
  readonly partSizeBytes: number
  /** The largest part that gets through to the portal, as far as known. All transfers share it. */
  readonly way: { partSizeBytesMax: number }
  /** Parts of one transfer in flight at the same time. Memory may allow fewer. */
  readonly partsInFlight: ConcurrencyBounds
  /** Memory that the parts in flight of one transfer may take. */
  readonly bufferBytesMax: number
  /** Makes a retry policy for one transfer; `transferId` goes into its events. */
  readonly retryPolicy: (transferId: string | null, asked: Pick<SendContext, 'signal' | 'onEvent'>) => RetryPolicy
  /** Null where the number of transfers is not bounded and none is paused. */
  readonly slot: SendSlot | null
  readonly signal: AbortSignal
  readonly onEvent: (event: SendEvent) => void
  readonly onOutcome: OnOutcome
}

/**
 * Awaited before the journal forgets a transfer, with its end: `delivered`, `failed`, `refused`, or `stored` for a caller that does not
 * wait for the receivers. For a caller that waits, it is awaited with `stored`, too, before the wait begins.
 *
 * After a crash, the next send of the same file calls it again. So what it does happens at least once for each transfer. When it
 * throws, the send fails with its error, and the journal keeps the transfer.
 *
 * @param entry null for a file that was refused before it had a transfer
 */
export type OnOutcome = (outcome: SendOutcome, entry: JournalEntry | null) => Promise<void>
