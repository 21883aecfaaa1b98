import type { Selectable } from 'kysely'
import { Problem } from '../../../protocol/index.ts'
import type { RoomBounds } from '../contract.ts'
import { limitOf } from '../room.ts'
import type { LedgerTables } from '../schema.ts'
import type { UploadLedger, UploadProtocol, UploadResource } from '../uploads-contract.ts'
import { streamRoom } from './admission.ts'
import type { LedgerContext, TransferRow, Tx } from './context.ts'
import { locking } from './locks.ts'
import { prepared, together } from './prepared.ts'
import { countOpen } from './totals.ts'

/** Upload resources. Every change by a request compares the writer. */
export function uploads({ db, now, transact }: LedgerContext): UploadLedger {
  return {
    async createUploadResource(upload, writerId) {
      await transact(async (tx) => {
        const [stream] = await lockStream(tx, upload.transferId)
        if (stream !== undefined) await countTail(tx, stream, 0)
        await tx.deleteFrom('uploads').where('transfer_id', '=', upload.transferId).execute()
        await tx
          .insertInto('uploads')
          .values({
            transfer_id: upload.transferId,
            account_id: upload.accountId,
            protocol: upload.protocol,
            secret_hash: upload.secretHash,
            attempt: upload.attempt,
            generation: upload.generation,
            is_keyed: upload.isKeyed ? 1 : 0,
            length_bytes: upload.lengthBytes,
            repr_digest: upload.reprDigest,
            metadata: upload.metadata,
            writer_id: writerId,
            offset_bytes: 0,
            tail: '[]',
          })
          .execute()
      }, upload.accountId)
    },

    async uploadResource(by) {
      const [row] = 'transferId' in by ? await byTransfer(db, by.transferId) : await bySecret(db, by.secretHash)
      return row === undefined ? null : toUpload(row)
    },

    async claimUploadResource(transferId, from, to) {
      const row = await db
        .updateTable('uploads')
        .set({ writer_id: to })
        .where('transfer_id', '=', transferId)
        .where('writer_id', from === null ? 'is' : '=', from)
        .returningAll()
        .executeTakeFirst()
      return row === undefined ? null : toUpload(row)
    },

    async recordUploadLength(transferId, writerId, lengthBytes) {
      const recorded = await db
        .updateTable('uploads')
        .set({ length_bytes: lengthBytes })
        .where('transfer_id', '=', transferId)
        .where('writer_id', '=', writerId)
        .executeTakeFirst()
      return recorded.numUpdatedRows > 0n
    },

    async recordUploaded(transferId, writerId, { fromBytes, offsetBytes, parts, tail, lengthBytes }, bounds) {
      return transact(async (tx) => {
        const [stream] = bounds === null ? [] : await lockStream(tx, transferId)
        const { numUpdatedRows } = await tx
          .updateTable('uploads')
          .set({ offset_bytes: offsetBytes, tail: JSON.stringify(tail), length_bytes: lengthBytes })
          .where('transfer_id', '=', transferId)
          .where('writer_id', '=', writerId)
          .where('offset_bytes', '=', fromBytes)
          .where(({ exists, selectFrom }) =>
            exists(
              selectFrom('transfers')
                .select('transfers.transfer_id')
                .whereRef('transfers.transfer_id', '=', 'uploads.transfer_id')
                .whereRef('transfers.attempt', '=', 'uploads.attempt')
                .where('transfers.state', '=', 'receiving'),
            ),
          )
          .executeTakeFirst()
        if (numUpdatedRows === 0n) return false
        if (stream !== undefined && bounds !== null) {
          await countTail(tx, stream, Math.max(0, offsetBytes - stream.size_bytes), { bounds, atMs: now() })
        }
        for (const { partNumber, digest } of parts) {
          await tx
            .insertInto('upload_parts')
            .values({ transfer_id: transferId, part_number: partNumber, digest })
            .execute()
        }
        return true
      })
    },

    async uploadedDigests(transferId) {
      const rows = await db
        .selectFrom('upload_parts')
        .select('digest')
        .where('transfer_id', '=', transferId)
        .orderBy('part_number')
        .execute()
      return rows.map(({ digest }) => digest)
    },

    async removeUploadResource(transferId) {
      await db.deleteFrom('uploads').where('transfer_id', '=', transferId).execute()
    },
  }
}

/** The row of a stream that is being received. Transfers are locked before accounts. */
const lockStream = prepared((db, transferId: string) =>
  db
    .selectFrom('transfers')
    .selectAll()
    .where('transfer_id', '=', transferId)
    .where('size_known', '=', 0)
    .where('state', '=', 'receiving')
    .$call(locking(db, 'change')),
)

/** Counts what an upload has of the next part of a stream. @throws Problem `storage-full` when it is more than there is room for */
async function countTail(
  tx: Tx,
  stream: TransferRow,
  tailBytes: number,
  within: { readonly bounds: RoomBounds; readonly atMs: number } | null = null,
): Promise<void> {
  const moreBytes = tailBytes - stream.tail_bytes
  if (moreBytes === 0) return
  if (moreBytes > 0 && within !== null) {
    const { bounds, atMs } = within
    const { freeBytes } = await streamRoom(tx, stream, bounds, atMs)
    const limit = limitOf(stream.size_bytes + tailBytes, bounds)
    if (moreBytes > freeBytes) throw new Problem('storage-full', { neededBytes: moreBytes, freeBytes, ...limit })
  }
  await together(
    tx,
    setTail.with(tx, tailBytes, stream.transfer_id),
    ...countOpen(tx, stream, { open_transfers: 0, open_bytes: moreBytes }),
  )
}

const setTail = prepared((db, tailBytes: number, transferId: string) =>
  db.updateTable('transfers').set({ tail_bytes: tailBytes }).where('transfer_id', '=', transferId),
)

const byTransfer = prepared((db, transferId: string) =>
  db.selectFrom('uploads').selectAll().where('transfer_id', '=', transferId),
)

const bySecret = prepared((db, secretHash: string) =>
  db.selectFrom('uploads').selectAll().where('secret_hash', '=', secretHash),
)

function toUpload(row: Selectable<LedgerTables['uploads']>): UploadResource {
  return {
    transferId: row.transfer_id,
    accountId: row.account_id,
    protocol: row.protocol as UploadProtocol,
    secretHash: row.secret_hash,
    attempt: row.attempt,
    generation: row.generation,
    isKeyed: row.is_keyed === 1,
    lengthBytes: row.length_bytes,
    reprDigest: row.repr_digest,
    metadata: row.metadata,
    writerId: row.writer_id,
    offsetBytes: row.offset_bytes,
    tail: JSON.parse(row.tail),
  }
}
