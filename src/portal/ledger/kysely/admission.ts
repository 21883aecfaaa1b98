import type { CompiledQuery, Insertable } from 'kysely'
import { type Announcement, type Metadata, type Notification, Problem } from '../../../protocol/index.ts'
import type { Admission, InlineContent, NewTransfer, Transfer } from '../contract.ts'
import { storageFull } from '../room.ts'
import type { LedgerTables } from '../schema.ts'
import type { Db, DeliveryRow, EventRow, Tx } from './context.ts'
import { appended, eventOf } from './events.ts'
import { type LockMode, locking } from './locks.ts'
import { prepared, together } from './prepared.ts'
import { loadTransfer, toTransfer } from './rows.ts'
import { countOpen, countTotals, selectTotals } from './totals.ts'

/** The content of a transfer that is stored from the beginning. */
export type InlineUpload = Pick<InlineContent, 'manifestDigest' | 'manifest'> & {
  readonly heldIn: 'store' | 'ledger'
  readonly generation: string
  /** The content that the ledger itself keeps; null when the store has it. */
  readonly kept: { readonly digest: string; readonly content: Uint8Array } | null
}

/** A transfer after its announcement. */
export interface Admitted {
  readonly transfer: Transfer
  /** Whether this announcement made the transfer. */
  readonly isNew: boolean
  /** `refused` if there was no room, `stored` if the content came with the announcement; otherwise null. */
  readonly notification: Notification | null
}

/**
 * Records a new transfer, or finds the one that the same announcement made. Runs inside a transaction.
 *
 * @param inline makes a new transfer `stored` at once. With it, the row of a known transfer stays locked until the transaction ends
 */
export async function admit(
  tx: Tx,
  transfer: NewTransfer,
  admission: Admission,
  atMs: number,
  inline: InlineUpload | null = null,
): Promise<Admitted> {
  const { transferId } = transfer
  const [[known], ...found] = await together(
    tx,
    (inline === null ? selectKnown : lockKnown).with(tx, transferId),
    // Locks the sender's row, so that two announcements cannot both take the last room.
    lockSender.with(tx, transfer.senderId),
    // A receiver must not be revoked before this commits, because its new delivery would then never be ended.
    lockReceivers(tx, transfer.to),
    selectTotals.with(tx),
  )
  if (known === undefined) return insertTransfer(tx, transfer, admission, atMs, inline, toParties(found))
  const isSame = known.sender_id === transfer.senderId && known.announcement === canonicalAnnouncement(transfer)
  const before = isSame ? await loadTransfer(tx, transferId) : null
  if (before === null) throw new Problem('transfer-conflict')
  return { transfer: before, isNew: false, notification: null }
}

