import type { Selectable } from 'kysely'
import type { LedgerTables } from '../schema.ts'
import type { UploadLedger, UploadProtocol, UploadResource } from '../uploads-contract.ts'
import type { LedgerContext } from './context.ts'
import { prepared } from './prepared.ts'

/** Upload resources. Every change by a request compares the writer. */
export function uploads({ db, transact }: LedgerContext): UploadLedger {
  return {
    async createUploadResource(upload, writerId) {
      await transact(async (tx) => {
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

    async recordUploaded(transferId, writerId, { fromBytes, offsetBytes, parts, tail }) {
      return transact(async (tx) => {
        const { numUpdatedRows } = await tx
          .updateTable('uploads')
          .set({ offset_bytes: offsetBytes, tail: JSON.stringify(tail) })
          .where('transfer_id', '=', transferId)
          .where('writer_id', '=', writerId)
          .where('offset_bytes', '=', fromBytes)
          .executeTakeFirst()
        if (numUpdatedRows === 0n) return false
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
