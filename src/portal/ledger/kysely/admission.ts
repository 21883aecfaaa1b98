import { type Announcement, type Metadata, type Notification, Problem } from '../../../protocol/index.ts'
import type { Admission, NewTransfer, Transfer, WholeContent } from '../contract.ts'
import { appendEvent } from './events.ts'
import { prepared } from './prepared.ts'
import { countOpen, type Db, loadTransfer, type Tx, toTransfer } from './rows.ts'

/** What makes a transfer one that is stored from the beginning: all of its content is there. */
export type Whole = Pick<WholeContent, 'manifestDigest' | 'manifest'> & {
  readonly heldIn: 'store' | 'ledger'
  readonly generation: string
}

/** A transfer as it stands after it was announced. */
export interface Admitted {
  readonly transfer: Transfer
  /** Whether this announcement made it. */
  readonly isNew: boolean
  /** That it was refused, where this announcement found no room; that it is stored, where that came with it. */
  readonly notification: Notification | null
}

/**
 * Records a new transfer, or finds the one that the same announcement made, inside a transaction.
 *
 * @param whole makes a new one `stored` at once
 */
export async function admit(
  tx: Tx,
  transfer: NewTransfer,
  admission: Admission,
  atMs: number,
  whole: Whole | null = null,
): Promise<Admitted> {
  const [known] = await selectKnown(tx, transfer.transferId)
  if (known === undefined) return insertTransfer(tx, transfer, admission, atMs, whole)
  const isSame = known.sender_id === transfer.senderId && known.announcement === canonicalAnnouncement(transfer)
  const before = isSame ? await loadTransfer(tx, transfer.transferId) : null
  if (before === null) throw new Problem('transfer-conflict')
  return { transfer: before, isNew: false, notification: null }
}

