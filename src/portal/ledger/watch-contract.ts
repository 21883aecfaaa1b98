/**
 * The part of the ledger's contract that is there to be looked at: what came for a receiver, and how the whole of it does.
 * Nothing is decided by any of this.
 */
import type { NotificationKind } from '../../protocol/index.ts'
import type { Transfer } from './contract.ts'

/** How many there are, of those that are remembered. */
export interface Census {
  readonly transfers: Readonly<Record<Transfer['state'], number>>
  readonly deliveries: Readonly<Record<'waiting' | 'offered' | 'delivered' | 'failed', number>>
  /** What the transfers that have not ended add up to. */
  readonly openBytes: number
  /** Without those that are revoked. */
  readonly accounts: number
}

/** A notification that had a problem, without what the file is called. */
export interface ProblemRecord {
  readonly atMs: number
  readonly transferId: string
  readonly sender: string
  /** Null where it is about the first hop. */
  readonly receiver: string | null
  readonly notification: NotificationKind
  readonly code: string
}

/** A receiver that is connected. */
export interface ConnectedReceiver {
  readonly account: string
  readonly sinceMs: number
}

/** What a portal says of itself, from time to time. */
export interface PortalRecord {
  readonly portalId: string
  /** The machine it runs on. */
  readonly node: string
  readonly sinceMs: number
  readonly receivers: {
    /** All of them; named are not more than fit into a small row. */
    readonly count: number
    readonly named: readonly ConnectedReceiver[]
  }
}

/** What one minute brought. */
export interface Minute {
  /** When it began. */
  readonly atMs: number
  readonly storedBytes: number
  readonly deliveredBytes: number
  readonly storedCount: number
  readonly deliveredCount: number
}

export interface WatchLedger {
  /**
   * The newest transfers that wait for a receiver or were ever offered to it, those before the transfer `before` if given. Of the
   * deliveries each has that one alone.
   */
  transfersTo(receiverId: number, page: { before: string | null; limit: number }): Promise<Transfer[]>

  /** Reads the totals, and counts what is under way: uploads, and offers that have no answer yet. */
  census(): Promise<Census>

  /** The newest notifications that had a problem, newest first. */
  problems(limit: number): Promise<ProblemRecord[]>

  /**
   * A portal says that it is there, and what it has moved in the last minutes, in place of what it said of them before. Of portals
   * that have been silent for `forgetMs`, and of minutes as old as that, the ledger forgets everything.
   */
  tellPortal(portal: PortalRecord, minutes: readonly Minute[], { forgetMs }: { forgetMs: number }): Promise<void>

  /** A portal stops. What it has moved stays. */
  portalGone(portalId: string): Promise<void>

  /** The portals that were not silent for so long, those that began first first. */
  portals(silentMs: number, limit: number): Promise<(PortalRecord & { readonly seenAtMs: number })[]>

  /** What all portals have moved in the last so many milliseconds, by minute, oldest first; none where nothing was. */
  minutes(pastMs: number): Promise<Minute[]>
}
