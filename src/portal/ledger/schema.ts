/** The tables, as types for Kysely. What the database really holds is in `schema.sql`, made by the migrations. */
import type { ColumnType, Generated } from 'kysely'
import type { DeliveryState, NotificationKind, TransferState } from '../../protocol/index.ts'
import type { AccountChangeKind } from './accounts-contract.ts'
import type { Duty } from './contract.ts'

export interface LedgerTables {
  accounts: {
    account_id: Generated<number>
    name: string
    token_id: string
    token_hash: string
    /** Public keys, as they travel; null as long as there are none. */
    keys: ColumnType<string | null, string | null | undefined, string>
    created_at_ms: number
    /** Kept with every change of a transfer, so that admission reads one row. */
    open_transfers: ColumnType<number, number | undefined, number>
    open_bytes: ColumnType<number, number | undefined, number>
    revoked_at_ms: ColumnType<number | null, number | undefined, number | null>
    /** 1 while what was open with an account that was revoked has not all been ended. */
    revocation_due: ColumnType<number, number | undefined, number>
    /** 1 for one that may see how the whole portal does. */
    is_operator: ColumnType<number, number | undefined, number>
  }
  invites: {
    secret_hash: string
    name: string
    expires_at_ms: number
    /** The token that used it up. */
    token_id: string | null
    /** The account that it renews; null where it opens one. */
    account_id: number | null
    /** 1 where the account that it opens is an operator's. */
    is_operator: ColumnType<number, number | undefined, number>
  }
  account_changes: {
    change_id: Generated<number>
    at_ms: number
    change: AccountChangeKind
    name: string
    /** The token that is not valid from this change on. */
    dead_token_id: string | null
  }
  audit_log: {
    id: number
    /** The last change that the audit log has told. */
    change_id: number
  }
  duties: {
    duty: Duty
    /** The portal that has it. */
    portal_id: string
    expires_at_ms: number
  }
  pairing: {
    id: number
    ledger_id: string
    store_id: string | null
  }
  address: {
    id: number
    url: string
  }
  totals: {
    id: number
    open_transfers: number
    open_bytes: number
    /** Transfers that have ended, and are remembered. */
    ended: ColumnType<number, number | undefined, number>
    refused: ColumnType<number, number | undefined, number>
    cancelled: ColumnType<number, number | undefined, number>
    expired: ColumnType<number, number | undefined, number>
    /** Deliveries without an outcome, and those with one, of all transfers that are remembered. */
    open_deliveries: ColumnType<number, number | undefined, number>
    delivered: ColumnType<number, number | undefined, number>
    failed: ColumnType<number, number | undefined, number>
    /** That are not revoked. */
    accounts: ColumnType<number, number | undefined, number>
  }
  /** What each running portal says of itself. */
  portals: {
    portal_id: string
    node: string
    since_ms: number
    seen_ms: number
    receiver_count: number
    /** Names of receivers that are connected, with the time since when: JSON. */
    receivers: string
  }
  /** What each portal moved in each minute. */
  minutes: {
    at_ms: number
    portal_id: string
    stored_bytes: number
    delivered_bytes: number
    stored_count: number
    delivered_count: number
  }
  transfers: {
    transfer_id: string
    sender_id: number
    sender: string
    state: TransferState
    attempt: number
    /** The announcement as it came, to recognise its repetition. */
    announcement: string
    metadata: string
    size_bytes: number
    part_size_bytes: number
    digest_algorithm: string
    manifest_digest: string | null
    /** As the sender signed it. */
    manifest: ColumnType<string | null, string | null | undefined, string | null>
    problem: string | null
    created_at_ms: number
    expires_at_ms: number
    upload_deadline_ms: number | null
    /** Deliveries without an outcome. */
    open_deliveries: number
    /** Null where it is not, or was before this was recorded. */
    stored_at_ms: ColumnType<number | null, number | null | undefined, number>
    ended_at_ms: number | null
    /** 1 while the store may hold parts of it. */
    parts_held: number
    /** 1 where the content stands in `contents`, or stood there until the transfer ended. */
    held_in_ledger: ColumnType<number, number | undefined, number>
    /** 1 where all of it came, or was to come, as the body of one request. */
    one_request: ColumnType<number, number | undefined, number>
    /** Of its parts in the store. */
    generation: ColumnType<string, string | undefined, string>
  }
  /** The only part of a small file. */
  contents: {
    transfer_id: string
    /** hex */
    digest: string
    content: Uint8Array
  }
  deliveries: {
    transfer_id: string
    receiver_id: number
    receiver: string
    state: DeliveryState
    offers: number
    resends: number
    fetched_bytes: number
    offer_at_ms: number
    lease_id: string | null
    instance_id: string | null
    lease_expires_at_ms: number | null
    problem: string | null
    /** When it was offered first. */
    offered_at_ms: ColumnType<number | null, number | null | undefined, number>
    ended_at_ms: ColumnType<number | null, number | null | undefined, number>
  }
  events: {
    event_id: Generated<number>
    account_id: number
    transfer_id: string
    at_ms: number
    attempt: number
    notification: NotificationKind
    receiver: string | null
    problem: string | null
    wanted: string | null
    /** As the receiver signed it. */
    receipt: string | null
  }
}
