/**
 * The portal's durable record: accounts, transfers, deliveries and events.
 *
 * Obligations of every driver, which `test/suites/ledger.ts` checks:
 * - A method that changes anything resolves only when the change survives the loss of power.
 * - State changes only through `moveTransfer` and `moveDelivery`. Each checks the table in `src/protocol/states.ts`,
 *   compares and sets, and writes the events that it causes in the same transaction. It returns null when another move was first.
 * - Time is the ledger's own clock: callers pass durations and get points in time back. Setting the clock changes no duration
 *   (`keepTime`).
 * - The events of one account become visible in the order of their ids, and so do the changes of all accounts.
 * - Every change of an account or its invites is recorded in the transaction that makes it.
 * - No query reads more rows than it returns, whatever the number of transfers. Only `census` also counts the open ones.
 */
import type { Announcement, Notification, PartRange, ProblemJson } from '../../protocol/index.ts'
import type { Account, AccountLedger } from './accounts-contract.ts'
import type { GuestLedger } from './guests-contract.ts'
import type { Admission, Delivery, Lease, RoomBounds, Transfer } from './records-contract.ts'
import type { UploadLedger } from './uploads-contract.ts'
import type { WatchLedger } from './watch-contract.ts'
import type { WebhookLedger } from './webhooks-contract.ts'

export type { Account, Admission, Delivery, Lease, RoomBounds, Transfer }

/** The new state of a transfer. The move also logs the first notification. */
export type TransferChange =
  | {
      readonly state: 'stored'
      readonly manifestDigest: string
      readonly manifest: string | null
      /** The size of a stream: the move fails when its parts reach further by now. */
      readonly streamBytes?: number
    }
  | {
      /** A new attempt: bad parts have been deleted and are wanted again. */
      readonly state: 'receiving'
      readonly problem: ProblemJson
      readonly wanted: readonly PartRange[]
      /** Whether all parts in the store are given up. Then new parts belong to another generation. */
      readonly discardsParts: boolean
      /** Null after the sender fell silent: from then on only the expiry bounds the transfer. */
      readonly uploadTimeoutMs: number | null
    }
  | { readonly state: 'refused' | 'cancelled' | 'expired'; readonly problem: ProblemJson }

/** The new state of a delivery. A move to a final state also logs the second notification, once the transfer is stored. */
export type DeliveryChange =
  | { readonly state: 'waiting'; readonly offerInMs: number }
  | { readonly state: 'offered'; readonly leaseMs: number }
  /** The event contains the receipt unchanged. */
  | { readonly state: 'delivered'; readonly receipt: string | null }
  | { readonly state: 'failed'; readonly problem: ProblemJson }

/** The content of a transfer that is recorded as `stored` in one transaction. */
export type InlineContent = {
  readonly manifestDigest: string
  readonly manifest: string | null
} & (
  | {
      /** The digest of the only part, in hex. */
      readonly digest: string
      /** The ledger itself keeps this content. Empty for a file without a part. */
      readonly content: Uint8Array
    }
  | {
      /** The store has all of its parts, durably. */
      readonly heldIn: 'store'
      readonly generation: string
      /**
       * When the first part came, by the ledger's clock. Parts that the ledger does not know are removed after a while, so they must
       * not be recorded after that.
       */
      readonly begunAtMs: number
    }
)

/** A part of a stream that begins to arrive. */
export interface StreamPart {
  /** The attempt at the upload that it belongs to. */
  readonly attempt: number
  readonly partNumber: number
  readonly lengthBytes: number
}

export interface NewTransfer extends Announcement {
  readonly transferId: string
  readonly senderId: number
  /** Set for a transfer whose content comes as the body of one request. */
  readonly isOneRequest?: true
  /** Set when later requests may continue that upload. */
  readonly isResumable?: boolean
}

/** The longest durations of leases and uploads. */
export interface OpenBounds {
  readonly leaseMs: number
  readonly uploadTimeoutMs: number
}

/** A step of the clock, by which all open deadlines were moved. */
export interface ClockStep {
  readonly stepMs: number
  /** Whether this process watched the clock being set. Otherwise perhaps no portal was running. */
  readonly isWatched: boolean
}

/** Work that only one portal at a time has to do. */
export type Duty = 'sweep' | 'orphans' | 'audit'

export interface Ledger extends AccountLedger, GuestLedger, UploadLedger, WatchLedger, WebhookLedger {
  readonly traits: {
    /** Whether several portals may work on it at the same time. */
    readonly isShared: boolean
  }

