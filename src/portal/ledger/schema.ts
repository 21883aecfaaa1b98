/** The tables as types for Kysely. `schema.sql` has the real schema, which the migrations make. */
import type { ColumnType, Generated } from 'kysely'
import type { DeliveryState, NotificationKind, TransferState } from '../../protocol/index.ts'
import type { AccountChangeKind } from './accounts-contract.ts'
import type { Duty } from './contract.ts'
import type { WebhookMessageRecord } from './webhooks-contract.ts'

/**
 * The state of a guest.
 * - `fresh`: a receiving guest that no file was announced to.
 * - `open`: a file for it is under way.
 * - `failed`: its last file failed; its owner may send another one.
 * - `taken`: it has received its file.
 * - `sending`: a sending guest.
 * - `ended`: it has expired, or was revoked.
 * - `cleared`: nothing is remembered of it, and its row can be used for another guest.
 */
export type GuestState = 'fresh' | 'open' | 'failed' | 'taken' | 'sending' | 'ended' | 'cleared'

export interface LedgerTables {
  accounts: {
    account_id: Generated<number>
    name: string
    token_id: string
    token_hash: string
    /** Public keys in their wire format; null before the account has set some. */
    keys: ColumnType<string | null, string | null | undefined, string | null>
    created_at_ms: number
    /** Updated with every change of a transfer, so that admission reads only one row. */
    open_transfers: ColumnType<number, number | undefined, number>
    open_bytes: ColumnType<number, number | undefined, number>
    revoked_at_ms: ColumnType<number | null, number | undefined, number | null>
    /** 1 while a revoked account may still have open uploads or deliveries. */
    revocation_due: ColumnType<number, number | undefined, number>
    /** 1 for an account that may see the state of the whole portal. */
    is_operator: ColumnType<number, number | undefined, number>
    /** The account that a guest belongs to; null for an account of a person. */
    owner_id: ColumnType<number | null, number | undefined, number>
    /** The request that a sending guest belongs to. */
    request_id: ColumnType<string | null, string | null | undefined, string | null>
    /** When a guest's token ends. */
    expires_at_ms: ColumnType<number | null, number | undefined, number>
    guest_state: ColumnType<GuestState | null, GuestState | undefined, GuestState>
    /** Remembered transfers from and to a guest. */
    guest_transfers: ColumnType<number, number | undefined, number>
    /** Of an owner: the bytes of open transfers from and to its guests. */
    guest_bytes: ColumnType<number, number | undefined, number>
  }
  file_requests: {
    request_id: string
    owner_id: number
    secret_hash: string
    /** Sealed for the owner. */
    label: string | null
    created_at_ms: number
    /** When it expires, or was closed. */
    ends_at_ms: number
    is_closed: ColumnType<number, number | undefined, number>
    /** 1 until no upload is under way after its end. */
    uploads_due: ColumnType<number, number | undefined, number>
    files_max: number
    bytes_max: number
    /** Sending guests that were ever made. */
    guests: ColumnType<number, number | undefined, number>
    /** Transfers that are on their way or were stored, and their bytes. */
    files: ColumnType<number, number | undefined, number>
    bytes: ColumnType<number, number | undefined, number>
  }
  invites: {
    secret_hash: string
    name: string
    expires_at_ms: number
    /** The token that used the invite up. */
    token_id: string | null
    /** The account that the invite renews; null for an invite that opens one. */
    account_id: number | null
    /** 1 when the account that it opens will be an operator's. */
    is_operator: ColumnType<number, number | undefined, number>
  }
  account_changes: {
    change_id: Generated<number>
    at_ms: number
    change: AccountChangeKind
    name: string
    /** The token that this change has made invalid. */
    dead_token_id: string | null
  }
  audit_log: {
    id: number
    /** The last change that is in the audit log. */
    change_id: number
  }
  duties: {
    duty: Duty
    /** The portal that has the duty. */
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
  clock: {
    id: number
    /** The last recorded check of the clock, by that clock; 0 before the first. */
    at_ms: number
    /** Time that the clock has skipped, and that does not count as passed. */
    uncounted_ms: number
  }
  totals: {
    id: number
    open_transfers: number
    open_bytes: number
    /** Ended transfers that are still remembered. */
    ended: ColumnType<number, number | undefined, number>
    refused: ColumnType<number, number | undefined, number>
    cancelled: ColumnType<number, number | undefined, number>
    expired: ColumnType<number, number | undefined, number>
    /** Deliveries without and with an outcome, of all remembered transfers. */
    open_deliveries: ColumnType<number, number | undefined, number>
    delivered: ColumnType<number, number | undefined, number>
    failed: ColumnType<number, number | undefined, number>
    /** Accounts that are not revoked. */
    accounts: ColumnType<number, number | undefined, number>
  }
  /** The heartbeat of each running portal. */
  portals: {
    portal_id: string
    node: string
    since_ms: number
    seen_ms: number
    receiver_count: number
    /** Connected receivers and the start of each connection, as JSON. */
    receivers: string
  }
  /** The throughput of each portal in each minute. */
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
    /** The announcement, to recognise its repetition. */
    announcement: string
    metadata: string
    /** For a stream, until its size is known: the end of the last part that has begun to arrive. */
    size_bytes: number
    /** 0 for a stream that is not stored. */
    size_known: ColumnType<number, number | undefined, number>
    /** Of an upload of unknown length, what it has of the next part. It counts in the open bytes, too. */
    tail_bytes: ColumnType<number, number | undefined, number>
    part_size_bytes: number
    digest_algorithm: string
    manifest_digest: string | null
    /** The manifest as the sender signed it. */
    manifest: ColumnType<string | null, string | null | undefined, string | null>
    problem: string | null
    created_at_ms: number
    expires_at_ms: number
    upload_deadline_ms: number | null
    /** Deliveries without an outcome. */
    open_deliveries: number
    /** Null before it is stored, and in old rows without this time. */
    stored_at_ms: ColumnType<number | null, number | null | undefined, number>
    ended_at_ms: number | null
    /** 1 while the store may hold parts of it. */
    parts_held: number
    /** 1 when the content is in `contents`, or was until the transfer ended. */
    held_in_ledger: ColumnType<number, number | undefined, number>
    /** 1 when the content came, or was to come, as the body of one request; 2 when later requests may continue that upload. */
    one_request: ColumnType<number, number | undefined, number>
    /** The generation of its parts in the store. */
    generation: ColumnType<string, string | undefined, string>
    /** The account whose `guest_bytes` count it: the owner of the guest that sends it, or of guests that receive it. */
    guest_owner_id: ColumnType<number | null, number | null | undefined, number>
  }
  uploads: {
    transfer_id: string
    account_id: number
    protocol: string
    secret_hash: string
    attempt: number
    generation: string
    is_keyed: number
    length_bytes: number | null
    repr_digest: string | null
    metadata: string | null
    /** The request that writes. */
    writer_id: string | null
    offset_bytes: number
    /** The segments of the part that is not complete yet, as JSON. */
    tail: string
  }
  /** The parts that an upload resource has. The store may also hold parts of requests that were replaced. */
  upload_parts: {
    transfer_id: string
    part_number: number
    /** hex */
    digest: string
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
    /** The same as in the transfer. */
    size_known: ColumnType<number, number | undefined, number>
    offers: number
    resends: number
    fetched_bytes: number
    offer_at_ms: number
    lease_id: string | null
    instance_id: string | null
    lease_expires_at_ms: number | null
    problem: string | null
    /** When it was first offered. */
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
    /** The receipt as the receiver signed it. */
    receipt: string | null
  }
  webhooks: {
    webhook_id: string
    account_id: number
    url: string
    /** The notifications that it is for, separated by commas. */
    kinds: string
    secret: string
    /** 1 for the events of all accounts. */
    whole_portal: number
    created_at_ms: number
    /** The number of the last event that a message was made of, or that it is not for. */
    cursor_event: number
    /** Messages without an outcome. */
    open_messages: ColumnType<number, number | undefined, number>
    /** Tries in a row that failed. */
    failures: ColumnType<number, number | undefined, number>
    failing_since_ms: ColumnType<number | null, number | undefined, number | null>
    /** Nothing is sent before this time. */
    pause_until_ms: ColumnType<number | null, number | undefined, number | null>
    /** When its next message is due; null when none waits. */
    next_at_ms: ColumnType<number | null, number | undefined, number | null>
    served_at_ms: ColumnType<number, number | undefined, number>
    /** The portal that serves it, until this time. */
    lease_portal_id: ColumnType<string | null, string | undefined, string | null>
    lease_expires_at_ms: ColumnType<number | null, number | undefined, number | null>
    disabled_at_ms: ColumnType<number | null, number | undefined, number | null>
    /** Why it is disabled. */
    reason: ColumnType<string | null, string | undefined, string | null>
  }
  webhook_messages: {
    message_id: string
    webhook_id: string
    /** The event that it tells; for a test, the last event before it. */
    event_number: number
    kind: WebhookMessageRecord['kind']
    /** Null for a test. */
    transfer_id: string | null
    state: WebhookMessageRecord['state']
    /** What is sent; null once it has ended. */
    body: string | null
    created_at_ms: number
    attempts: ColumnType<number, number | undefined, number>
    next_at_ms: number
    /** A try that fails after this time is the last one. */
    give_up_at_ms: number
    tried_at_ms: ColumnType<number | null, number | undefined, number>
    ended_at_ms: ColumnType<number | null, number | undefined, number>
    status: ColumnType<number | null, number | null | undefined, number | null>
    reason: ColumnType<string | null, string | null | undefined, string | null>
  }
}