async function insertTransfer(
  tx: Tx,
  transfer: NewTransfer,
  admission: Admission,
  atMs: number,
  whole: Whole | null,
): Promise<Admitted> {
  const { transferId, senderId, sizeBytes } = transfer
  const { sender, receivers } = await partiesOf(tx, transfer, admission)
  const freeBytes = await freeFor(tx, sender, admission)
  const problem = sizeBytes > freeBytes ? new Problem('storage-full', { neededBytes: sizeBytes, freeBytes }) : null
  const problemText = problem === null ? null : JSON.stringify(problem)
  const stored = problem === null ? whole : null
  const isReceiving = problem === null && stored === null
  const row = await tx
    .insertInto('transfers')
    .values({
      transfer_id: transferId,
      sender_id: senderId,
      sender: sender.name,
      state: problem !== null ? 'refused' : stored !== null ? 'stored' : 'receiving',
      attempt: 1,
      announcement: canonicalAnnouncement(transfer),
      metadata: JSON.stringify(transfer.metadata),
      size_bytes: sizeBytes,
      part_size_bytes: transfer.partSizeBytes,
      digest_algorithm: transfer.digestAlgorithm,
      manifest_digest: stored?.manifestDigest ?? null,
      manifest: stored?.manifest ?? null,
      problem: problemText,
      created_at_ms: atMs,
      expires_at_ms: atMs + admission.expiryMs,
      upload_deadline_ms: isReceiving ? atMs + admission.uploadTimeoutMs : null,
      open_deliveries: problem === null ? receivers.length : 0,
      ended_at_ms: problem === null ? null : atMs,
      parts_held: isReceiving || stored?.heldIn === 'store' ? 1 : 0,
      held_in_ledger: stored?.heldIn === 'ledger' ? 1 : 0,
      one_request: transfer.isOneRequest === true ? 1 : 0,
      generation: stored?.generation ?? '',
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  const deliveries = await tx
    .insertInto('deliveries')
    .values(
      receivers.map(({ account_id, name }) => ({
        transfer_id: transferId,
        receiver_id: account_id,
        receiver: name,
        state: problem === null ? ('waiting' as const) : ('failed' as const),
        offers: 0,
        resends: 0,
        fetched_bytes: 0,
        offer_at_ms: atMs,
        lease_id: null,
        instance_id: null,
        lease_expires_at_ms: null,
        problem: problemText,
      })),
    )
    .returningAll()
    .execute()
  deliveries.sort((one, other) => one.receiver_id - other.receiver_id)
  const made = toTransfer(row, deliveries)
  const about = { accountId: senderId, transferId, atMs, attempt: 1 }
  if (problem !== null) {
    const notification = await appendEvent(tx, about, { notification: 'refused', problem: problem.toJSON() })
    return { transfer: made, isNew: true, notification }
  }
  await countOpen(tx, senderId, { transfers: 1, bytes: sizeBytes })
  const notification = stored === null ? null : await appendEvent(tx, about, { notification: 'stored' })
  return { transfer: made, isNew: true, notification }
}

/** How large a transfer could be that was announced now. @throws Problem like an announcement */
export async function roomBytes(db: Db, transfer: Parties, admission: Admission): Promise<number> {
  const { sender } = await partiesOf(db, transfer, admission)
  return freeFor(db, sender, admission)
}

async function freeFor(db: Db, sender: { readonly open_bytes: number }, admission: Admission): Promise<number> {
  const [totals] = await selectTotals(db)
  if (totals === undefined) throw new Error('the ledger has no totals')
  return Math.max(
    0,
    Math.min(
      admission.accountBytesMax - sender.open_bytes,
      admission.storageBytesMax - totals.open_bytes,
      admission.freeBytes ?? Number.POSITIVE_INFINITY,
    ),
  )
}

type Parties = Pick<NewTransfer, 'senderId' | 'to'>

const selectKnown = prepared((db, transferId: string) =>
  db.selectFrom('transfers').select(['sender_id', 'announcement']).where('transfer_id', '=', transferId),
)

const selectTotals = prepared((db) => db.selectFrom('totals').select('open_bytes').where('id', '=', 1))

const selectSender = prepared((db, accountId: number) =>
  db
    .selectFrom('accounts')
    .select(['name', 'open_transfers', 'open_bytes', 'revoked_at_ms'])
    .where('account_id', '=', accountId),
)

/** @throws Problem `credentials-invalid`, `receiver-unknown`, `too-many-transfers` */
async function partiesOf(db: Db, { senderId, to }: Parties, { accountTransfersMax }: Admission) {
  const [sender] = await selectSender(db, senderId)
  // Its token was valid when this request came. After a revocation nothing new is opened: what was open is ended once.
  if (sender === undefined || sender.revoked_at_ms !== null) throw new Problem('credentials-invalid')
  const receivers = await db
    .selectFrom('accounts')
    .select(['account_id', 'name'])
    .where('name', 'in', to)
    .where('revoked_at_ms', 'is', null)
    .execute()
  const unknown = to.filter((name) => !receivers.some((receiver) => receiver.name === name))
  if (unknown.length > 0) throw new Problem('receiver-unknown', { receivers: unknown })
  if (sender.open_transfers >= accountTransfersMax) {
    throw new Problem('too-many-transfers', { transfersMax: accountTransfersMax })
  }
  return { sender, receivers }
}

/** One text for one announcement, whatever the order of its members on the wire. */
function canonicalAnnouncement({ to, metadata, sizeBytes, partSizeBytes, digestAlgorithm }: Announcement): string {
  return JSON.stringify([[...to].sort(), canonicalMetadata(metadata), sizeBytes, partSizeBytes, digestAlgorithm])
}

function canonicalMetadata(metadata: Metadata): readonly unknown[] {
  if (!('sealed' in metadata)) return [metadata.name, metadata.mediaType ?? null]
  const keys = Object.entries(metadata.keys).sort(([one], [other]) => (one < other ? -1 : 1))
  return [metadata.sealed, keys]
}
