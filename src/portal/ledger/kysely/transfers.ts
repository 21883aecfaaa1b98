import {
  type Announcement,
  assertDeliveryMove,
  assertTransferMove,
  type Metadata,
  Problem,
  type ProblemJson,
  type TransferState,
} from '../../../protocol/index.ts'
import type { Admission, Ledger, NewTransfer, Transfer, TransferChange } from '../contract.ts'
import { appendEvent } from './events.ts'
import { countOpen, type LedgerContext, loadTransfer, RENEW_BELOW, type Tx, withDeliveries } from './rows.ts'

/** Transfers: how they are admitted, and the one door for their state. */
export function transfers({
  db,
  now,
}: LedgerContext): Pick<Ledger, 'announce' | 'transfer' | 'transfersOf' | 'touchTransfer' | 'moveTransfer'> {
  return {
    async announce(transfer, admission) {
      return db.transaction().execute(async (tx) => {
        const known = await tx
          .selectFrom('transfers')
          .select(['sender_id', 'announcement'])
          .where('transfer_id', '=', transfer.transferId)
          .executeTakeFirst()
        if (known !== undefined) {
          const isSame = known.sender_id === transfer.senderId && known.announcement === canonicalAnnouncement(transfer)
          if (!isSame) throw new Problem('transfer-conflict')
          return { transfer: await mustLoad(tx, transfer.transferId), isNew: false }
        }
        await insertTransfer(tx, transfer, admission, now())
        return { transfer: await mustLoad(tx, transfer.transferId), isNew: true }
      })
    },

    transfer: (transferId) => loadTransfer(db, transferId),

    async transfersOf(senderId, { before, limit }) {
      const rows = await db
        .selectFrom('transfers')
        .selectAll()
        .where('sender_id', '=', senderId)
        .$if(before !== null, (query) => query.where('transfer_id', '<', before ?? ''))
        .orderBy('transfer_id', 'desc')
        .limit(limit)
        .execute()
      return Promise.all(rows.map((row) => withDeliveries(db, row)))
    },

    async touchTransfer(transferId, uploadTimeoutMs) {
      await db
        .updateTable('transfers')
        .set({ upload_deadline_ms: now() + uploadTimeoutMs })
        .where('transfer_id', '=', transferId)
        .where('state', '=', 'receiving')
        .where((eb) =>
          eb.or([
            eb('upload_deadline_ms', 'is', null),
            eb('upload_deadline_ms', '<', now() + uploadTimeoutMs * RENEW_BELOW),
          ]),
        )
        .execute()
    },

    async moveTransfer(transferId, from, change) {
      assertTransferMove(from.state, change.state)
      return db.transaction().execute(async (tx) => {
        const atMs = now()
        const row = await tx
          .updateTable('transfers')
          .set(columnsOf(change, from.attempt, atMs))
          .where('transfer_id', '=', transferId)
          .where('state', '=', from.state)
          .where('attempt', '=', from.attempt)
          .returning(['sender_id', 'size_bytes', 'open_deliveries'])
          .executeTakeFirst()
        if (row === undefined) return null
        const about = { accountId: row.sender_id, transferId, atMs, attempt: from.attempt }
        switch (change.state) {
          case 'stored':
            await appendEvent(tx, about, { notification: 'stored' })
            await tellEarlyFailures(tx, about)
            if (row.open_deliveries === 0) await endTransfer(tx, transferId, 'stored', atMs)
            break
          case 'receiving':
            await appendEvent(tx, about, {
              notification: 'resend',
              problem: change.problem,
              wanted: change.wanted,
            })
            break
          default:
            await appendEvent(tx, about, { notification: 'refused', problem: change.problem })
            await dropDeliveries(tx, transferId, change.problem)
            await countOpen(tx, row.sender_id, { transfers: -1, bytes: -row.size_bytes })
        }
        return mustLoad(tx, transferId)
      })
    },
  }
}

/**
 * The last delivery of a stored transfer has ended, and with it the transfer.
 * Called inside the transaction of the move that ended it.
 */
export async function endTransfer(tx: Tx, transferId: string, from: TransferState, atMs: number): Promise<void> {
  assertTransferMove(from, 'ended')
  const { sender_id, size_bytes } = await tx
    .updateTable('transfers')
    .set({ state: 'ended', ended_at_ms: atMs })
    .where('transfer_id', '=', transferId)
    .where('state', '=', from)
    .returning(['sender_id', 'size_bytes'])
    .executeTakeFirstOrThrow()
  await countOpen(tx, sender_id, { transfers: -1, bytes: -size_bytes })
}

function columnsOf(change: TransferChange, attempt: number, atMs: number) {
  switch (change.state) {
    case 'stored':
      return {
        state: change.state,
        manifest_digest: change.manifestDigest,
        manifest: change.manifest,
        upload_deadline_ms: null,
      }
    case 'receiving':
      return {
        attempt: attempt + 1,
        upload_deadline_ms: change.uploadTimeoutMs === null ? null : atMs + change.uploadTimeoutMs,
      }
    default:
      return {
        state: change.state,
        problem: JSON.stringify(change.problem),
        upload_deadline_ms: null,
        open_deliveries: 0,
        ended_at_ms: atMs,
      }
  }
}

