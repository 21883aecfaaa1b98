import { type Notification, Problem } from '../../../protocol/index.ts'
import type { Ledger, Transfer } from '../contract.ts'
import { admit, contentOf, type InlineUpload } from './admission.ts'
import type { LedgerContext, Tx } from './context.ts'
import { prepared } from './prepared.ts'
import { becomeStored } from './transfers.ts'

/** Transfers that are recorded as stored in one transaction, small files together with their content. */
export function inlineUploads({
  db,
  now,
  nowIn,
  transact,
  isShared,
}: LedgerContext): Pick<Ledger, 'storeInline' | 'content'> {
  return {
    async storeInline(transfer, admission, content, onWritten = () => {}) {
      const { manifestDigest, manifest } = content
      const isKept = 'content' in content
      const kept = isKept && content.content.length > 0 ? content : null
      const generation = isKept ? '' : content.generation
      const inline: InlineUpload = { manifestDigest, manifest, heldIn: isKept ? 'ledger' : 'store', generation, kept }
      const store = async (tx: Tx): Promise<{ transfer: Transfer; notification: Notification | null }> => {
        if (!isKept && (await nowIn(tx)) - content.begunAtMs > admission.expiryMs) throw new Problem('expired')
        const atMs = now()
        const admitted = await admit(tx, transfer, admission, atMs, inline)
        const { transferId, state } = admitted.transfer
        if (state !== 'receiving') return admitted
        if (kept !== null) await tx.executeQuery(contentOf(tx, transferId, kept))
        // The transfer was announced before, so the store may hold a part of it. That is removed when the transfer has ended.
        const stored = await becomeStored(tx, admitted.transfer, inline, atMs)
        if (stored === null) throw new Error(`${transferId} moved within a transaction`)
        return stored
      }
      return transact(async (tx) => {
        const written = await store(tx)
        // Another process would not see it yet.
        if (!isShared && written.notification?.notification === 'stored') onWritten(written.transfer)
        return written
      }, transfer.senderId)
    },

    async content(transferId) {
      const [row] = await selectContent(db, transferId)
      return row ?? null
    },
  }
}

const selectContent = prepared((db, transferId: string) =>
  db.selectFrom('contents').select(['digest', 'content']).where('transfer_id', '=', transferId),
)
