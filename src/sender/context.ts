import type { InFlightBounds, Patience, PortalClient } from '../client/index.ts'
import type { DigestAlgorithm, Limits, PublicKeys } from '../protocol/index.ts'
import type { EventWatch } from './event-watch.ts'
import type { SendEvent } from './events.ts'
import type { Journal } from './journal.ts'
import type { SealRecords } from './seal-record.ts'
import type { SenderTrust } from './trust.ts'
import type { Turn } from './turn.ts'

/** What the transfers to the same receivers share. */
export interface SendContext {
  readonly client: PortalClient
  readonly journal: Journal
  readonly sealRecords: SealRecords
  readonly events: EventWatch
  /** The portal's own. */
  readonly limits: Limits
  readonly digestAlgorithm: DigestAlgorithm
  readonly portalUrl: string
  readonly account: string
  /** Each once, in ascending order. */
  readonly to: readonly string[]
  /** Null for an account without keys: it can neither seal nor sign. */
  readonly trust: SenderTrust | null
  /** By what keys each receiver is known; null for one that has none. */
  readonly receiverKeys: ReadonlyMap<string, PublicKeys | null>
  readonly waitMs: number | null
  readonly partSizeBytes: number
  /** Parts of one transfer on their way at the same time; memory may allow fewer. */
  readonly partsInFlight: InFlightBounds
  /** Memory that the parts of one transfer may take while they are on their way. */
  readonly bufferBytesMax: number
  /** A patience of its own for each transfer; `transferId` goes into its events. */
  readonly patience: (transferId: string | null, asked: Pick<SendContext, 'signal' | 'onEvent'>) => Patience
  /** Null where nobody holds a transfer up. */
  readonly turn: Turn | null
  readonly signal: AbortSignal
  readonly onEvent: (event: SendEvent) => void
}