  /** The ledger's clock, in milliseconds. It may lag a little, because only the ends of waiting depend on it. */
  nowMs(): number

  /**
   * Checks the clock. It is called often, and before anything is ended because time has passed. If the clock was set since the last
   * call, all open deadlines are moved by the same step, so that no duration changes.
   *
   * @returns null in nearly all cases; the step when the clock was set
   * @throws Problem `unavailable` when the clock cannot be checked now: nothing may be ended then
   */
  keepTime(bounds: OpenBounds): Promise<ClockStep | null>

  /**
   * The ledger's clock minus the time that it has skipped. Old records are deleted by this time, so that a clock that is ahead for a
   * while deletes nothing.
   */
  countedMs(): Promise<number>

  /**
   * Takes a duty, or keeps it, for the time of the lease. Duties only save work: a portal that was paused may still work on a duty
   * that another portal has taken.
   *
   * @returns false while another portal has it
   */
  takeDuty(duty: Duty, portalId: string, lease: { leaseMs: number }): Promise<boolean>

  /** The unique id of this ledger, and the id of its store; null before the first one. */
  storeBinding(): Promise<{ readonly ledgerId: string; readonly storeId: string | null }>

  /**
   * Records the ledger's store, if none is recorded.
   *
   * @param isInstead true to replace a recorded store
   * @returns the store that is recorded now
   */
  bindStore(storeId: string, { isInstead }: { isInstead: boolean }): Promise<string>

  /** Records the address of the portal, for invites. */
  setAddress(url: string): Promise<void>
  /** The recorded address; null before the first portal has run. */
  address(): Promise<string | null>

  /**
   * Records a new transfer with a delivery for each receiver. Without room it records the transfer as `refused`. A guest receives one
   * file of its owner, and sends only to its owner, while its request is open.
   *
   * @returns the transfer, and whether this call made it. A repeated announcement changes nothing
   * @throws Problem `receiver-unknown` (also for a revoked account, and a guest that may not be sent to), `transfer-conflict` (the id has another announcement or
   *   belongs to another account), `too-many-transfers`, `credentials-invalid` (the sender was revoked meanwhile), `request-closed`,
   *   `request-full`; then nothing is recorded
   */
  announce(transfer: NewTransfer, admission: Admission): Promise<{ transfer: Transfer; isNew: boolean }>

  /**
   * Makes room for a part of a stream before any of it is stored. The part counts in the bytes of its account and of the storage
   * from then on.
   *
   * @returns the transfer, which reaches to the end of this part; null when it is no longer at that attempt
   * @throws Problem `storage-full`, `request-full`; `part-length-wrong`, `part-unknown` for a part that the stream cannot have
   */
  growStream(transferId: string, part: StreamPart, bounds: RoomBounds): Promise<Transfer | null>

  /**
   * How large a transfer of unknown size may become if it is announced now. Nothing is recorded.
   *
   * @throws Problem like `announce`
   */
  roomBytes(transfer: Pick<NewTransfer, 'senderId' | 'to'>, admission: Admission): Promise<number>

  /**
   * Records a transfer and its content in one transaction, after which the transfer is `stored`. A `receiving` transfer with the
   * same announcement becomes `stored`, too; any other known transfer stays unchanged.
   *
   * @param onWritten called before the commit, where an `offerNext` that begins then commits together with it: either both last, or none
   *   does. Perhaps called several times, and for a transfer that is undone
   * @returns the first notification if this call caused it; null if the transfer had it already
   * @throws Problem like `announce`; `expired` when its parts have been arriving for longer than a transfer may take
   */
  storeInline(
    transfer: NewTransfer,
    admission: Admission,
    whole: InlineContent,
    onWritten?: (transfer: Transfer) => void,
  ): Promise<{ transfer: Transfer; notification: Notification | null }>

  /** The content that `storeInline` recorded of a transfer that has not ended; null when there is none. */
  content(transferId: string): Promise<{ digest: string; content: Uint8Array } | null>

  transfer(transferId: string): Promise<Transfer | null>

  /** The newest transfers of a sender, or those announced before the transfer `before`. */
  transfersOf(senderId: number, page: { before: string | null; limit: number }): Promise<Transfer[]>

  /**
   * Extends the upload deadline of a `receiving` transfer. Cheap enough to be called for every part, because it writes only when
   * much of the time has passed.
   */
  extendUploadDeadline(transferId: string, uploadTimeoutMs: number): Promise<void>

