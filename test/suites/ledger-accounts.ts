/** The part of the ledger's suite about account management: revoking, renewing, and the record of both. */
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Account, Ledger } from '../../src/portal/ledger/contract.ts'
import { aTransfer, FakeClock, join, leaseMs, manifestDigest, problem, roomy } from './ledger.ts'

const MINUTE_MS = 60_000
const ALL = 500

/** Called by `testLedger`. @param make makes an empty ledger with the given clock */
export function testAccountCare(make: (now: () => number) => Promise<Ledger>): void {
  async function begin() {
    const clock = new FakeClock()
    const ledger = await make(clock.now)
    onTestFinished(() => ledger.close())
    const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
    const renewal = { name: 'ada', secretHash: 'renewal', lifetimeMs: MINUTE_MS }
    const token = { tokenId: 'new id', tokenHash: 'new hash' }
    const isValid = async (tokenId: string): Promise<boolean> =>
      (await ledger.accountByTokenId(tokenId))?.isRevoked === false
    const changes = async (after = 0): Promise<string[]> =>
      (await ledger.accountChanges({ after, limit: ALL })).map(({ change, name }) => `${change} ${name}`)
    return { clock, ledger, ada, bob, renewal, token, isValid, changes }
  }

  const announce = async (ledger: Ledger, sender: Account, to: Account): Promise<string> =>
    (await ledger.announce(aTransfer(sender, [to]), roomy)).transfer.transferId

  describe('renewing', () => {
    test('a renewal replaces the token and keeps name and id; the old token becomes unknown', async () => {
      const { ledger, ada, renewal, token, isValid } = await begin()
      await ledger.createRenewal(renewal)
      expect(await isValid('token of ada'), 'until it is used').toBe(true)
      expect(await ledger.redeemInvite('renewal', token)).toEqual(ada)
      expect(await ledger.accountByTokenId('token of ada')).toBeNull()
      expect(await ledger.accountByTokenId('new id')).toEqual({
        ...ada,
        tokenHash: 'new hash',
        isRevoked: false,
        isOperator: false,
        guest: null,
      })
    })

    test('a renewal works once; repeated with the same token it returns the same account', async () => {
      const { ledger, ada, renewal, token, clock } = await begin()
      await ledger.createRenewal(renewal)
      await ledger.redeemInvite('renewal', token)
      expect(await ledger.redeemInvite('renewal', { tokenId: 'third', tokenHash: 'third' })).toBeNull()
      expect(await ledger.redeemInvite('renewal', { ...token, tokenHash: 'other' })).toBeNull()
      clock.advance(2 * MINUTE_MS)
      expect(await ledger.redeemInvite('renewal', token), 'a lost answer, asked for late').toEqual(ada)
      expect(await ledger.accountByTokenId('third')).toBeNull()
    })

    test('an invite can be queried, and returns nothing once it cannot be used', async () => {
      const { ledger, ada, renewal, token, clock } = await begin()
      await ledger.createRenewal(renewal)
      await ledger.createInvite({ name: 'carol', secretHash: 'opening', lifetimeMs: MINUTE_MS })
      expect(await ledger.inviteByHash('renewal')).toEqual({ name: 'ada', isRenewal: true })
      expect(await ledger.inviteByHash('opening')).toEqual({ name: 'carol', isRenewal: false })
      expect(await ledger.inviteByHash('no such one')).toBeNull()
      expect(await ledger.redeemInvite('renewal', token), 'a look does not use it up').toEqual(ada)
      expect(await ledger.inviteByHash('renewal'), 'used').toBeNull()
      clock.advance(MINUTE_MS)
      expect(await ledger.inviteByHash('opening'), 'run out').toBeNull()
    })

    test('an expired invite renews nothing', async () => {
      const { ledger, renewal, token, clock, isValid } = await begin()
      await ledger.createRenewal(renewal)
      clock.advance(MINUTE_MS)
      expect(await ledger.redeemInvite('renewal', token)).toBeNull()
      expect(await isValid('token of ada')).toBe(true)
    })

    test('neither the replaced token nor the token of another account can be the new one', async () => {
      const { ledger, renewal } = await begin()
      await ledger.createRenewal(renewal)
      for (const name of ['ada', 'bob']) {
        const known = { tokenId: `token of ${name}`, tokenHash: `hash of the token of ${name}` }
        expect(await ledger.redeemInvite('renewal', known), name).toBeNull()
      }
    })

    test('the newest renewal voids the earlier ones, and its use voids all others', async () => {
      const { ledger, renewal, token } = await begin()
      await ledger.createRenewal({ ...renewal, secretHash: 'first' })
      await ledger.createRenewal(renewal)
      expect(await ledger.redeemInvite('first', token)).toBeNull()
      await ledger.redeemInvite('renewal', token)
      expect(await ledger.redeemInvite('first', { tokenId: 'third', tokenHash: 'third' })).toBeNull()
      expect(await ledger.openInvites({ after: '', limit: ALL })).toEqual([])
    })

    test('the invite that created the account cannot be used again once its token was replaced', async () => {
      const { ledger, renewal, token } = await begin()
      await ledger.createRenewal(renewal)
      await ledger.redeemInvite('renewal', token)
      const first = { tokenId: 'token of ada', tokenHash: 'hash of the token of ada' }
      expect(await ledger.redeemInvite('hash of the invite of ada', first)).toBeNull()
      expect(await ledger.accountByTokenId('token of ada')).toBeNull()
    })

    test('an unknown account cannot be renewed', async () => {
      const { ledger, renewal } = await begin()
      const nobody = ledger.createRenewal({ ...renewal, name: 'nobody' })
      await expect(nobody).rejects.toMatchObject({ code: 'account-unknown' })
    })
  })

  describe('revoking', () => {
    test('a revoked account is still known by its token, as a revoked one', async () => {
      const { ledger, ada, bob, isValid } = await begin()
      await ledger.revokeAccount('ada')
      expect(await ledger.accountByTokenId('token of ada')).toMatchObject({ ...ada, isRevoked: true })
      expect(await isValid('token of bob'), bob.name).toBe(true)
      await expect(ledger.revokeAccount('nobody')).rejects.toMatchObject({ code: 'account-unknown' })
    })

    test('revoking again changes nothing', async () => {
      const { ledger, clock, changes } = await begin()
      await ledger.revokeAccount('ada')
      const before = { accounts: await ledger.accounts({ after: '', limit: ALL }), changes: await changes() }
      clock.advance(1000)
      await ledger.revokeAccount('ada')
      expect({ accounts: await ledger.accounts({ after: '', limit: ALL }), changes: await changes() }).toEqual(before)
    })

    test('the name stays taken, and only a renewal restores the account, with a new token', async () => {
      const { ledger, ada, renewal, token, isValid } = await begin()
      await ledger.revokeAccount('ada')
      const invite = ledger.createInvite({ name: 'ada', secretHash: 'invite', lifetimeMs: MINUTE_MS })
      await expect(invite).rejects.toMatchObject({ code: 'account-revoked' })
      await ledger.createRenewal(renewal)
      expect(await isValid('token of ada')).toBe(false)
      const old = { tokenId: 'token of ada', tokenHash: 'hash of the token of ada' }
      expect(await ledger.redeemInvite('renewal', old), 'the token that was stolen').toBeNull()
      expect(await ledger.redeemInvite('renewal', token)).toEqual(ada)
      expect(await isValid('new id')).toBe(true)
      expect(await ledger.accountByTokenId('token of ada')).toBeNull()
    })

    test('a revocation voids the open renewals, also one that was made after it', async () => {
      const { ledger, renewal, token } = await begin()
      for (const secretHash of ['before', 'after']) {
        await ledger.createRenewal({ ...renewal, secretHash })
        await ledger.revokeAccount('ada')
        expect(await ledger.redeemInvite(secretHash, token), secretHash).toBeNull()
      }
    })

    test('the use of an invite is no longer confirmed once its account is revoked', async () => {
      const { ledger } = await begin()
      await ledger.revokeAccount('ada')
      const token = { tokenId: 'token of ada', tokenHash: 'hash of the token of ada' }
      expect(await ledger.redeemInvite('hash of the invite of ada', token)).toBeNull()
    })

    test('senders cannot find a revoked receiver', async () => {
      const { ledger, ada, bob } = await begin()
      await ledger.revokeAccount('bob')
      const announced = aTransfer(ada, [ada, bob])
      await expect(ledger.announce(announced, roomy)).rejects.toMatchObject({
        code: 'receiver-unknown',
        details: { receivers: ['bob'] },
      })
      expect(await ledger.transfer(announced.transferId)).toBeNull()
    })

    test('an announcement that was in progress fails', async () => {
      const { ledger, ada, bob } = await begin()
      await ledger.revokeAccount('ada')
      const late = ledger.announce(aTransfer(ada, [bob]), roomy)
      await expect(late).rejects.toMatchObject({ code: 'credentials-invalid' })
      expect(await ledger.totals()).toEqual({ openTransfers: 0, openBytes: 0 })
    })

    test('open uploads and deliveries of the account are listed until they are settled', async () => {
      const { ledger, ada, bob, clock } = await begin()
      const upload = await announce(ledger, bob, ada)
      const stored = await announce(ledger, bob, ada)
      await ledger.moveTransfer(
        stored,
        { state: 'receiving', attempt: 1 },
        { state: 'stored', manifestDigest, manifest: null },
      )
      const offered = await announce(ledger, ada, bob)
      await ledger.offerNext(bob.accountId, 'instance-1', { leaseMs, limit: 1 })
      clock.advance(1)
      const waiting = await announce(ledger, ada, bob)
      await announce(ledger, ada, ada)
      expect(await ledger.dueRevocations(10)).toEqual([])

      await ledger.revokeAccount('bob')
      const due = await ledger.dueRevocations(10)
      expect(due).toEqual([{ ...bob, revokedAtMs: clock.nowMs, isExpired: false }])
      expect(await ledger.openWith(bob.accountId, 10)).toEqual({
        uploads: [upload],
        deliveries: [waiting, offered],
      })
      expect(await ledger.openWith(bob.accountId, 1)).toMatchObject({ uploads: [upload] })

      const refused = { state: 'refused', problem: problem('account-revoked') } as const
      await ledger.moveTransfer(upload, { state: 'receiving', attempt: 1 }, refused)
      for (const transferId of [waiting, offered]) {
        const found = await ledger.delivery(transferId, bob.accountId)
        if (found?.delivery.state !== 'waiting' && found?.delivery.state !== 'offered') throw new Error('it is open')
        const from =
          found.delivery.state === 'waiting'
            ? { state: 'waiting' as const }
            : { state: 'offered' as const, leaseId: found.delivery.lease.leaseId }
        const failed = { state: 'failed', problem: problem('account-revoked') } as const
        await ledger.moveDelivery(transferId, bob.accountId, from, failed)
      }
      expect(await ledger.openWith(bob.accountId, 10)).toEqual({ uploads: [], deliveries: [] })
      for (const account of due) await ledger.revocationSettled(account)
      expect(await ledger.dueRevocations(10)).toEqual([])
    })

    test('a restored account keeps its open transfers, even if a late sweep settles the old revocation', async () => {
      const { ledger, ada, renewal, token, clock } = await begin()
      await announce(ledger, ada, ada)
      await ledger.revokeAccount('ada')
      const due = await ledger.dueRevocations(10)
      await ledger.createRenewal(renewal)
      await ledger.redeemInvite('renewal', token)
      expect(await ledger.dueRevocations(10)).toEqual([])

      clock.advance(1)
      await ledger.revokeAccount('ada')
      for (const account of due) await ledger.revocationSettled(account)
      expect(await ledger.dueRevocations(10), 'the second revocation is not the first').toHaveLength(1)
    })
  })

  describe('the list', () => {
    test('shows accounts in the order of their names, page by page, with their state', async () => {
      const { ledger, ada, bob, clock } = await begin()
      const cy = await join(ledger, 'cy')
      await announce(ledger, ada, bob)
      clock.advance(5)
      await ledger.revokeAccount('bob')
      const createdAtMs = clock.nowMs - 5
      const all = await ledger.accounts({ after: '', limit: ALL })
      expect(all).toEqual([
        { ...ada, createdAtMs, revokedAtMs: null, isOperator: false, openTransfers: 1, openBytes: 1000 },
        { ...bob, createdAtMs, revokedAtMs: clock.nowMs, isOperator: false, openTransfers: 0, openBytes: 0 },
        { ...cy, createdAtMs, revokedAtMs: null, isOperator: false, openTransfers: 0, openBytes: 0 },
      ])
      expect(await ledger.accounts({ after: '', limit: 2 })).toEqual(all.slice(0, 2))
      expect(await ledger.accounts({ after: 'bob', limit: 2 })).toEqual(all.slice(2))
    })

    test('shows for each name the open invite that is valid longest', async () => {
      const { ledger, renewal, clock } = await begin()
      const until = (ms: number) => clock.nowMs + ms
      await ledger.createRenewal(renewal)
      await ledger.createInvite({ name: 'dora', secretHash: 'long', lifetimeMs: 3000 })
      await ledger.createInvite({ name: 'dora', secretHash: 'short', lifetimeMs: 2000 })
      const dora = { name: 'dora', expiresAtMs: until(3000) }
      expect(await ledger.openInvites({ after: '', limit: ALL })).toEqual([
        { name: 'ada', expiresAtMs: until(MINUTE_MS) },
        dora,
      ])
      expect(await ledger.openInvites({ after: 'ada', limit: 1 })).toEqual([dora])
      clock.advance(3000)
      expect(await ledger.openInvites({ after: 'ada', limit: 1 })).toEqual([])
    })

    test('shows no invite for an account that another invite has created', async () => {
      const { ledger, token } = await begin()
      for (const secretHash of ['first', 'second']) {
        await ledger.createInvite({ name: 'dora', secretHash, lifetimeMs: MINUTE_MS })
      }
      await ledger.redeemInvite('first', token)
      expect(await ledger.openInvites({ after: '', limit: ALL })).toEqual([])
    })
  })

  describe('the record', () => {
    test('has every change in order, with the token that it voided', async () => {
      const { ledger, renewal, token, clock, changes } = await begin()
      expect(await changes()).toEqual([
        'invite-made ada',
        'account-opened ada',
        'invite-made bob',
        'account-opened bob',
      ])
      const [last] = (await ledger.accountChanges({ after: 0, limit: ALL })).slice(-1)
      const after = last?.changeId ?? 0
      clock.advance(7)
      await ledger.createRenewal(renewal)
      await ledger.redeemInvite('renewal', token)
      await ledger.revokeAccount('ada')
      const recorded = await ledger.accountChanges({ after, limit: ALL })
      const common = { changeId: expect.any(Number), atMs: clock.nowMs, name: 'ada' }
      expect(recorded).toEqual([
        { ...common, change: 'rotation-made', deadTokenId: null },
        { ...common, change: 'token-rotated', deadTokenId: 'token of ada' },
        { ...common, change: 'account-revoked', deadTokenId: 'new id' },
      ])
      const ids = recorded.map(({ changeId }) => changeId)
      expect(ids).toEqual([...new Set(ids)].sort((one, other) => one - other))
      expect(await ledger.accountChanges({ after, limit: 1 })).toEqual(recorded.slice(0, 1))
    })

    test('contains no failed changes', async () => {
      const { ledger, renewal, token, changes } = await begin()
      const before = await changes()
      await ledger.redeemInvite('guessed', token)
      await ledger.redeemInvite('hash of the invite of ada', token)
      await ledger.createInvite({ ...renewal, name: 'bob' }).catch(() => {})
      await ledger.createRenewal({ ...renewal, name: 'nobody' }).catch(() => {})
      await ledger.revokeAccount('nobody').catch(() => {})
      expect(await changes()).toEqual(before)
    })

    test('remembers how far the audit log has read it, and never goes back', async () => {
      const { ledger } = await begin()
      expect(await ledger.auditedChangeId()).toBe(0)
      await ledger.audited(3)
      await ledger.audited(2)
      expect(await ledger.auditedChangeId()).toBe(3)
    })

    test('is deleted when it is old; ids are not reused', async () => {
      const { ledger, clock, changes } = await begin()
      const ids = (await ledger.accountChanges({ after: 0, limit: ALL })).map(({ changeId }) => changeId)
      clock.advance(1000)
      await ledger.prune(1001, 10)
      expect(await changes()).toHaveLength(ids.length)
      await ledger.prune(1000, 10)
      expect(await changes()).toEqual([])
      await ledger.revokeAccount('bob')
      const [revoked] = await ledger.accountChanges({ after: 0, limit: ALL })
      expect(revoked?.changeId).toBeGreaterThan(Math.max(...ids))
    })
  })
}
