/**
 * The portal's durable record: accounts, transfers, deliveries and events.
 *
 * Obligations of every driver, which `test/suites/ledger.ts` checks:
 * - A method that changes anything resolves only when the change survives the loss of power.
 * - State changes through `moveTransfer` and `moveDelivery` alone. Each asserts the table in `src/protocol/states.ts`,
 *   compares and sets, and writes the events it causes in the same transaction. It returns null when another won.
 * - Time is the ledger's own clock: callers pass durations and get points in time back.
 * - The events of one account become visible in the order of their ids, and so do the changes of all accounts.
 * - Every change of an account or its invites is recorded in the transaction that makes it.
 * - No query reads more rows than it returns, whatever the number of transfers. `census` counts what is under way, too.
 */
import type { Announcement, Metadata, Notification, PartRange, ProblemJson } from '../../protocol/index.ts'
import type { Account, AccountLedger } from './accounts-contract.ts'
import type { WatchLedger } from './watch-contract.ts'

export type { Account }

export interface Lease {
  readonly leaseId: string
  /** The receiving process that holds it. */
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
  /** What the receiver said to have verified so far in its current try. */
  readonly fetchedBytes: number
  /** When it was offered first; null as long as it was not, or where that was not recorded yet. */
  readonly offeredAtMs: number | null
}

export type Delivery = DeliveryBase &
  (
    | { readonly state: 'waiting'; readonly offerAtMs: number }
    | { readonly state: 'offered'; readonly lease: Lease }
    // When it ended is null where that was not recorded yet.
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
  readonly sizeBytes: number
  readonly partSizeBytes: number
  readonly digestAlgorithm: string
  readonly createdAtMs: number
  readonly expiresAtMs: number
  /** All of it comes as the body of one request: only the same request again can go on with it, from its beginning. */
  readonly isOneRequest: boolean
  /** Which of the parts in the store are its own: see `PartsKey` in the store's contract. */
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
        /** As the sender signed it; null where it signed nothing. */
        readonly manifest: string | null
        /** Where its content is. */
        readonly heldIn: 'store' | 'ledger'
        /** Null where that was not recorded yet. */
        readonly storedAtMs: number | null
      }
    | { readonly state: 'refused' | 'cancelled' | 'expired'; readonly problem: ProblemJson }
  )

/** Where a transfer goes. The first notification goes into the log with it. */
export type TransferChange =
  | { readonly state: 'stored'; readonly manifestDigest: string; readonly manifest: string | null }
  | {
      /** A new attempt: what was bad is deleted and wanted again. */
      readonly state: 'receiving'
      readonly problem: ProblemJson
      readonly wanted: readonly PartRange[]
      /** Whether nothing of what the store holds counts any more: then the parts to come are of another generation. */
      readonly isAnew: boolean
      /** Null after the sender went silent: from then on only the expiry bounds the transfer. */
      readonly uploadTimeoutMs: number | null
    }
  | { readonly state: 'refused' | 'cancelled' | 'expired'; readonly problem: ProblemJson }

/** Where a delivery goes. A final state puts the second notification into the log, once the transfer is stored. */
export type DeliveryChange =
  | { readonly state: 'waiting'; readonly offerInMs: number }
  | { readonly state: 'offered'; readonly leaseMs: number }
  /** The receipt goes into the event as it came. */
  | { readonly state: 'delivered'; readonly receipt: string | null }
  | { readonly state: 'failed'; readonly problem: ProblemJson }

/** A transfer that is there as a whole, and is recorded in one transaction: a small file with its content. */
export type WholeContent = {
  readonly manifestDigest: string
  readonly manifest: string | null
} & (
  | {
      /** Of the only part, in hex. */
      readonly digest: string
      /** Kept by the ledger itself. Empty for a file without a part. */
      readonly content: Uint8Array
    }
  | {
      /** The store has all of its parts, durably. */
      readonly heldIn: 'store'
      readonly generation: string
      /**
       * When the first of them came, by the ledger's clock. Parts of which the ledger knows nothing are removed after a
       * while, so that they must not be recorded after it.
       */
      readonly begunAtMs: number
    }
)