  /**
   * The only method that changes the state of a transfer. It compares both state and attempt, so that the result of one attempt
   * never applies to the next.
   *
   * @returns the transfer after the move, or null when it was no longer at `from`
   */
  moveTransfer(
    transferId: string,
    from: { state: 'receiving'; attempt: number },
    change: TransferChange,
  ): Promise<Transfer | null>

  /** The delivery of a transfer to one receiver; null when there is none. */
  delivery(transferId: string, receiverId: number): Promise<{ transfer: Transfer; delivery: Delivery } | null>

  /** Like `delivery`, without the transfer. */
  deliveryAlone(transferId: string, receiverId: number): Promise<Delivery | null>

  /**
   * The only method that changes the state of a delivery. The last delivery that ends moves its stored transfer to `ended`.
   *
   * @param leaseId the lease that an `offered` delivery must have; null compares only the state
   * @returns the transfer after the move, or null when the delivery was no longer at `from`
   */
  moveDelivery(
    transferId: string,
    receiverId: number,
    from: { state: 'waiting' } | { state: 'offered'; leaseId: string },
    change: DeliveryChange,
  ): Promise<Transfer | null>

  /**
   * Offers the next due deliveries to a receiving process, oldest first: each moves from `waiting` to `offered` with a lease of
   * its own. Streams of unknown size are left out unless they are asked for.
   *
   * @returns the transfers, each only with this delivery, so that the cost does not depend on the number of receivers
   */
  offerNext(
    receiverId: number,
    instanceId: string,
    offer: { leaseMs: number; limit: number; areStreamsWanted?: boolean },
  ): Promise<Transfer[]>

  /** A receiving process has connected: its own open offers, and postponed ones, become due at once. */
  receiverConnected(receiverId: number, instanceId: string): Promise<void>

  /** Milliseconds until the next delivery of a receiver is due for an offer, by the choice of `offerNext`; null when none waits. */
  nextOfferInMs(receiverId: number, choice?: { areStreamsWanted?: boolean }): Promise<number | null>

  /**
   * Renews a lease. Cheap enough to be called for every part, because it writes only when much of the time has passed.
   *
   * @returns false when it is no longer the lease of the delivery
   */
  renewLease(
    transferId: string,
    receiverId: number,
    leaseId: string,
    renewal: { leaseMs: number; fetchedBytes: number | null },
  ): Promise<boolean>

  /** Records how much of a file its receiver holds. Does nothing when the lease is no longer the one of the delivery. */
  recordFetched(held: {
    readonly transferId: string
    readonly receiverId: number
    readonly leaseId: string
    readonly fetchedBytes: number
  }): Promise<void>

  /**
   * The events of an account after an id, oldest first; only those of one transfer if it is given.
   *
   * @param page `after` is `0` or the id of an event of this account
   * @throws Problem `event-unknown` when this account has no such event: it is forgotten, or its id comes from before this ledger was
   *   restored from a backup
   */
  events(accountId: number, page: { after: string; limit: number; transferId: string | null }): Promise<Notification[]>

  /** The id of the newest event of an account; '0' when there is none. */
  lastEventId(accountId: number): Promise<string>

  /** The sweeper's due work, oldest first. */
  dueUploads(limit: number): Promise<Transfer[]>
  dueLeases(limit: number): Promise<{ transferId: string; receiverId: number; leaseId: string; offers: number }[]>
  dueExpiries(limit: number): Promise<Transfer[]>

  /** Revoked accounts that may still have open uploads or deliveries. `isExpired`: a guest whose time was over. */
  dueRevocations(limit: number): Promise<(Account & { readonly revokedAtMs: number; readonly isExpired: boolean })[]>
  /** The open work of an account: its transfers that are not stored yet, and deliveries to it. */
  openWith(accountId: number, limit: number): Promise<{ uploads: string[]; deliveries: string[] }>
  /** Records that an account revoked at this time has nothing open any more. Does nothing if it was renewed meanwhile. */
  revocationSettled(account: { accountId: number; revokedAtMs: number }): Promise<void>

  /** Transfers that are over and may still have parts in the store. */
  dueRemovals(limit: number): Promise<string[]>
  /** Records that the parts of a transfer are removed from the store. */
  removed(transferId: string): Promise<void>

  /**
   * Deletes ended transfers with their events, expired invites, ended requests, and changes of accounts, that are older than `historyMs`,
   * and clears guests that have ended and of which no transfer is remembered. Time that the clock has skipped does not count (`keepTime`).
   */
  prune(historyMs: number, limit: number): Promise<number>

  /** The number of open transfers and their bytes. */
  totals(): Promise<{ openTransfers: number; openBytes: number }>

  close(): Promise<void>
}
