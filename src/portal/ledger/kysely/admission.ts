import { type CompiledQuery, type Insertable, sql } from 'kysely'
import { type Announcement, type Metadata, type Notification, Problem } from '../../../protocol/index.ts'
import type { Admission, InlineContent, NewTransfer, RoomBounds, Transfer } from '../contract.ts'
import { storageFull } from '../room.ts'
import type { LedgerTables } from '../schema.ts'
import type { Db, DeliveryRow, EventRow, TransferRow, Tx } from './context.ts'
import { appended, eventOf } from './events.ts'
import {
  boundsFor,
  countInRequest,
  type GuestColumns,
  type GuestSide,
  guestColumns,
  guestRoomBytes,
  guestsAnnounced,
  isReachable,
  lockGuestSide,
  requireRequestRoom,
  requireRoomToReopen,
} from './guest-admission.ts'
import { type LockMode, locking } from './locks.ts'
import { prepared, together } from './prepared.ts'
import { loadTransfer, RESUMABLE, toTransfer } from './rows.ts'
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
  if (known === undefined) {
    const parties = toParties(found)
    const { sender, receivers } = mustBeAllowed(parties, transfer, admission, atMs)
    if (transfer.isResumable === true) await requireUploadPlace(tx, transfer.senderId, admission.accountUploadsMax)
    const side = await lockGuestSide(tx, sender, receivers, atMs)
    await requireRoomToReopen(tx, sender, receivers, admission.accountGuestsMax, atMs)
    return insertTransfer(tx, transfer, admission, atMs, inline, { ...parties, sender, receivers, side })
  }
  const isSame = known.sender_id === transfer.senderId && known.announcement === canonicalAnnouncement(transfer)
  const before = isSame ? await loadTransfer(tx, transferId) : null
  if (before === null) throw new Problem('transfer-conflict')
  return { transfer: before, isNew: false, notification: null }
}

/** An upload that its client may continue stays open longer than a request, so an account has few. @throws Problem `too-many-transfers` */
async function requireUploadPlace(tx: Tx, senderId: number, uploadsMax: number): Promise<void> {
  const open = await selectResumable(tx, senderId, uploadsMax)
  if (open.length >= uploadsMax) throw new Problem('too-many-transfers', { uploadsMax })
}

const selectResumable = prepared((db, senderId: number, limit: number) =>
  db
    .selectFrom('transfers')
    .select('sender_id')
    .where('sender_id', '=', senderId)
    // Literals, because only then the partial index can be used.
    .where('state', '=', sql.lit('receiving'))
    .where('one_request', '=', sql.lit(RESUMABLE))
    .limit(limit),
)

