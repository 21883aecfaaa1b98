import type { Notification } from '../../../protocol/index.ts'
import type { Ledger, Transfer, WholeContent } from '../contract.ts'
import { admit } from './admission.ts'
import type { LedgerContext, Tx } from './rows.ts'
import { becomeStored } from './transfers.ts'

/** Transfers that are there as a whole: recorded in one transaction, and with a small file its content. */
export function wholes({ db, now }: LedgerContext): Pick<Ledger, 'deposit' | 'content'> {
  return {
    async deposit(transfer, admission, whole) {
      return db
        .transaction()
        .execute(async (tx): Promise<{ transfer: Transfer; notification: Notification | null }> => {
          const atMs = now()
          const admitted = await admit(tx, transfer, admission, atMs)
          const { transferId, state } = admitted.transfer
          if (state !== 'receiving') return admitted
          const isInLedger = 'content' in whole
          if (isInLedger) await keep(tx, transferId, whole)
          const { manifestDigest, manifest } = whole
          const stored = await becomeStored(
            tx,
            admitted.transfer,
            {
              manifestDigest,
              manifest,
              heldIn: isInLedger ? 'ledger' : 'store',
              hasParts: !isInLedger || !admitted.isNew,
            },
            atMs,
          )
          if (stored === null) throw new Error(`${transferId} moved within a transaction`)
          return stored
        })
    },

    async content(transferId) {
      const row = await db
        .selectFrom('contents')
        .select(['digest', 'content'])
        .where('transfer_id', '=', transferId)
        .executeTakeFirst()
      return row ?? null
    },
  }
}

async function keep(
  tx: Tx,
  transferId: string,
  { digest, content }: Extract<WholeContent, { readonly content: Uint8Array }>,
): Promise<void> {
  if (content.length === 0) return
  await tx.insertInto('contents').values({ transfer_id: transferId, digest, content }).execute()
}
