import { type Notification, Problem } from '../../../protocol/index.ts'
import type { Ledger, Transfer, WholeContent } from '../contract.ts'
import { admit } from './admission.ts'
import { prepared } from './prepared.ts'
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
          const { manifestDigest, manifest } = whole
          const heldIn = 'content' in whole ? 'ledger' : 'store'
          const generation = 'content' in whole ? '' : whole.generation
          if ('begunAtMs' in whole && atMs - whole.begunAtMs > admission.expiryMs) throw new Problem('expired')
          const storing = { manifestDigest, manifest, heldIn, generation } as const
          const admitted = await admit(tx, transfer, admission, atMs, storing)
          const { transferId, state } = admitted.transfer
          const isStored = admitted.notification?.notification === 'stored'
          if ('content' in whole && (state === 'receiving' || isStored)) await keep(tx, transferId, whole)
          if (state !== 'receiving') return admitted
          // It was announced before, and the store may hold a part of it: that goes when the transfer has ended.
          const stored = await becomeStored(tx, admitted.transfer, storing, atMs)
          if (stored === null) throw new Error(`${transferId} moved within a transaction`)
          return stored
        })
    },

    async content(transferId) {
      const [row] = await selectContent(db, transferId)
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
  await insertContent(tx, transferId, digest, content)
}

const selectContent = prepared((db, transferId: string) =>
  db.selectFrom('contents').select(['digest', 'content']).where('transfer_id', '=', transferId),
)

const insertContent = prepared((db, transferId: string, digest: string, content: Uint8Array) =>
  db.insertInto('contents').values({ transfer_id: transferId, digest, content }),
)