/** The bounds that an announcement is held against, in the transaction that admits it. */
export interface Admission {
  readonly expiryMs: number
  readonly uploadTimeoutMs: number
  readonly accountBytesMax: number
  readonly accountTransfersMax: number
  /** Where several portals share a ledger, it may be passed by what they admit at the same instant. */
  readonly storageBytesMax: number
  /** What the store has room for, or null where it cannot know. */
  readonly freeBytes: number | null
}

export interface NewTransfer extends Announcement {
  readonly transferId: string
  readonly senderId: number
  /** Given for one whose content comes as the body of one request. */
  readonly isOneRequest?: true
}

/** What only one portal at a time has to do. */
export type Duty = 'sweep' | 'orphans' | 'audit'

export interface Ledger extends AccountLedger, WatchLedger {
  readonly traits: {
    /** Whether several portals may work on it at the same time. */
    readonly isShared: boolean
  }

  /** The ledger's clock, in milliseconds. What it says may lag behind a little: nothing but the end of waiting hangs on it. */
  nowMs(): number

  /**
   * Takes a duty, or goes on with it, for a while. It spares work and decides nothing: who was paused may still be at it
   * while another has taken it.
   *
   * @returns false while another portal has it
   */
  takeDuty(duty: Duty, portalId: string, lease: { leaseMs: number }): Promise<boolean>

  /** Which ledger this is, unlike any other, and which store is its own: null before the first. */
  pairing(): Promise<{ readonly ledgerId: string; readonly storeId: string | null }>

  /**
   * Records the store that is its own, where none is yet.
   *
   * @param isInstead or in place of any other
   * @returns the one that is on record now
   */
  pairWith(storeId: string, { isInstead }: { isInstead: boolean }): Promise<string>

  /** Under which address the portal is reached, for invites. */
  setAddress(url: string): Promise<void>
  /** Null where no portal has ever run. */
  address(): Promise<string | null>

  /**
   * Records a new transfer with a delivery for each receiver. Without room it records the transfer as `refused`.
   *
   * @returns the transfer, and whether this call made it: the same announcement again changes nothing
   * @throws Problem `receiver-unknown` (of a revoked account too), `transfer-conflict` (the id is taken by other
   *   content, or by somebody else), `too-many-transfers`, `credentials-invalid` (the sender was revoked meanwhile);
   *   nothing is recorded then
   */
  announce(transfer: NewTransfer, admission: Admission): Promise<{ transfer: Transfer; isNew: boolean }>

  /**
   * How large a transfer could be that was announced now, for one whose size is not known yet. Nothing is recorded.
   *
   * @throws Problem like `announce`
   */
  roomBytes(transfer: Pick<NewTransfer, 'senderId' | 'to'>, admission: Admission): Promise<number>

  /**
   * Records a transfer and its content in one transaction: with it the transfer is `stored`. A transfer that was announced by
   * the same announcement, and is still `receiving`, becomes `stored` by it; any other that is known stays as it is.
   *
   * @returns the first notification where this call caused it, null where the transfer was beyond that
   * @throws Problem like `announce`; `expired` where its parts have come in for longer than a transfer may take
   */
  deposit(
    transfer: NewTransfer,
    admission: Admission,
    whole: WholeContent,
  ): Promise<{ transfer: Transfer; notification: Notification | null }>

  /** The content that `deposit` took in of a transfer that has not ended; null where there is none. */
  content(transferId: string): Promise<{ digest: string; content: Uint8Array } | null>

  transfer(transferId: string): Promise<Transfer | null>

  /** The newest transfers of a sender, those announced before the transfer `before` if given. */
  transfersOf(senderId: number, page: { before: string | null; limit: number }): Promise<Transfer[]>