async function insertTransfer(
  tx: Tx,
  transfer: NewTransfer,
  admission: Admission,
  atMs: number,
  inline: InlineUpload | null,
  parties: Parties,
): Promise<Admitted> {
  const { transferId, senderId } = transfer
  const sizeBytes = transfer.sizeBytes ?? 0
  const sizeKnown = transfer.sizeBytes === null ? 0 : 1
  const { sender, receivers } = mustBeAllowed(parties, transfer, admission)
  const freeBytes = freeFor(parties, sender, admission)
  const problem = sizeBytes > freeBytes ? storageFull(sizeBytes, freeBytes, admission) : null
  const problemText = problem === null ? null : JSON.stringify(problem)
  const stored = problem === null ? inline : null
  const isReceiving = problem === null && stored === null
  const made = insertTransferRow.with(tx, {
    transfer_id: transferId,
    sender_id: senderId,
    sender: sender.name,
    state: problem !== null ? 'refused' : stored !== null ? 'stored' : 'receiving',
    attempt: 1,
    announcement: canonicalAnnouncement(transfer),
    metadata: JSON.stringify(transfer.metadata),
    size_bytes: sizeBytes,
    size_known: sizeKnown,
    part_size_bytes: transfer.partSizeBytes,
    digest_algorithm: transfer.digestAlgorithm,
    manifest_digest: stored?.manifestDigest ?? null,
    manifest: stored?.manifest ?? null,
    problem: problemText,
    created_at_ms: atMs,
    expires_at_ms: atMs + admission.expiryMs,
    upload_deadline_ms: isReceiving ? atMs + admission.uploadTimeoutMs : null,
    open_deliveries: problem === null ? receivers.length : 0,
    stored_at_ms: stored === null ? null : atMs,
    ended_at_ms: problem === null ? null : atMs,
    parts_held: isReceiving || stored?.heldIn === 'store' ? 1 : 0,
    held_in_ledger: stored?.heldIn === 'ledger' ? 1 : 0,
    one_request: transfer.isOneRequest === true ? 1 : 0,
    generation: stored?.generation ?? '',
  })
  const waiting = receivers.map(({ account_id, name }) => ({
    transfer_id: transferId,
    receiver_id: account_id,
    receiver: name,
    state: problem === null ? ('waiting' as const) : ('failed' as const),
    offers: 0,
    resends: 0,
    fetched_bytes: 0,
    size_known: sizeKnown,
    offer_at_ms: atMs,
    lease_id: null,
    instance_id: null,
    lease_expires_at_ms: null,
    problem: problemText,
    ended_at_ms: problem === null ? null : atMs,
  }))
  const about = { accountId: senderId, transferId, atMs, attempt: 1 }
  const event =
    problem !== null
      ? eventOf(tx, about, { notification: 'refused', problem: problem.toJSON() })
      : stored !== null
        ? eventOf(tx, about, { notification: 'stored' })
        : null
  const [[row], deliveries, ...others] = await together(
    tx,
    made,
    deliveriesOf(tx, waiting),
    ...(event === null ? [] : [event]),
    ...(problem === null
      ? countOpen(tx, senderId, { open_transfers: 1, open_bytes: sizeBytes, open_deliveries: receivers.length })
      : [countTotals(tx, senderId, { refused: 1, failed: receivers.length })]),
    ...(stored?.kept == null ? [] : [contentOf(tx, transferId, stored.kept)]),
  )
  if (row === undefined) throw new Error('a transfer was not written')
  deliveries.sort((one, other) => one.receiver_id - other.receiver_id)
  const notification = event === null ? null : appended(others[0] as EventRow[])
  return { transfer: toTransfer(row, deliveries), isNew: true, notification }
}

const insertTransferRow = prepared((db, row: Insertable<LedgerTables['transfers']>) =>
  db.insertInto('transfers').values(row).returningAll(),
)

const insertDelivery = prepared((db, row: Insertable<LedgerTables['deliveries']>) => insertDeliveries(db, [row]))

function insertDeliveries(db: Db, rows: readonly Insertable<LedgerTables['deliveries']>[]) {
  return db.insertInto('deliveries').values(rows).returningAll()
}

/** The statement that inserts the deliveries. It is prepared for one receiver, as most transfers have. */
function deliveriesOf(tx: Tx, rows: readonly Insertable<LedgerTables['deliveries']>[]): CompiledQuery<DeliveryRow> {
  const [only, ...others] = rows
  if (only !== undefined && others.length === 0) return insertDelivery.with(tx, only)
  return insertDeliveries(tx, rows).compile()
}

/** The statement that stores the content of a small file. */
export function contentOf(
  tx: Tx,
  transferId: string,
  { digest, content }: NonNullable<InlineUpload['kept']>,
): CompiledQuery {
  return insertContent.with(tx, transferId, digest, content)
}

const insertContent = prepared((db, transferId: string, digest: string, content: Uint8Array) =>
  db.insertInto('contents').values({ transfer_id: transferId, digest, content }),
)

/** How large a transfer may become if it is announced now. @throws Problem like an announcement */
export async function roomBytes(
  db: Db,
  transfer: Pick<NewTransfer, 'senderId' | 'to'>,
  admission: Admission,
): Promise<number> {
  const parties = toParties(
    await together(
      db,
      selectSender.with(db, transfer.senderId),
      receiversNamed(db, transfer.to, null).compile(),
      selectTotals.with(db),
    ),
  )
  return freeFor(parties, mustBeAllowed(parties, transfer, admission).sender, admission)
}

/** The rows that an announcement depends on. */
interface Parties {
  readonly sender: { name: string; open_transfers: number; open_bytes: number; revoked_at_ms: number | null } | null
  readonly receivers: readonly { account_id: number; name: string }[]
  readonly openBytes: number
}

