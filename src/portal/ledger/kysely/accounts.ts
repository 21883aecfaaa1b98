import { Problem } from '../../../protocol/index.ts'
import type { Ledger } from '../contract.ts'
import type { LedgerContext } from './rows.ts'

/** Accounts and the invites that open them. Secrets are here as hashes only. */
export function accounts({
  db,
  now,
}: LedgerContext): Pick<Ledger, 'createInvite' | 'redeemInvite' | 'accountByTokenId' | 'accountByName' | 'setKeys'> {
  return {
    async createInvite({ name, secretHash, lifetimeMs }) {
      await db.transaction().execute(async (tx) => {
        const taken = await tx.selectFrom('accounts').select('name').where('name', '=', name).executeTakeFirst()
        if (taken !== undefined) throw new Problem('account-exists', { account: name })
        await tx
          .insertInto('invites')
          .values({ secret_hash: secretHash, name, expires_at_ms: now() + lifetimeMs, token_id: null })
          .execute()
      })
    },

    async redeemInvite(secretHash, { tokenId, tokenHash }) {
      return db.transaction().execute(async (tx) => {
        const invite = await tx
          .selectFrom('invites')
          .selectAll()
          .where('secret_hash', '=', secretHash)
          .executeTakeFirst()
        if (invite === undefined) return null
        const account = await tx
          .selectFrom('accounts')
          .select(['account_id', 'name', 'token_id', 'token_hash'])
          .where('name', '=', invite.name)
          .executeTakeFirst()
        if (account !== undefined) {
          const isRepeated =
            invite.token_id === tokenId && account.token_id === tokenId && account.token_hash === tokenHash
          return isRepeated ? { accountId: account.account_id, name: account.name } : null
        }
        if (invite.token_id !== null || invite.expires_at_ms <= now()) return null
        const owner = await tx
          .selectFrom('accounts')
          .select('account_id')
          .where('token_id', '=', tokenId)
          .executeTakeFirst()
        if (owner !== undefined) return null
        const { account_id } = await tx
          .insertInto('accounts')
          .values({ name: invite.name, token_id: tokenId, token_hash: tokenHash, created_at_ms: now() })
          .returning('account_id')
          .executeTakeFirstOrThrow()
        await tx.updateTable('invites').set({ token_id: tokenId }).where('secret_hash', '=', secretHash).execute()
        return { accountId: account_id, name: invite.name }
      })
    },

    async accountByTokenId(tokenId) {
      const row = await db
        .selectFrom('accounts')
        .select(['account_id', 'name', 'token_hash'])
        .where('token_id', '=', tokenId)
        .executeTakeFirst()
      return row === undefined ? null : { accountId: row.account_id, name: row.name, tokenHash: row.token_hash }
    },

    async accountByName(name) {
      const row = await db
        .selectFrom('accounts')
        .select(['account_id', 'name', 'keys'])
        .where('name', '=', name)
        .executeTakeFirst()
      if (row === undefined) return null
      return { accountId: row.account_id, name: row.name, keys: row.keys === null ? null : JSON.parse(row.keys) }
    },

    async setKeys(accountId, { signing, encryption }) {
      const keys = JSON.stringify({ signing, encryption })
      const { numUpdatedRows } = await db
        .updateTable('accounts')
        .set({ keys })
        .where('account_id', '=', accountId)
        .where((eb) => eb.or([eb('keys', 'is', null), eb('keys', '!=', keys)]))
        .executeTakeFirst()
      return numUpdatedRows > 0n
    },
  }
}
