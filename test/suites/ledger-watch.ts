/** The part of the ledger's suite about data for people: deliveries of a receiver, times of both hops, totals, portals, operators. */
import { describe, expect, test } from 'vitest'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import type { Census, Minute, PortalRecord } from '../../src/portal/ledger/watch-contract.ts'
import { Problem } from '../../src/protocol/index.ts'
import type { LedgerTest } from './ledger.ts'
import { aTransfer, manifestDigest, problem, roomy } from './ledger.ts'

const MINUTE_MS = 60_000

export function testWatch(begin: () => Promise<LedgerTest>): void {
  describe('the deliveries of a receiver', () => {
    const idsOf = async (ledger: Ledger, receiverId: number, before: string | null = null, limit = 10) =>
      (await ledger.transfersTo(receiverId, { before, limit })).map(({ transferId }) => transferId)

    test('are those that wait or were offered, newest first, page by page, without those of others', async () => {
      const { ledger, bob, cy, announce, store, offer, settle } = await begin()
      const first = await store([bob, cy])
      await offer()
      await settle(first, bob, { state: 'delivered', receipt: null })
      const second = await store([bob])
      await store([cy])
      const { transferId: third } = await announce([bob])
      expect(await idsOf(ledger, bob.accountId)).toEqual([third, second, first])
      expect(await idsOf(ledger, bob.accountId, null, 2)).toEqual([third, second])
      expect(await idsOf(ledger, bob.accountId, second, 2)).toEqual([first])
      const found = await ledger.transfersTo(bob.accountId, { before: second, limit: 1 })
      expect(found[0]?.deliveries.map(({ receiver, state }) => [receiver, state])).toEqual([['bob', 'delivered']])
    })

    test('omit transfers that were cancelled before any offer', async () => {
      const { ledger, bob, announce, move, offer } = await begin()
      const cancelled = { state: 'cancelled', problem: problem('cancelled') } as const
      const { transferId: unseen } = await announce([bob])
      await move(unseen, cancelled)
      const { transferId: seen } = await announce([bob])
      await offer()
      await move(seen, cancelled)
      expect(await idsOf(ledger, bob.accountId)).toEqual([seen])
    })
  })

  describe('times', () => {
    test('of both hops are kept: stored, first offered, delivered or failed, ended', async () => {
      const { ledger, clock, bob, cy, announce, move, offer, settle } = await begin()
      const { transferId, ...announced } = await announce([bob, cy])
      expect(announced).toMatchObject({ endedAtMs: null, deliveries: [{ offeredAtMs: null }, { offeredAtMs: null }] })
      const at = (minutes: number): number => announced.createdAtMs + minutes * MINUTE_MS
      clock.advance(MINUTE_MS)
      await move(transferId, { state: 'stored', manifestDigest, manifest: null })
      clock.advance(MINUTE_MS)
      await offer(bob)
      await offer(cy)
      clock.advance(MINUTE_MS)
      await ledger.receiverConnected(bob.accountId, 'instance-1')
      await offer(bob)
      clock.advance(MINUTE_MS)
      await settle(transferId, bob, { state: 'delivered', receipt: null })
      expect(await ledger.transfer(transferId)).toMatchObject({ storedAtMs: at(1), endedAtMs: null })
      clock.advance(MINUTE_MS)
      await settle(transferId, cy, { state: 'failed', problem: problem('disk-full') })
      expect(await ledger.transfer(transferId)).toMatchObject({
        storedAtMs: at(1),
        endedAtMs: at(5),
        deliveries: [
          { state: 'delivered', offeredAtMs: at(2), endedAtMs: at(4) },
          { state: 'failed', offeredAtMs: at(2), endedAtMs: at(5) },
        ],
      })
    })

    test('are equal where a file is stored in one request, and where it is refused', async () => {
      const { ledger, clock, ada, bob, announce, move } = await begin()
      const whole = { manifestDigest, manifest: null, digest: 'cd'.repeat(32), content: new Uint8Array(1000) }
      const { transfer } = await ledger.storeInline(aTransfer(ada, [bob]), roomy, whole)
      expect(transfer).toMatchObject({ state: 'stored', storedAtMs: clock.nowMs, endedAtMs: null })
      const refused = await ledger.announce(aTransfer(ada, [bob]), { ...roomy, freeBytes: 0 })
      const ended = { endedAtMs: clock.nowMs, deliveries: [{ state: 'failed', endedAtMs: clock.nowMs }] }
      expect(refused.transfer).toMatchObject({ state: 'refused', ...ended })
      const { transferId } = await announce()
      expect(await move(transferId, { state: 'expired', problem: problem('expired') })).toMatchObject(ended)
    })
  })

  describe('the census', () => {
    const none: Census = {
      transfers: { receiving: 0, stored: 0, ended: 0, refused: 0, cancelled: 0, expired: 0 },
      deliveries: { waiting: 0, offered: 0, delivered: 0, failed: 0 },
      openBytes: 0,
      accounts: 3,
      resumable: 0,
    }

    test('counts every state of transfers and deliveries, until they are deleted', async () => {
      const { ledger, clock, ada, bob, cy, announce, move, offer, settle } = await begin()
      const census = async () => {
        const { transfers, deliveries } = await ledger.census()
        const short = (counts: object) =>
          Object.entries(counts).flatMap(([state, count]) => (count === 0 ? [] : [`${count} ${state}`]))
        return [...short(transfers), ...short(deliveries)].join(', ')
      }
      expect(await ledger.census()).toEqual(none)
      const { transferId } = await announce([bob, cy])
      expect(await census()).toBe('1 receiving, 2 waiting')
      await offer(cy)
      await settle(transferId, cy, { state: 'failed', problem: problem('disk-full') })
      expect(await census()).toBe('1 receiving, 1 waiting, 1 failed')
      await move(transferId, { state: 'stored', manifestDigest, manifest: null })
      await offer()
      expect(await census()).toBe('1 stored, 1 offered, 1 failed')
      expect((await ledger.census()).openBytes).toBe(1000)
      await ledger.receiverConnected(bob.accountId, 'instance-1')
      expect(await census()).toBe('1 stored, 1 waiting, 1 failed')
      await offer()
      await settle(transferId, bob, { state: 'delivered', receipt: null })
      expect(await census()).toBe('1 ended, 1 delivered, 1 failed')

      for (const state of ['refused', 'cancelled', 'expired'] as const) {
        const other = await announce([bob, cy])
        await offer(cy)
        await settle(other.transferId, cy, { state: 'failed', problem: problem('disk-full') })
        await move(other.transferId, { state, problem: problem('expired') })
      }
      await ledger.announce(aTransfer(ada, [bob]), { ...roomy, freeBytes: 0 })
      expect(await census()).toBe('1 ended, 2 refused, 1 cancelled, 1 expired, 1 delivered, 8 failed')

      const { transferId: twice } = await announce([bob])
      await offer()
      await settle(twice, bob, { state: 'failed', problem: problem('disk-full') })
      await move(twice, { state: 'stored', manifestDigest, manifest: null })
      const whole = { manifestDigest, manifest: null, digest: 'cd'.repeat(32), content: new Uint8Array(1000) }
      await ledger.storeInline(aTransfer(ada, [bob]), roomy, whole)
      const last = '1 stored, 2 ended, 2 refused, 1 cancelled, 1 expired, 1 waiting, 1 delivered, 9 failed'
      expect(await census()).toBe(last)

      clock.advance(MINUTE_MS)
      for (const ended of await ledger.dueRemovals(100)) await ledger.removed(ended)
      expect(await ledger.prune(MINUTE_MS, 100)).toBe(6)
      expect(await census()).toBe('1 stored, 1 waiting')
    })

    test('counts accounts that are not revoked', async () => {
      const { ledger } = await begin()
      const count = async () => (await ledger.census()).accounts
      await ledger.revokeAccount('cy')
      await ledger.revokeAccount('cy')
      expect(await count()).toBe(2)
      await ledger.createRenewal({ name: 'cy', secretHash: 'renewal', lifetimeMs: MINUTE_MS })
      await ledger.redeemInvite('renewal', { tokenId: 'new', tokenHash: 'new' })
      expect(await count()).toBe(3)
    })
  })

  test('the newest problems are listed, without text of receivers', async () => {
    const { ledger, clock, bob, store, announce, move, offer, settle } = await begin()
    const full = new Problem('disk-full', { detail: 'no room for secret.pdf' }).toJSON()
    const failed = await store()
    await offer()
    await settle(failed, bob, { state: 'failed', problem: full })
    clock.advance(1)
    const { transferId: cancelled } = await announce()
    await move(cancelled, { state: 'cancelled', problem: problem('cancelled') })
    const newest = { atMs: clock.nowMs, transferId: cancelled, sender: 'ada', receiver: null }
    const oldest = { atMs: clock.nowMs - 1, transferId: failed, sender: 'ada', receiver: 'bob' }
    expect(await ledger.problems(10)).toEqual([
      { ...newest, notification: 'refused', code: 'cancelled' },
      { ...oldest, notification: 'failed', code: 'disk-full' },
    ])
    expect(await ledger.problems(1)).toHaveLength(1)
  })

  describe('portals', () => {
    const portal = (portalId: string, sinceMs: number, ...named: string[]): PortalRecord => ({
      portalId,
      node: `node of ${portalId}`,
      sinceMs,
      receivers: { count: named.length, named: named.map((account) => ({ account, sinceMs })) },
    })
    const forget = { forgetMs: 10 * MINUTE_MS }

    test('report that they run and who is connected to them, and are omitted when they are silent', async () => {
      const { ledger, clock } = await begin()
      const [one, two] = [portal('one', 1, 'bob', 'cy'), portal('two', 2)]
      await ledger.recordHeartbeat(two, [], forget)
      await ledger.recordHeartbeat(portal('one', 1), [], forget)
      clock.advance(MINUTE_MS)
      await ledger.recordHeartbeat(one, [], forget)
      const [seen, seenBefore] = [clock.nowMs, clock.nowMs - MINUTE_MS]
      expect(await ledger.portals(2 * MINUTE_MS, 10)).toEqual([
        { ...one, seenAtMs: seen },
        { ...two, seenAtMs: seenBefore },
      ])
      expect(await ledger.portals(MINUTE_MS / 2, 10)).toEqual([{ ...one, seenAtMs: seen }])
      await ledger.portalGone('one')
      expect(await ledger.portals(MINUTE_MS / 2, 10)).toEqual([])
    })

    test('report their throughput by the minute, and a repeated report replaces the earlier one', async () => {
      const { ledger, clock } = await begin()
      const minute = (atMs: number, bytes: number): Minute => ({
        atMs,
        storedBytes: bytes,
        deliveredBytes: 2 * bytes,
        storedCount: 1,
        deliveredCount: 2,
      })
      const [first, second] = [clock.nowMs, clock.nowMs + MINUTE_MS]
      await ledger.recordHeartbeat(portal('one', 1), [minute(first, 1)], forget)
      clock.advance(MINUTE_MS)
      await ledger.recordHeartbeat(portal('one', 1), [minute(first, 10), minute(second, 5)], forget)
      await ledger.recordHeartbeat(portal('two', 1), [minute(first, 100)], forget)
      await ledger.portalGone('two')
      expect(await ledger.minutes(60 * MINUTE_MS)).toEqual([
        { ...minute(first, 110), storedCount: 2, deliveredCount: 4 },
        minute(second, 5),
      ])
      expect(await ledger.minutes(MINUTE_MS)).toEqual([minute(second, 5)])
      clock.advance(20 * MINUTE_MS)
      await ledger.recordHeartbeat(portal('three', 1), [], forget)
      expect(await ledger.minutes(60 * MINUTE_MS)).toEqual([])
      expect(await ledger.portals(60 * MINUTE_MS, 10)).toHaveLength(1)
    })
  })

  describe('operators', () => {
    const isOperator = async (ledger: Ledger, name: string) => (await ledger.accountByName(name))?.isOperator
    const changesOf = async (ledger: Ledger, name: string) =>
      (await ledger.accountChanges({ after: 0, limit: 100 })).flatMap((one) => (one.name === name ? [one.change] : []))

    test('are appointed and dismissed, and each change is recorded once', async () => {
      const { ledger } = await begin()
      await ledger.setOperator('ada', true)
      await ledger.setOperator('ada', true)
      expect(await isOperator(ledger, 'ada')).toBe(true)
      expect(await ledger.accountByTokenId('token of ada')).toMatchObject({ isOperator: true })
      expect(await isOperator(ledger, 'bob')).toBe(false)
      const listed = await ledger.accounts({ after: '', limit: 10 })
      expect(listed.filter((one) => one.isOperator).map(({ name }) => name)).toEqual(['ada'])
      await ledger.setOperator('ada', false)
      expect(await isOperator(ledger, 'ada')).toBe(false)
      expect(await changesOf(ledger, 'ada')).toEqual([
        'invite-made',
        'account-opened',
        'operator-made',
        'operator-unmade',
      ])
      await expect(ledger.setOperator('nobody', true)).rejects.toMatchObject({ code: 'account-unknown' })
    })

    test('join by an invite that makes them operators', async () => {
      const { ledger } = await begin()
      await ledger.createInvite({ name: 'dora', secretHash: 'invite', lifetimeMs: MINUTE_MS, isOperator: true })
      await ledger.redeemInvite('invite', { tokenId: 'id', tokenHash: 'hash' })
      expect(await isOperator(ledger, 'dora')).toBe(true)
      expect(await changesOf(ledger, 'dora')).toEqual(['invite-made', 'account-opened', 'operator-made'])
    })

    test('are ordinary accounts after a revocation', async () => {
      const { ledger } = await begin()
      await ledger.setOperator('cy', true)
      await ledger.revokeAccount('cy')
      await expect(ledger.setOperator('cy', true)).rejects.toMatchObject({ code: 'account-revoked' })
      await ledger.createRenewal({ name: 'cy', secretHash: 'renewal', lifetimeMs: MINUTE_MS })
      await ledger.redeemInvite('renewal', { tokenId: 'new', tokenHash: 'new' })
      expect(await isOperator(ledger, 'cy')).toBe(false)
    })
  })
}