function toParties([[sender], receivers, [totals]]: [
  NonNullable<Parties['sender']>[],
  Parties['receivers'],
  { open_bytes: number }[],
]): Parties {
  if (totals === undefined) throw new Error('the ledger has no totals')
  return { sender: sender ?? null, receivers, openBytes: totals.open_bytes }
}

/** How much further a stream of an account may reach. The caller has locked the transfer, and gets the account locked. */
export async function streamRoomBytes(tx: Tx, senderId: number, bounds: StreamBounds): Promise<number> {
  const [[sender], [totals]] = await together(tx, lockSender.with(tx, senderId), selectTotals.with(tx))
  if (sender === undefined || totals === undefined) throw new Error('the ledger has no totals')
  return freeFor({ openBytes: totals.open_bytes }, sender, bounds)
}

type StreamBounds = Pick<Admission, 'accountBytesMax' | 'storageBytesMax' | 'freeBytes'>

function freeFor(
  { openBytes }: Pick<Parties, 'openBytes'>,
  sender: { open_bytes: number },
  admission: StreamBounds,
): number {
  return Math.max(
    0,
    Math.min(
      admission.accountBytesMax - sender.open_bytes,
      admission.storageBytesMax - openBytes,
      admission.freeBytes ?? Number.POSITIVE_INFINITY,
    ),
  )
}

const selectKnown = prepared((db, transferId: string) =>
  db.selectFrom('transfers').select(['sender_id', 'announcement']).where('transfer_id', '=', transferId),
)

const lockKnown = prepared((db, transferId: string) =>
  db
    .selectFrom('transfers')
    .select(['sender_id', 'announcement'])
    .where('transfer_id', '=', transferId)
    .$call(locking(db, 'change')),
)

const selectSender = prepared((db, accountId: number) => senderWith(db, accountId))

const lockSender = prepared((db, accountId: number) => senderWith(db, accountId).$call(locking(db, 'change')))

function senderWith(db: Db, accountId: number) {
  return db
    .selectFrom('accounts')
    .select(['name', 'open_transfers', 'open_bytes', 'revoked_at_ms'])
    .where('account_id', '=', accountId)
}

/** The named accounts that can receive. */
function receiversNamed(db: Db, names: readonly string[], mode: LockMode | null) {
  const query = db
    .selectFrom('accounts')
    .select(['account_id', 'name'])
    .where('name', 'in', names)
    .where('revoked_at_ms', 'is', null)
  return mode === null ? query : query.$call(locking(db, mode))
}

function lockReceivers(tx: Tx, names: readonly string[]) {
  const [only, ...others] = names
  if (only !== undefined && others.length === 0) return lockReceiver.with(tx, only)
  return receiversNamed(tx, names, 'refer').compile()
}

const lockReceiver = prepared((db, name: string) => receiversNamed(db, [name], 'refer'))

/** @throws Problem `credentials-invalid`, `receiver-unknown`, `too-many-transfers` */
function mustBeAllowed(
  { sender, receivers }: Parties,
  { to }: Pick<NewTransfer, 'to'>,
  { accountTransfersMax }: Admission,
) {
  // The account may have been revoked since the request was authenticated. Then nothing new may be opened, because its open transfers
  // are ended only once.
  if (sender === null || sender.revoked_at_ms !== null) throw new Problem('credentials-invalid')
  const unknown = to.filter((name) => !receivers.some((receiver) => receiver.name === name))
  if (unknown.length > 0) throw new Problem('receiver-unknown', { receivers: unknown })
  if (sender.open_transfers >= accountTransfersMax) {
    throw new Problem('too-many-transfers', { transfersMax: accountTransfersMax })
  }
  return { sender, receivers }
}

/** A text that is the same for equal announcements, whatever the order of their members. */
function canonicalAnnouncement({ to, metadata, sizeBytes, partSizeBytes, digestAlgorithm }: Announcement): string {
  return JSON.stringify([[...to].sort(), canonicalMetadata(metadata), sizeBytes, partSizeBytes, digestAlgorithm])
}

function canonicalMetadata(metadata: Metadata): readonly unknown[] {
  if (!('sealed' in metadata)) return [metadata.name, metadata.mediaType ?? null]
  const keys = Object.entries(metadata.keys).sort(([one], [other]) => (one < other ? -1 : 1))
  return [metadata.sealed, keys]
}
