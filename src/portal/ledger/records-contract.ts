/** The records of transfers and deliveries in the ledger. */
import type { Metadata, ProblemJson } from '../../protocol/index.ts'

export interface Lease {
  readonly leaseId: string
  /** The receiving process that holds the lease. */
  readonly instanceId: string
  readonly expiresAtMs: number
}

interface DeliveryBase {
  readonly receiverId: number
  readonly receiver: string
  /** How often it was offered. */
  readonly offers: number
  /** How often the receiver asked for parts again. */
  readonly resends: number
  /** How many bytes the receiver has verified in its current try, by its last report. */
  readonly fetchedBytes: number
  /** When it was first offered; null before that, and for old records without this time. */
  readonly offeredAtMs: number | null
}

export type Delivery = DeliveryBase &
  (
    | { readonly state: 'waiting'; readonly offerAtMs: number }
    | { readonly state: 'offered'; readonly lease: Lease }
    // `endedAtMs` is null in old records without this time.
    | { readonly state: 'delivered'; readonly leaseId: string; readonly endedAtMs: number | null }
    | {
        readonly state: 'failed'
        readonly leaseId: string | null
        readonly problem: ProblemJson
        readonly endedAtMs: number | null
      }
  )

interface TransferBase {
  readonly transferId: string
  readonly senderId: number
  readonly sender: string
  readonly attempt: number
  readonly metadata: Metadata
  /** While the size of a stream is not known: how far the parts reach that have begun to arrive. */
  readonly sizeBytes: number
  /** False for a stream that is not stored. */
  readonly isSizeKnown: boolean
  readonly partSizeBytes: number
  readonly digestAlgorithm: string
  readonly createdAtMs: number
  readonly expiresAtMs: number
  /**
   * Whether its content comes as the body of one request. Without an upload resource, only a repetition of that request can continue it,
   * from the beginning.
   */
  readonly isOneRequest: boolean
  /** The generation of its parts in the store: see `PartsKey` in the store's contract. */
  readonly generation: string
  /** Null while it is open. */
  readonly endedAtMs: number | null
  readonly deliveries: readonly Delivery[]
}

export type Transfer = TransferBase &
  (
    | { readonly state: 'receiving'; readonly uploadDeadlineMs: number | null }
    | {
        readonly state: 'stored' | 'ended'
        readonly manifestDigest: string
        /** The manifest as the sender signed it; null where it signed nothing. */
        readonly manifest: string | null
        /** Where the content is kept. */
        readonly heldIn: 'store' | 'ledger'
        /** Null in old records without this time. */
        readonly storedAtMs: number | null
      }
    | { readonly state: 'refused' | 'cancelled' | 'expired'; readonly problem: ProblemJson }
  )

/** The bounds for an announcement, checked in the transaction that admits it. */
export interface Admission {
  readonly expiryMs: number
  readonly uploadTimeoutMs: number
  readonly accountBytesMax: number
  readonly accountTransfersMax: number
  /** Uploads of an account that later requests may continue. */
  readonly accountUploadsMax: number
  /** Guests and requests of one owner that may be open, for a transfer that opens a guest again. */
  readonly accountGuestsMax: number
  /** For the open transfers from and to guests of one owner. */
  readonly accountGuestBytesMax: number
  /** Several portals that share a ledger may exceed it by transfers that they admit at the same moment. */
  readonly storageBytesMax: number
  /** The free space of the store; null when unknown. */
  readonly freeBytes: number | null
}

/** The bounds of an admission that are about bytes. */
export type RoomBounds = Omit<
  Admission,
  'expiryMs' | 'uploadTimeoutMs' | 'accountTransfersMax' | 'accountUploadsMax' | 'accountGuestsMax'
>
