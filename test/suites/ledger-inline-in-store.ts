/** The part of the ledger's suite about transfers whose parts are in the store before the ledger records them. */
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Account, Ledger } from '../../src/portal/ledger/contract.ts'
import { aTransfer, FakeClock, join, leaseMs, manifestDigest, roomy } from './ledger.ts'

/** @param make makes an empty ledger with the given clock */
export function testInlineInStore(make: (now: () => number) => Promise<Ledger>): void {
  async function begin() {
    const clock = new FakeClock()
    const ledger = await make(clock.now)
    onTestFinished(() => ledger.close())
    const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
    const deliver = async (transferId: string, receiver: Account): Promise<void> => {
      await ledger.offerNext(receiver.accountId, 'instance-1', { leaseMs, limit: 1 })
      const found = await ledger.delivery(transferId, receiver.accountId)
      if (found?.delivery.state !== 'offered') throw new Error('it is not offered')
      const from = { state: 'offered', leaseId: found.delivery.lease.leaseId } as const
      await ledger.moveDelivery(transferId, receiver.accountId, from, { state: 'delivered', receipt: null })
    }
    const whole = { manifestDigest, manifest: null, heldIn: 'store', generation: 'a1' } as const
    const inStore = { ...whole, begunAtMs: ledger.nowMs() }
    return { ledger, clock, ada, bob, deliver, inStore }
  }

  describe('a transfer whose parts are in the store already', () => {
    test('is stored by the transaction that creates it, and offered', async () => {
      const { ledger, ada, bob, inStore } = await begin()
      const transfer = { ...aTransfer(ada, [bob]), isOneRequest: true } as const
      const { notification } = await ledger.storeInline(transfer, roomy, inStore)
      expect(notification).toMatchObject({ notification: 'stored', transferId: transfer.transferId })
      expect(await ledger.transfer(transfer.transferId)).toMatchObject({
        state: 'stored',
        heldIn: 'store',
        generation: 'a1',
        isOneRequest: true,
        manifestDigest,
      })
      expect(await ledger.totals()).toEqual({ openTransfers: 1, openBytes: transfer.sizeBytes })
      expect(await ledger.offerNext(bob.accountId, 'instance-1', { leaseMs, limit: 9 })).toHaveLength(1)
    })

    test('has its parts removed once it has ended', async () => {
      const { ledger, ada, bob, deliver, inStore } = await begin()
      const transfer = aTransfer(ada, [bob])
      await ledger.storeInline(transfer, roomy, inStore)
      expect(await ledger.dueRemovals(9)).toEqual([])
      await deliver(transfer.transferId, bob)
      expect(await ledger.dueRemovals(9)).toEqual([transfer.transferId])
    })

    test('is reported once, also when it is recorded repeatedly', async () => {
      const { ledger, ada, bob, inStore } = await begin()
      const transfer = aTransfer(ada, [bob])
      await ledger.storeInline(transfer, roomy, inStore)
      expect((await ledger.storeInline(transfer, roomy, inStore)).notification).toBeNull()
      const page = { after: '0', limit: 9, transferId: transfer.transferId }
      expect(await ledger.events(ada.accountId, page)).toHaveLength(1)
    })

    test('is refused where there is no room for it', async () => {
      const { ledger, ada, bob, inStore } = await begin()
      const { notification } = await ledger.storeInline(
        aTransfer(ada, [bob]),
        { ...roomy, accountBytesMax: 999 },
        inStore,
      )
      expect(notification).toMatchObject({ notification: 'refused', problem: { code: 'storage-full' } })
      expect(await ledger.totals()).toEqual({ openTransfers: 0, openBytes: 0 })
    })
  })

  describe('a transfer whose parts have come in for too long', () => {
    test('is no longer recorded: they may be being removed', async () => {
      const { ledger, clock, ada, bob, inStore } = await begin()
      const transfer = aTransfer(ada, [bob])
      clock.advance(roomy.expiryMs + 1)
      await expect(ledger.storeInline(transfer, roomy, inStore)).rejects.toMatchObject({ code: 'expired' })
      expect(await ledger.transfer(transfer.transferId)).toBeNull()
    })
  })

  describe('the room for a transfer whose size is not known', () => {
    test('is the rest of account, storage and disk', async () => {
      const { ledger, ada, bob } = await begin()
      await ledger.announce(aTransfer(ada, [bob], 1000), roomy)
      const parties = { senderId: ada.accountId, to: ['bob'] }
      expect(await ledger.roomBytes(parties, { ...roomy, accountBytesMax: 1500 })).toBe(500)
      expect(await ledger.roomBytes(parties, { ...roomy, storageBytesMax: 1400 })).toBe(400)
      expect(await ledger.roomBytes(parties, { ...roomy, freeBytes: 300 })).toBe(300)
      expect(await ledger.roomBytes(parties, { ...roomy, accountBytesMax: 10 })).toBe(0)
      expect(await ledger.roomBytes({ ...parties, senderId: bob.accountId }, { ...roomy, accountBytesMax: 10 })).toBe(
        10,
      )
    })

    test('is refused where nothing could be announced', async () => {
      const { ledger, ada, bob } = await begin()
      const parties = { senderId: ada.accountId, to: ['bob'] }
      await expect(ledger.roomBytes({ ...parties, to: ['nobody'] }, roomy)).rejects.toMatchObject({
        code: 'receiver-unknown',
      })
      await expect(ledger.roomBytes(parties, { ...roomy, accountTransfersMax: 0 })).rejects.toMatchObject({
        code: 'too-many-transfers',
      })
      await ledger.revokeAccount(bob.name)
      await expect(ledger.roomBytes(parties, roomy)).rejects.toMatchObject({ code: 'receiver-unknown' })
      await ledger.revokeAccount(ada.name)
      await expect(ledger.roomBytes(parties, roomy)).rejects.toMatchObject({ code: 'credentials-invalid' })
    })
  })
}
