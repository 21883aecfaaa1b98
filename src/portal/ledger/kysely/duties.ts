import type { Ledger } from '../contract.ts'
import type { Db, LedgerContext } from './rows.ts'

/** What portals have in common: who does what only one has to do, which store is theirs, and where all of them are reached. */
export function duties({
  db,
  now,
}: LedgerContext): Pick<Ledger, 'takeDuty' | 'pairing' | 'pairWith' | 'setAddress' | 'address'> {
  return {
    async takeDuty(duty, portalId, { leaseMs }) {
      const atMs = now()
      const taken = await db
        .insertInto('duties')
        .values({ duty, portal_id: portalId, expires_at_ms: atMs + leaseMs })
        .onConflict((conflict) =>
          conflict
            .column('duty')
            .doUpdateSet({ portal_id: portalId, expires_at_ms: atMs + leaseMs })
            .where((eb) => eb.or([eb('duties.portal_id', '=', portalId), eb('duties.expires_at_ms', '<=', atMs)])),
        )
        .executeTakeFirst()
      return (taken.numInsertedOrUpdatedRows ?? 0n) > 0n
    },

    pairing: () => selectPairing(db),

    async pairWith(storeId, { isInstead }) {
      await db
        .updateTable('pairing')
        .set({ store_id: storeId })
        .where('id', '=', 1)
        .$if(!isInstead, (query) => query.where('store_id', 'is', null))
        .execute()
      return (await selectPairing(db)).storeId ?? ''
    },

    async setAddress(url) {
      await db
        .insertInto('address')
        .values({ id: 1, url })
        .onConflict((conflict) => conflict.column('id').doUpdateSet({ url }))
        .execute()
    },

    async address() {
      const row = await db.selectFrom('address').select('url').where('id', '=', 1).executeTakeFirst()
      return row?.url ?? null
    },
  }
}

async function selectPairing(db: Db): Promise<{ ledgerId: string; storeId: string | null }> {
  const row = await db
    .selectFrom('pairing')
    .select(['ledger_id', 'store_id'])
    .where('id', '=', 1)
    .executeTakeFirstOrThrow()
  return { ledgerId: row.ledger_id, storeId: row.store_id }
}
