import { type Notification, Problem } from '../../../protocol/index.ts'
import type { Ledger, Transfer } from '../contract.ts'
import { admit, contentOf, type Whole } from './admission.ts'
import { prepared } from './prepared.ts'
import type { LedgerContext } from './rows.ts'
import { becomeStored } from './transfers.ts'

/** Transfers that are there as a whole: recorded in one transaction, and with a small file its content. */
export function wholes({ db, now, nowIn, transact }: LedgerContext): Pick<Ledger, 'deposit' | 'content'> {
  return {
    async deposit(transfer, admission, content) {
      const { manifestDigest, manifest } = content
      const isKept = 'content' in content
      const kept = isKept && content.content.length > 0 ? content : null
      const generation = isKept ? '' : content.generation
      const whole: Whole = { manifestDigest, manifest, heldIn: isKept ? 'ledger' : 'store', generation, kept }
      return transact(async (tx): Promise<{ transfer: Transfer; notification: Notification | null }> => {
        if (!isKept && (await nowIn(tx)) - content.begunAtMs > admission.expiryMs) throw new Problem('expired')
        const atMs = now()
        const admitted = await admit(tx, transfer, admission, atMs, whole)
        const { transferId, state } = admitted.transfer
        if (state !== 'receiving') return admitted
        if (kept !== null) await tx.executeQuery(contentOf(tx, transferId, kept))
        // It was announced before, and the store may hold a part of it: that goes when the transfer has ended.
        const stored = await becomeStored(tx, admitted.transfer, whole, atMs)
        if (stored === null) throw new Error(`${transferId} moved within a transaction`)
        return stored
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