  /**
   * Puts off the upload timeout of a `receiving` transfer. Cheap enough for every part: it writes only when the
   * time left has visibly shrunk.
   */
  touchTransfer(transferId: string, uploadTimeoutMs: number): Promise<void>

  /**
   * The one door for the state of a transfer. Compares both state and attempt, so that a verdict about one attempt
   * never hits the next.
   *
   * @returns the transfer as it is after the move, or null when it was no longer at `from`
   */
  moveTransfer(
    transferId: string,
    from: { state: 'receiving'; attempt: number },
    change: TransferChange,
  ): Promise<Transfer | null>

  /** The delivery of a transfer to one receiver; null where there is none. */
  delivery(transferId: string, receiverId: number): Promise<{ transfer: Transfer; delivery: Delivery } | null>

  /** Like `delivery`, where the transfer is of no interest. */
  deliveryAlone(transferId: string, receiverId: number): Promise<Delivery | null>

  /**
   * The one door for the state of a delivery. The last delivery that ends takes its stored transfer to `ended`.
   *
   * @param leaseId the lease that the delivery must have where it is `offered`; null compares the state alone
   * @returns the transfer as it is after the move, or null when the delivery was no longer at `from`
   */
  moveDelivery(
    transferId: string,
    receiverId: number,
    from: { state: 'waiting' } | { state: 'offered'; leaseId: string },
    change: DeliveryChange,
  ): Promise<Transfer | null>

  /**
   * Offers the next deliveries that are due to a receiving process: each goes from `waiting` to `offered` under a
   * lease of its own. Oldest first.
   */
  offerNext(receiverId: number, instanceId: string, offer: { leaseMs: number; limit: number }): Promise<Transfer[]>

  /** A receiving process has come (back): its own offers, and those put off, are due at once. */
  welcome(receiverId: number, instanceId: string): Promise<void>

  /** Milliseconds until the next delivery of a receiver is due to be offered; null when none waits. */
  nextOfferInMs(receiverId: number): Promise<number | null>

  /**
   * Renews a lease. Cheap enough for every part: it writes only when the time left has visibly shrunk.
   *
   * @returns false when the lease is no longer the delivery's
   */
  renewLease(
    transferId: string,
    receiverId: number,
    leaseId: string,
    renewal: { leaseMs: number; fetchedBytes: number | null },
  ): Promise<boolean>

  /** Events of an account after an id, oldest first; where one of its transfers is named, those of it alone. */
  events(accountId: number, page: { after: string; limit: number; transferId: string | null }): Promise<Notification[]>

  /** The id of the newest event of an account; '0' when there is none. */
  lastEventId(accountId: number): Promise<string>

  /** What the sweeper has to do, oldest first. */
  dueUploads(limit: number): Promise<Transfer[]>
  dueLeases(limit: number): Promise<{ transferId: string; receiverId: number; leaseId: string; offers: number }[]>
  dueExpiries(limit: number): Promise<Transfer[]>

  /** Accounts that were revoked, and with which something may still be open. */
  dueRevocations(limit: number): Promise<(Account & { readonly revokedAtMs: number })[]>
  /** What is open with an account: transfers of its own that are not stored yet, and deliveries to it. */
  openWith(accountId: number, limit: number): Promise<{ uploads: string[]; deliveries: string[] }>
  /** Nothing is open any more with an account that was revoked then, unless it has been renewed meanwhile. */
  revocationSettled(account: { accountId: number; revokedAtMs: number }): Promise<void>

  /** Transfers that take nothing more and may still have parts in the store. */
  dueRemovals(limit: number): Promise<string[]>
  /** The parts of a transfer are gone from the store. */
  removed(transferId: string): Promise<void>

  /**
   * Forgets ended transfers with their events, invites that ran out, and changes of accounts, that are older than
   * `historyMs`.
   */
  prune(historyMs: number, limit: number): Promise<number>

  /** How many transfers and deliveries there are in the states that are not final, and how many bytes are held. */
  totals(): Promise<{ openTransfers: number; openBytes: number }>

  close(): Promise<void>
}
