import type { Ledger } from '../contract.ts'
import type { Db, LedgerContext } from './context.ts'

/** State that portals share: duties, the id of the store, and the address of the portal. */
export function duties({
  db,
  now,
}: LedgerContext): Pick<Ledger, 'takeDuty' | 'storeBinding' | 'bindStore' | 'setAddress' | 'address'> {
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
            .where((eb) =>
              eb.or([
                eb('duties.portal_id', '=', portalId),
                eb('duties.expires_at_ms', '<=', atMs),
                // No lease is that long, so the clock was set back since it was taken.
                eb('duties.expires_at_ms', '>', atMs + 2 * leaseMs),
              ]),
            ),
        )
        .executeTakeFirst()
      return (taken.numInsertedOrUpdatedRows ?? 0n) > 0n
    },

    storeBinding: () => selectStoreBinding(db),

    async bindStore(storeId, { isInstead }) {
      await db
        .updateTable('pairing')
        .set({ store_id: storeId })
        .where('id', '=', 1)
        .$if(!isInstead, (query) => query.where('store_id', 'is', null))
        .execute()
      return (await selectStoreBinding(db)).storeId ?? ''
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

async function selectStoreBinding(db: Db): Promise<{ ledgerId: string; storeId: string | null }> {
  const row = await db
    .selectFrom('pairing')
    .select(['ledger_id', 'store_id'])
    .where('id', '=', 1)
    .executeTakeFirstOrThrow()
  return { ledgerId: row.ledger_id, storeId: row.store_id }
}