async function insertTransfer(
  tx: Tx,
  transfer: NewTransfer,
  admission: Admission,
  atMs: number,
  inline: InlineUpload | null,
  parties: AllowedParties,
): Promise<Admitted> {
  const { transferId, senderId } = transfer
  const sizeBytes = transfer.sizeBytes ?? 0
  const sizeKnown = transfer.sizeBytes === null ? 0 : 1
  const { sender, receivers, side } = parties
  requireRequestRoom(side, 1, sizeBytes)
  const freeBytes = freeFor(parties, sender, side, admission)
  const problem = sizeBytes > freeBytes ? storageFull(sizeBytes, freeBytes, boundsFor(side, admission)) : null
  const problemText = problem === null ? null : JSON.stringify(problem)
  const stored = problem === null ? inline : null
  const isReceiving = problem === null && stored === null
  const links = { sender_id: senderId, guest_owner_id: side?.ownerId ?? null }
  const made = insertTransferRow.with(tx, {
    transfer_id: transferId,
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
    one_request: transfer.isResumable === true ? RESUMABLE : transfer.isOneRequest === true ? 1 : 0,
    generation: stored?.generation ?? '',
    ...links,
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
    ...(side === null ? [] : guestsAnnounced(tx, [sender, ...receivers], problem === null)),
    ...(side?.request == null || problem !== null ? [] : [countInRequest(tx, senderId, 1, sizeBytes)]),
    ...(problem === null
      ? countOpen(tx, links, { open_transfers: 1, open_bytes: sizeBytes, open_deliveries: receivers.length })
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

/** How large a transfer may become if it is announced now. Transfers from and to guests do not come this way. @throws Problem like an announcement */
export async function roomBytes(
  db: Db,
  transfer: Pick<NewTransfer, 'senderId' | 'to'>,
  admission: Admission,
  atMs: number,
): Promise<number> {
  const parties = toParties(
    await together(
      db,
      selectSender.with(db, transfer.senderId),
      receiversNamed(db, transfer.to, null).compile(),
      selectTotals.with(db),
    ),
  )
  return freeFor(parties, mustBeAllowed(parties, transfer, admission, atMs).sender, null, admission)
}

type SenderRow = GuestColumns & {
  readonly account_id: number
  readonly name: string
  readonly open_transfers: number
  readonly open_bytes: number
  readonly revoked_at_ms: number | null
}
type ReceiverRow = GuestColumns & { readonly account_id: number; readonly name: string }

/** The rows that an announcement depends on. */
interface Parties {
  readonly sender: SenderRow | null
  readonly receivers: readonly ReceiverRow[]
  readonly openBytes: number
}

/** The same, once they are checked. */
interface AllowedParties extends Parties {
  readonly sender: SenderRow
  readonly side: GuestSide | null
}

function toParties([[sender], receivers, [totals]]: [
  NonNullable<Parties['sender']>[],
  Parties['receivers'],
  { open_bytes: number }[],
]): Parties {
  if (totals === undefined) throw new Error('the ledger has no totals')
  return { sender: sender ?? null, receivers, openBytes: totals.open_bytes }
}

/** How much further a stream may reach. The caller has locked the transfer, and gets the accounts locked. */
export async function streamRoom(
  tx: Tx,
  { sender_id, guest_owner_id }: Pick<TransferRow, 'sender_id' | 'guest_owner_id'>,
  bounds: RoomBounds,
  atMs: number,
): Promise<{ freeBytes: number; side: GuestSide | null }> {
  const [[sender], [totals]] = await together(tx, lockSender.with(tx, sender_id), selectTotals.with(tx))
  if (sender === undefined || totals === undefined) throw new Error('the ledger has no totals')
  const guests = guest_owner_id === sender_id ? [{ ...sender, owner_id: sender_id }] : []
  const side = guest_owner_id === null ? null : await lockGuestSide(tx, sender, guests, atMs)
  return { freeBytes: freeFor({ openBytes: totals.open_bytes }, sender, side, bounds), side }
}

function freeFor(
  { openBytes }: Pick<Parties, 'openBytes'>,
  sender: { open_bytes: number },
  side: GuestSide | null,
  bounds: RoomBounds,
): number {
  return Math.max(
    0,
    Math.min(
      bounds.accountBytesMax - sender.open_bytes,
      bounds.storageBytesMax - openBytes,
      bounds.freeBytes ?? Number.POSITIVE_INFINITY,
      guestRoomBytes(side, bounds),
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
    .select(['account_id', 'name', 'open_transfers', 'open_bytes', 'revoked_at_ms', ...guestColumns])
    .where('account_id', '=', accountId)
}

/** The named accounts that can receive. */
function receiversNamed(db: Db, names: readonly string[], mode: LockMode | null) {
  const query = db
    .selectFrom('accounts')
    .select(['account_id', 'name', ...guestColumns])
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
  atMs: number,
) {
  // The account may have been revoked since the request was authenticated. Then nothing new may be opened, because its open transfers
  // are ended only once.
  if (sender === null || sender.revoked_at_ms !== null) throw new Problem('credentials-invalid')
  if (sender.owner_id !== null && (sender.expires_at_ms ?? 0) <= atMs) throw new Problem('credentials-invalid')
  const reachable = receivers.filter((receiver) => isReachable(receiver, sender, atMs))
  const unknown = to.filter((name) => !reachable.some((receiver) => receiver.name === name))
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
