/** The context of the Kysely ledger: database, clock, and transactions. */
import type { Kysely, Selectable, Transaction } from 'kysely'
import type { LedgerTables } from '../schema.ts'

export type Db = Kysely<LedgerTables>
export type Tx = Transaction<LedgerTables>
export type TransferRow = Selectable<LedgerTables['transfers']>
export type DeliveryRow = Selectable<LedgerTables['deliveries']>
export type EventRow = Selectable<LedgerTables['events']>
export type WebhookRow = Selectable<LedgerTables['webhooks']>
export type MessageRow = Selectable<LedgerTables['webhook_messages']>

/**
 * Runs a transaction. It may run several times before it is committed, so it must change nothing outside of the database.
 *
 * @param accountId the account whose row it will lock, if known: many transactions of one account must not delay those of others
 */
export type Transact = <Result>(act: (tx: Tx) => Promise<Result>, accountId?: number) => Promise<Result>

/** The time of day, which may be set; a monotonic clock; and the function that adopts a new time of day. */
export interface LedgerClock {
  /** Milliseconds since 1970, of the machine or the database. */
  readonly timeOfDayMs: () => number | Promise<number>
  /** A monotonic clock in milliseconds, with any origin. */
  readonly monotonicMs: () => number
  /** Makes `now` continue from this time, even if it is earlier. */
  readonly adopt: (timeOfDayMs: number) => void
  /** The longest time that counts as passed while no portal watched the clock. */
  readonly unwatchedMsMax: number
}

/** The shared context of all parts of the Kysely ledger. */
export interface LedgerContext {
  readonly db: Db
  readonly transact: Transact
  /** The ledger's clock. */
  readonly now: () => number
  /**
   * The same, read from its source, for a transaction that commits soon after. `now` stands still while a machine is suspended, and
   * the process would not notice.
   */
  readonly nowIn: (tx: Tx) => Promise<number>
  /** The clock that `keepTime` compares with `now`. */
  readonly clock: LedgerClock
  /** Whether several portals may work on it at the same time. */
  readonly isShared: boolean
}
