/** The ledger's obligations about streams: transfers that are announced without a size. Part of the suite of every ledger. */
import { describe, expect, test } from 'vitest'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import { aTransfer, type LedgerTest, leaseMs, manifestDigest, problem, roomy } from './ledger.ts'

/** Parts of test transfers have 100 bytes. */
const PART_BYTES = 100

export function testStreams(beginWithLedger: () => Promise<LedgerTest>): void {
  const begin = async () => {
    const ledgerTest = await beginWithLedger()
    const { ledger, ada, bob } = ledgerTest
    const announced = { ...aTransfer(ada, [bob]), sizeBytes: null }
    const { transfer } = await ledger.announce(announced, roomy)
    const { transferId } = transfer
    const grow = (partNumber: number, lengthBytes = PART_BYTES, bounds: Partial<typeof roomy> = {}) =>
      ledger.growStream(transferId, { attempt: 1, partNumber, lengthBytes }, { ...roomy, ...bounds })
    const openBytes = async () => (await ledger.totals()).openBytes
    const store = (streamBytes: number) =>
      ledger.moveTransfer(
        transferId,
        { state: 'receiving', attempt: 1 },
        { state: 'stored', manifestDigest, manifest: null, streamBytes },
      )
    return { ...ledgerTest, announced, transfer, transferId, grow, openBytes, store }
  }
  const offered = async (ledger: Ledger, receiverId: number, areStreamsWanted?: boolean) => {
    const choice = areStreamsWanted === undefined ? {} : { areStreamsWanted }
    const isDue = (await ledger.nextOfferInMs(receiverId, choice)) === 0
    const offers = await ledger.offerNext(receiverId, 'instance-1', { leaseMs, limit: 9, ...choice })
    expect(isDue).toBe(offers.length > 0)
    return offers.map((one) => one.transferId)
  }

  describe('streams', () => {
    test('a stream begins with no bytes, and is found by the same announcement', async () => {
      const { ledger, announced, transfer } = await begin()
      expect(transfer).toMatchObject({ state: 'receiving', sizeBytes: 0, isSizeKnown: false })
      expect(await ledger.announce(announced, roomy)).toEqual({ transfer, isNew: false })
      const sized = ledger.announce({ ...announced, sizeBytes: 0 }, roomy)
      await expect(sized).rejects.toMatchObject({ code: 'transfer-conflict' })
    })

    test('each part counts from its beginning, once, and in any order', async () => {
      const { grow, openBytes } = await begin()
      expect(await grow(2)).toMatchObject({ sizeBytes: 200 })
      expect(await grow(1)).toMatchObject({ sizeBytes: 200 })
      expect(await grow(2)).toMatchObject({ sizeBytes: 200, isSizeKnown: false })
      expect(await openBytes()).toBe(200)
      expect(await grow(3, 7)).toMatchObject({ sizeBytes: 207 })
      expect(await openBytes()).toBe(207)
    })

    test('only the last part may be short, and none lies behind it', async () => {
      const { grow } = await begin()
      await grow(3)
      for (const [partNumber, lengthBytes] of [
        [2, 99],
        [3, 99],
        [4, 0],
        [4, 101],
      ] as const) {
        await expect(grow(partNumber, lengthBytes)).rejects.toMatchObject({ code: 'part-length-wrong' })
      }
      await grow(4, 1)
      expect(await grow(4, 1)).toMatchObject({ sizeBytes: 301 })
      await expect(grow(4, 2)).rejects.toMatchObject({ code: 'part-length-wrong' })
      await expect(grow(4)).rejects.toMatchObject({ code: 'part-length-wrong' })
      await expect(grow(5)).rejects.toMatchObject({ code: 'part-unknown' })
    })

    test('a part for which there is no room is refused, and changes nothing', async () => {
      const { ledger, grow, announce, bob, openBytes, transferId } = await begin()
      await announce([bob], 50)
      await grow(1)
      for (const bounds of [{ accountBytesMax: 249 }, { storageBytesMax: 249 }, { freeBytes: 99 }]) {
        await expect(grow(2, PART_BYTES, bounds)).rejects.toMatchObject({ code: 'storage-full' })
      }
      expect(await openBytes()).toBe(150)
      expect(await ledger.transfer(transferId)).toMatchObject({ sizeBytes: 100 })
      await grow(2, PART_BYTES, { accountBytesMax: 250, storageBytesMax: 250, freeBytes: 100 })
    })

    test('many parts at the same moment count right', async () => {
      const { grow, openBytes } = await begin()
      await Promise.all(Array.from({ length: 20 }, (_, index) => grow(index + 1)))
      expect(await openBytes()).toBe(2000)
    })

    test('what is stored has its size, and ends with the bytes that it took', async () => {
      const { ledger, grow, store, openBytes, offer, settle, bob, transferId } = await begin()
      await grow(1)
      expect(await store(50), 'its parts reach further').toBeNull()
      expect(await store(100)).toMatchObject({ state: 'stored', sizeBytes: 100, isSizeKnown: true })
      expect(await grow(2)).toBeNull()
      await offer()
      await settle(transferId, bob, { state: 'delivered', receipt: null })
      expect(await openBytes()).toBe(0)
      expect(await ledger.transfer(transferId)).toMatchObject({ state: 'ended', sizeBytes: 100 })
    })

    test('what is refused gives its room back', async () => {
      const { ledger, grow, openBytes, transferId } = await begin()
      await grow(1)
      const change = { state: 'refused', problem: problem('upload-timeout') } as const
      await ledger.moveTransfer(transferId, { state: 'receiving', attempt: 1 }, change)
      expect(await openBytes()).toBe(0)
      expect(await grow(2)).toBeNull()
      expect(await ledger.transfer(transferId)).toMatchObject({ sizeBytes: 100, isSizeKnown: false })
    })

    test('it is offered early only to receivers that ask for that, and to all once it is stored', async () => {
      const { ledger, store, bob, transferId } = await begin()
      expect(await offered(ledger, bob.accountId)).toEqual([])
      expect(await offered(ledger, bob.accountId, false)).toEqual([])
      expect(await offered(ledger, bob.accountId, true)).toEqual([transferId])
      await ledger.receiverConnected(bob.accountId, 'instance-1')
      expect(await offered(ledger, bob.accountId), 'the same receiver, an older version').toEqual([])
      await store(0)
      expect(await offered(ledger, bob.accountId)).toEqual([transferId])
    })
  })
}
