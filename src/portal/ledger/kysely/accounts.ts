import { Problem } from '../../../protocol/index.ts'
import type { AccountLedger } from '../accounts-contract.ts'
import { recordChange } from './account-changes.ts'
import type { LedgerContext, Tx } from './context.ts'
import { closeRequests, revokeGuests, toGuest } from './guest-rows.ts'
import { type LockMode, lockAccountChanges, locking } from './locks.ts'
import { prepared } from './prepared.ts'
import { countTotals } from './totals.ts'
import { removeWebhooks } from './webhooks.ts'

/** Gives one row whether the token exists or not, because the time of the answer must not tell that. */
const selectByTokenId = prepared((db, tokenId: string) =>
  db
    .selectFrom('totals')
    .leftJoin('accounts', (join) => join.on('accounts.token_id', '=', tokenId))
    .select(['account_id', 'name', 'token_hash', 'revoked_at_ms', 'is_operator'])
    .select(['owner_id', 'request_id', 'expires_at_ms'])
    .where('totals.id', '=', 1),
)

/** Accounts, and the invites that open and renew them. Secrets are stored only as hashes. */
export function accounts({ db, now, transact }: LedgerContext): AccountLedger {
  return {
    async createInvite({ name, secretHash, lifetimeMs, openMax, isOperator = false }) {
      await transact(async (tx) => {
        await lockAccountChanges(tx)
        const taken = await accountNamed(tx, name)
        if (taken !== undefined) {
          throw new Problem(taken.revoked_at_ms === null ? 'account-exists' : 'account-revoked', { account: name })
        }
        if (openMax !== undefined && (await areOpen(tx, now(), openMax))) {
          throw new Problem('too-many-invites', { invitesMax: openMax })
        }
        await tx
          .insertInto('invites')
          .values({
            secret_hash: secretHash,
            name,
            expires_at_ms: now() + lifetimeMs,
            token_id: null,
            account_id: null,
            is_operator: isOperator ? 1 : 0,
          })
          .execute()
        await recordChange(tx, { atMs: now(), change: 'invite-made', name })
      })
    },

    async createRenewal({ name, secretHash, lifetimeMs }) {
      await transact(async (tx) => {
        await lockAccountChanges(tx)
        const { account_id } = await mustBeAccount(tx, name)
        await voidInvites(tx, name)
        await tx
          .insertInto('invites')
          .values({ secret_hash: secretHash, name, expires_at_ms: now() + lifetimeMs, token_id: null, account_id })
          .execute()
        await recordChange(tx, { atMs: now(), change: 'rotation-made', name })
      })
    },

    async inviteByHash(secretHash) {
      const invite = await db
        .selectFrom('invites')
        .leftJoin('accounts', 'accounts.name', 'invites.name')
        .select(['invites.name', 'invites.account_id', 'accounts.account_id as taken_by'])
        .where('secret_hash', '=', secretHash)
        .where('invites.token_id', 'is', null)
        .where('invites.expires_at_ms', '>', now())
        .executeTakeFirst()
      // An invite that opens an account needs the name to be free; one that renews it needs its own account.
      if (invite === undefined || invite.account_id !== invite.taken_by) return null
      return { name: invite.name, isRenewal: invite.account_id !== null }
    },

    async redeemInvite(secretHash, { tokenId, tokenHash }) {
      return transact(async (tx) => {
        await lockAccountChanges(tx)
        // Every kind of failure takes the same three look-ups, so that the time of the answer does not tell the reason.
        const invite = await tx
          .selectFrom('invites')
          .selectAll()
          .where('secret_hash', '=', secretHash)
          .executeTakeFirst()
        const account = await accountNamed(tx, invite?.name ?? '')
        const owner = await tx
          .selectFrom('accounts')
          .select('account_id')
          .where('token_id', '=', tokenId)
          .executeTakeFirst()
        if (invite === undefined) return null
        const { name } = invite
        if (invite.token_id !== null) {
          const isRepeated = invite.token_id === tokenId && account?.token_id === tokenId
          const isValid = account?.token_hash === tokenHash && account.revoked_at_ms === null
          return isRepeated && isValid ? { accountId: account.account_id, name } : null
        }
        if (invite.expires_at_ms <= now() || owner !== undefined) return null
        // An invite that opens an account needs the name to be free; one that renews it needs its own account.
        if (invite.account_id !== (account?.account_id ?? null)) return null
        const redeemed = await tx
          .updateTable('invites')
          .set({ token_id: tokenId })
          .where('secret_hash', '=', secretHash)
          .executeTakeFirst()
        if (redeemed.numUpdatedRows !== 1n) throw new Error('an invite went while it was used')
        await voidInvites(tx, name)
        if (account === undefined) {
          const { account_id } = await tx
            .insertInto('accounts')
            .values({
              name,
              token_id: tokenId,
              token_hash: tokenHash,
              created_at_ms: now(),
              is_operator: invite.is_operator,
            })
            .returning('account_id')
            .executeTakeFirstOrThrow()
          await recordChange(tx, { atMs: now(), change: 'account-opened', name })
          if (invite.is_operator === 1) await recordChange(tx, { atMs: now(), change: 'operator-made', name })
          await tx.executeQuery(countTotals(tx, account_id, { accounts: 1 }))
          return { accountId: account_id, name }
        }
        await tx
          .updateTable('accounts')
          .set({ token_id: tokenId, token_hash: tokenHash, revoked_at_ms: null, revocation_due: 0 })
          .where('account_id', '=', account.account_id)
          .execute()
        await recordChange(tx, { atMs: now(), change: 'token-rotated', name, deadTokenId: account.token_id })
        if (account.revoked_at_ms !== null) {
          await tx.executeQuery(countTotals(tx, account.account_id, { accounts: 1 }))
        }
        return { accountId: account.account_id, name }
      })
    },

    async accountByTokenId(tokenId) {
      const [row] = await selectByTokenId(db, tokenId)
      if (row === undefined) throw new Error('the ledger has no totals')
      const { account_id, name, token_hash, revoked_at_ms, is_operator } = row
      if (account_id === null || name === null || token_hash === null) return null
      return {
        accountId: account_id,
        name,
        tokenHash: token_hash,
        isRevoked: revoked_at_ms !== null,
        isOperator: is_operator === 1,
        guest: toGuest(row),
      }
    },

    async revokeAccount(name) {
      await transact(async (tx) => {
        await lockAccountChanges(tx)
        // This waits for running announcements that found the account valid. Later ones wait for this and find it revoked.
        const account = await mustBeAccount(tx, name, 'remove')
        // Before the state is checked, so that a link for an account that is already revoked is voided, too.
        await voidInvites(tx, name)
        if (account.revoked_at_ms !== null) return
        await tx
          .updateTable('accounts')
          .set({ revoked_at_ms: now(), revocation_due: 1, is_operator: 0 })
          .where('account_id', '=', account.account_id)
          .execute()
        await recordChange(tx, { atMs: now(), change: 'account-revoked', name, deadTokenId: account.token_id })
        if (account.is_operator === 1) await recordChange(tx, { atMs: now(), change: 'operator-unmade', name })
        await revokeGuests(tx, { ownerId: account.account_id }, 'guest-revoked', now())
        await closeRequests(tx, account.account_id, null, now())
        await removeWebhooks(tx, account.account_id)
        await tx.executeQuery(countTotals(tx, account.account_id, { accounts: -1 }))
      })
    },

    async setOperator(name, isOperator) {
      await transact(async (tx) => {
        await lockAccountChanges(tx)
        const account = await mustBeAccount(tx, name)
        if (isOperator && account.revoked_at_ms !== null) throw new Problem('account-revoked', { account: name })
        if ((account.is_operator === 1) === isOperator) return
        await tx
          .updateTable('accounts')
          .set({ is_operator: isOperator ? 1 : 0 })
          .where('account_id', '=', account.account_id)
          .execute()
        if (!isOperator) await removeWebhooks(tx, account.account_id, { ofWholePortal: true })
        await recordChange(tx, { atMs: now(), change: isOperator ? 'operator-made' : 'operator-unmade', name })
      })
    },

    async accounts({ after, limit }) {
      const rows = await db
        .selectFrom('accounts')
        .select(['account_id', 'name', 'created_at_ms', 'revoked_at_ms', 'is_operator', 'open_transfers', 'open_bytes'])
        .where('owner_id', 'is', null)
        .where('name', '>', after)
        .orderBy('name')
        .limit(limit)
        .execute()
      return rows.map((row) => ({
        accountId: row.account_id,
        name: row.name,
        createdAtMs: row.created_at_ms,
        revokedAtMs: row.revoked_at_ms,
        isOperator: row.is_operator === 1,
        openTransfers: row.open_transfers,
        openBytes: row.open_bytes,
      }))
    },

    async openInvites({ after, limit }) {
      const rows = await db
        .selectFrom('invites')
        .select((eb) => ['name', eb.fn.max('expires_at_ms').as('expires_at_ms')])
        .where('token_id', 'is', null)
        .where('expires_at_ms', '>', now())
        .where('name', '>', after)
        .groupBy('name')
        .orderBy('name')
        .limit(limit)
        .execute()
      return rows.map((row) => ({ name: row.name, expiresAtMs: row.expires_at_ms }))
    },

    async accountChanges({ after, limit }) {
      const rows = await db
        .selectFrom('account_changes')
        .selectAll()
        .where('change_id', '>', after)
        .orderBy('change_id')
        .limit(limit)
        .execute()
      return rows.map((row) => ({
        changeId: row.change_id,
        atMs: row.at_ms,
        change: row.change,
        name: row.name,
        deadTokenId: row.dead_token_id,
      }))
    },

    async auditedChangeId() {
      const row = await db.selectFrom('audit_log').select('change_id').where('id', '=', 1).executeTakeFirstOrThrow()
      return row.change_id
    },

    async audited(changeId) {
      await db
        .updateTable('audit_log')
        .set({ change_id: changeId })
        .where('id', '=', 1)
        .where('change_id', '<', changeId)
        .execute()
    },

    async accountByName(name) {
      const row = await db
        .selectFrom('accounts')
        .select(['account_id', 'name', 'keys', 'is_operator', 'owner_id', 'request_id', 'expires_at_ms'])
        .where('name', '=', name)
        .executeTakeFirst()
      if (row === undefined) return null
      return {
        accountId: row.account_id,
        name: row.name,
        keys: row.keys === null ? null : JSON.parse(row.keys),
        isOperator: row.is_operator === 1,
        guest: toGuest(row),
      }
    },

    async setKeys(accountId, { signing, encryption }) {
      const keys = JSON.stringify({ signing, encryption })
      return transact(async (tx) => {
        const before = await tx
          .selectFrom('accounts')
          .select('keys')
          .where('account_id', '=', accountId)
          .$call(locking(tx, 'change'))
          .executeTakeFirstOrThrow()
        if (before.keys === keys) return 'same'
        await tx.updateTable('accounts').set({ keys }).where('account_id', '=', accountId).execute()
        return before.keys === null ? 'set' : 'changed'
      })
    },
  }
}

/** Whether at least `count` invites are open. */
async function areOpen(tx: Tx, nowMs: number, count: number): Promise<boolean> {
  const last = await tx
    .selectFrom('invites')
    .select('secret_hash')
    .where('expires_at_ms', '>', nowMs)
    .where('token_id', 'is', null)
    .limit(1)
    .offset(count - 1)
    .executeTakeFirst()
  return last !== undefined
}

function accountNamed(tx: Tx, name: string, mode: LockMode | null = null) {
  return tx
    .selectFrom('accounts')
    .select(['account_id', 'token_id', 'token_hash', 'revoked_at_ms', 'is_operator'])
    .where('name', '=', name)
    .$if(mode !== null, locking(tx, mode ?? 'refer'))
    .executeTakeFirst()
}

async function mustBeAccount(tx: Tx, name: string, mode: LockMode | null = null) {
  const account = await accountNamed(tx, name, mode)
  if (account === undefined) throw new Problem('account-unknown', { account: name })
  return account
}

/** Deletes the unused invites of a name. Used ones stay, so that the answer to their use can be repeated. */
async function voidInvites(tx: Tx, name: string): Promise<void> {
  await tx.deleteFrom('invites').where('name', '=', name).where('token_id', 'is', null).execute()
}
