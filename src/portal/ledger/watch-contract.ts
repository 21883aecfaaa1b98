/**
 * The part of the ledger's contract for people who watch: the deliveries of a receiver, and the state of the whole portal. No
 * decision depends on it.
 */
import type { NotificationKind } from '../../protocol/index.ts'
import type { Transfer } from './records-contract.ts'

/** The numbers of remembered transfers and deliveries by state. */
export interface Census {
  readonly transfers: Readonly<Record<Transfer['state'], number>>
  readonly deliveries: Readonly<Record<'waiting' | 'offered' | 'delivered' | 'failed', number>>
  /** The sum of the sizes of open transfers. */
  readonly openBytes: number
  /** Accounts that are not revoked. */
  readonly accounts: number
  /** Uploads under way that later requests may continue. They are among `receiving`. */
  readonly resumable: number
}

/** A notification with a problem, without the name of the file. */
export interface ProblemRecord {
  readonly atMs: number
  readonly transferId: string
  readonly sender: string
  /** Null for the first hop. */
  readonly receiver: string | null
  readonly notification: NotificationKind
  readonly code: string
}

/** A connected receiver. */
export interface ConnectedReceiver {
  readonly account: string
  readonly sinceMs: number
}

/** The heartbeat of a portal. */
export interface PortalRecord {
  readonly portalId: string
  /** The machine that the portal runs on. */
  readonly node: string
  readonly sinceMs: number
  readonly receivers: {
    /** The number of all of them. The list is cut, so that it fits into a small row. */
    readonly count: number
    readonly named: readonly ConnectedReceiver[]
  }
}

/** The throughput of one minute. */
export interface Minute {
  /** When the minute began. */
  readonly atMs: number
  readonly storedBytes: number
  readonly deliveredBytes: number
  readonly storedCount: number
  readonly deliveredCount: number
}

/** The times of this heartbeat and the previous one, by the ledger's clock. */
export interface Told {
  readonly atMs: number
  /** The previous heartbeat of this portal; null when the ledger knows none. */
  readonly beforeMs: number | null
}

export interface WatchLedger {
  /**
   * The newest transfers that wait for a receiver or were ever offered to it, or those before the transfer `before`. Each has only
   * the delivery to this receiver.
   */
  transfersTo(receiverId: number, page: { before: string | null; limit: number }): Promise<Transfer[]>

  /** Reads the totals, and counts running uploads and open offers. */
  census(): Promise<Census>

  /** The newest notifications with a problem, newest first. */
  problems(limit: number): Promise<ProblemRecord[]>

  /**
   * Records the heartbeat of a portal and its throughput in the last minutes, which replaces earlier figures of those minutes. Portals
   * that have been silent for `forgetMs`, and older minutes, are deleted.
   *
   * @returns the time of this heartbeat, and of the portal's previous one that the ledger knows
   */
  recordHeartbeat(portal: PortalRecord, minutes: readonly Minute[], { forgetMs }: { forgetMs: number }): Promise<Told>

  /** Records that a portal has stopped. Its throughput stays. */
  portalGone(portalId: string): Promise<void>

  /** The portals that have been silent for less than `silentMs`, those that started first first. */
  portals(silentMs: number, limit: number): Promise<(PortalRecord & { readonly seenAtMs: number })[]>

  /** The throughput of all portals in the last `pastMs`, by minute, oldest first. Minutes without throughput are missing. */
  minutes(pastMs: number): Promise<Minute[]>
}