/** Receivers that refused before the file was stored: the sender hears of it only now, as it should. */
async function tellEarlyFailures(
  tx: Tx,
  about: { accountId: number; transferId: string; atMs: number; attempt: number },
): Promise<void> {
  const failed = await tx
    .selectFrom('deliveries')
    .select(['receiver', 'problem'])
    .where('transfer_id', '=', about.transferId)
    .where('state', '=', 'failed')
    .execute()
  for (const { receiver, problem } of failed) {
    await appendEvent(tx, about, { notification: 'failed', receiver, problem: JSON.parse(problem ?? 'null') })
  }
}

/** The transfer ended before it was stored: no second notification, but nothing is offered any more. */
async function dropDeliveries(tx: Tx, transferId: string, problem: ProblemJson): Promise<void> {
  assertDeliveryMove('waiting', 'failed')
  assertDeliveryMove('offered', 'failed')
  await tx
    .updateTable('deliveries')
    .set({ state: 'failed', problem: JSON.stringify(problem), lease_expires_at_ms: null })
    .where('transfer_id', '=', transferId)
    .where('state', 'in', ['waiting', 'offered'])
    .execute()
}

async function insertTransfer(tx: Tx, transfer: NewTransfer, admission: Admission, atMs: number): Promise<void> {
  const sender = await tx
    .selectFrom('accounts')
    .select(['name', 'open_transfers', 'open_bytes', 'revoked_at_ms'])
    .where('account_id', '=', transfer.senderId)
    .executeTakeFirstOrThrow()
  // Its token was valid when this request came. After a revocation nothing new is opened: what was open is ended once.
  if (sender.revoked_at_ms !== null) throw new Problem('credentials-invalid')
  const receivers = await tx
    .selectFrom('accounts')
    .select(['account_id', 'name'])
    .where('name', 'in', transfer.to)
    .where('revoked_at_ms', 'is', null)
    .execute()
  const unknown = transfer.to.filter((name) => !receivers.some((receiver) => receiver.name === name))
  if (unknown.length > 0) throw new Problem('receiver-unknown', { receivers: unknown })
  if (sender.open_transfers >= admission.accountTransfersMax) {
    throw new Problem('too-many-transfers', { transfersMax: admission.accountTransfersMax })
  }
  const { open_bytes: totalBytes } = await tx
    .selectFrom('totals')
    .select('open_bytes')
    .where('id', '=', 1)
    .executeTakeFirstOrThrow()

  const freeBytes = Math.max(
    0,
    Math.min(
      admission.accountBytesMax - sender.open_bytes,
      admission.storageBytesMax - totalBytes,
      admission.freeBytes ?? Number.POSITIVE_INFINITY,
    ),
  )
  const problem =
    transfer.sizeBytes > freeBytes
      ? new Problem('storage-full', { neededBytes: transfer.sizeBytes, freeBytes }).toJSON()
      : null

  await tx
    .insertInto('transfers')
    .values({
      transfer_id: transfer.transferId,
      sender_id: transfer.senderId,
      sender: sender.name,
      state: problem === null ? 'receiving' : 'refused',
      attempt: 1,
      announcement: canonicalAnnouncement(transfer),
      metadata: JSON.stringify(transfer.metadata),
      size_bytes: transfer.sizeBytes,
      part_size_bytes: transfer.partSizeBytes,
      digest_algorithm: transfer.digestAlgorithm,
      manifest_digest: null,
      problem: problem === null ? null : JSON.stringify(problem),
      created_at_ms: atMs,
      expires_at_ms: atMs + admission.expiryMs,
      upload_deadline_ms: problem === null ? atMs + admission.uploadTimeoutMs : null,
      open_deliveries: problem === null ? receivers.length : 0,
      ended_at_ms: problem === null ? null : atMs,
      parts_held: problem === null ? 1 : 0,
    })
    .execute()
  await tx
    .insertInto('deliveries')
    .values(
      receivers.map(({ account_id, name }) => ({
        transfer_id: transfer.transferId,
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
        problem: problem === null ? null : JSON.stringify(problem),
      })),
    )
    .execute()
  if (problem === null) {
    await countOpen(tx, transfer.senderId, { transfers: 1, bytes: transfer.sizeBytes })
  } else {
    const about = { accountId: transfer.senderId, transferId: transfer.transferId, atMs, attempt: 1 }
    await appendEvent(tx, about, { notification: 'refused', problem })
  }
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

async function mustLoad(tx: Tx, transferId: string): Promise<Transfer> {
  const transfer = await loadTransfer(tx, transferId)
  if (transfer === null) throw new Error(`transfer ${transferId} is not in the ledger`)
  return transfer
}
