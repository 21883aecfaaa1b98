/** The ledger's obligations about upload resources. Part of the suite of every ledger. */
import { describe, expect, test } from 'vitest'
import type { Account } from '../../src/portal/ledger/contract.ts'
import type { NewUploadResource, Uploaded } from '../../src/portal/ledger/uploads-contract.ts'
import { aTransfer, type LedgerTest, manifestDigest, problem, roomy } from './ledger.ts'

export function anUpload(transferId: string, account: Account): NewUploadResource {
  return {
    transferId,
    accountId: account.accountId,
    protocol: 'ietf',
    secretHash: `secret of ${transferId}`,
    attempt: 1,
    generation: '',
    isKeyed: false,
    lengthBytes: null,
    reprDigest: null,
    metadata: null,
  }
}

const nothingUploaded: Uploaded = { fromBytes: 0, offsetBytes: 0, parts: [], tail: [], lengthBytes: null }

export function testUploads(beginWithLedger: () => Promise<LedgerTest>): void {
  const begin = async () => {
    const ledgerTest = await beginWithLedger()
    const { ledger, ada, bob } = ledgerTest
    const announce = async () =>
      (await ledger.announce({ ...aTransfer(ada, [bob]), isOneRequest: true, isResumable: true }, roomy)).transfer
    const { transferId } = await announce()
    await ledger.createUploadResource(anUpload(transferId, ada), 'one')
    const record = (writerId: string, uploaded: Partial<Uploaded>) =>
      ledger.recordUploaded(transferId, writerId, { ...nothingUploaded, ...uploaded }, null)
    return { ...ledgerTest, announce, transferId, record }
  }

  describe('upload resources', () => {
    test('one is found by its transfer and by its secret, as it was created', async () => {
      const { ledger, ada, transferId } = await begin()
      const made = { ...anUpload(transferId, ada), writerId: 'one', offsetBytes: 0, tail: [] }
      expect(await ledger.uploadResource({ transferId })).toEqual(made)
      expect(await ledger.uploadResource({ secretHash: `secret of ${transferId}` })).toEqual(made)
      expect(await ledger.uploadResource({ secretHash: 'another' })).toBeNull()
    })

    test('a new resource of a transfer replaces the earlier one, with its parts', async () => {
      const { ledger, ada, transferId, record } = await begin()
      await record('one', { offsetBytes: 100, parts: [{ partNumber: 1, digest: 'a' }] })
      await ledger.createUploadResource({ ...anUpload(transferId, ada), secretHash: 'second', attempt: 2 }, 'two')
      expect(await ledger.uploadResource({ secretHash: `secret of ${transferId}` })).toBeNull()
      const now = await ledger.uploadResource({ transferId })
      expect(now).toMatchObject({ secretHash: 'second', attempt: 2, offsetBytes: 0, writerId: 'two' })
      expect(await ledger.uploadedDigests(transferId)).toEqual([])
    })

    test('parts and the tail are recorded together, in order', async () => {
      const { ledger, transferId, record } = await begin()
      const tail = [{ generation: 'ta', partNumber: 3, digest: 'c', lengthBytes: 7 }]
      const parts = [
        { partNumber: 1, digest: 'a' },
        { partNumber: 2, digest: 'b' },
      ]
      expect(await record('one', { offsetBytes: 207, parts, tail })).toBe(true)
      expect(await ledger.uploadResource({ transferId })).toMatchObject({ offsetBytes: 207, tail })
      expect(await record('one', { fromBytes: 207, offsetBytes: 300, parts: [{ partNumber: 3, digest: 'c' }] })).toBe(
        true,
      )
      expect(await ledger.uploadResource({ transferId })).toMatchObject({ offsetBytes: 300, tail: [] })
      expect(await ledger.uploadedDigests(transferId)).toEqual(['a', 'b', 'c'])
    })

    test('a writer that was replaced changes nothing', async () => {
      const { ledger, transferId, record } = await begin()
      expect(await ledger.claimUploadResource(transferId, 'another', 'two')).toBeNull()
      expect(await ledger.claimUploadResource(transferId, null, 'two')).toBeNull()
      expect(await ledger.claimUploadResource(transferId, 'one', 'two')).toMatchObject({ writerId: 'two' })
      expect(await record('one', { offsetBytes: 100, parts: [{ partNumber: 1, digest: 'late' }] })).toBe(false)
      expect(await ledger.recordUploadLength(transferId, 'one', 5)).toBe(false)
      expect(await ledger.claimUploadResource(transferId, 'one', null)).toBeNull()
      expect(await ledger.uploadedDigests(transferId)).toEqual([])
      expect(await ledger.recordUploadLength(transferId, 'two', 100)).toBe(true)
      expect(await ledger.claimUploadResource(transferId, 'two', null)).toMatchObject({
        writerId: null,
        lengthBytes: 100,
      })
    })

    test('what does not begin at the recorded offset changes nothing', async () => {
      const { ledger, transferId, record } = await begin()
      expect(await record('one', { fromBytes: 100, offsetBytes: 200, parts: [{ partNumber: 2, digest: 'b' }] })).toBe(
        false,
      )
      expect(await ledger.uploadResource({ transferId })).toMatchObject({ offsetBytes: 0 })
    })

    test('the tail of a stream counts until its part does, or the upload is over', async () => {
      const { ledger, ada, bob } = await begin()
      const before = (await ledger.totals()).openBytes
      const openBytes = async () => (await ledger.totals()).openBytes - before
      const stream = { ...aTransfer(ada, [bob]), sizeBytes: null, isOneRequest: true, isResumable: true } as const
      const { transferId } = (await ledger.announce(stream, roomy)).transfer
      await ledger.createUploadResource(anUpload(transferId, ada), 'one')
      const partBytes = stream.partSizeBytes
      const narrow = { ...roomy, accountBytesMax: before + 2 * partBytes }
      const record = (fromBytes: number, offsetBytes: number, parts: Uploaded['parts'] = []) =>
        ledger.recordUploaded(transferId, 'one', { ...nothingUploaded, fromBytes, offsetBytes, parts }, narrow)
      const tail = partBytes - 1
      expect(await record(0, tail)).toBe(true)
      expect(await openBytes()).toBe(tail)
      // The part takes only the room that its tail has not taken.
      const one = { attempt: 1, partNumber: 1, lengthBytes: partBytes }
      expect(
        await ledger.growStream(transferId, one, { ...narrow, accountBytesMax: before + partBytes }),
      ).not.toBeNull()
      expect(await openBytes()).toBe(partBytes)
      expect(await record(tail, partBytes + 5, [{ partNumber: 1, digest: 'a' }])).toBe(true)
      expect(await openBytes()).toBe(partBytes + 5)
      await expect(record(partBytes + 5, 2 * partBytes + 1)).rejects.toMatchObject({
        code: 'storage-full',
        details: { neededBytes: partBytes - 4, freeBytes: partBytes - 5 },
      })
      expect(await ledger.uploadResource({ transferId })).toMatchObject({ offsetBytes: partBytes + 5 })
      expect(await openBytes()).toBe(partBytes + 5)
      // A new resource of the transfer has no tail.
      await ledger.createUploadResource({ ...anUpload(transferId, ada), secretHash: 'second' }, 'one')
      expect(await openBytes()).toBe(partBytes)
      await record(0, partBytes + 7)
      expect(await openBytes()).toBe(partBytes + 7)
      const change = { state: 'refused', problem: problem('cancelled') } as const
      await ledger.moveTransfer(transferId, { state: 'receiving', attempt: 1 }, change)
      expect(await openBytes()).toBe(0)
      expect(await record(partBytes + 7, partBytes + 9), 'the transfer is over').toBe(false)
      expect(await openBytes()).toBe(0)
    })

    test('of two claims at the same time one succeeds', async () => {
      const { ledger, transferId } = await begin()
      const claims = await Promise.all(['two', 'three'].map((to) => ledger.claimUploadResource(transferId, 'one', to)))
      expect(claims.filter((claim) => claim !== null)).toHaveLength(1)
    })

    test('an account has a bounded number of open ones, and a place again when one has ended', async () => {
      const { ledger, ada, bob, announce, transferId } = await begin()
      const narrow = { ...roomy, accountUploadsMax: 2 }
      const another = () => ({ ...aTransfer(ada, [bob]), isOneRequest: true, isResumable: true }) as const
      await announce()
      await expect(ledger.announce(another(), narrow)).rejects.toMatchObject({
        code: 'too-many-transfers',
        details: { uploadsMax: 2 },
      })
      await ledger.announce(aTransfer(ada, [bob]), narrow)
      await ledger.announce({ ...aTransfer(bob, [ada]), isOneRequest: true, isResumable: true }, narrow)
      const refused = { state: 'refused', problem: problem('cancelled') } as const
      await ledger.moveTransfer(transferId, { state: 'receiving', attempt: 1 }, refused)
      await ledger.announce(another(), narrow)
    })

    test('one is forgotten with its transfer, and can be removed before', async () => {
      const { ledger, ada, clock, announce, transferId, record } = await begin()
      await record('one', { offsetBytes: 100, parts: [{ partNumber: 1, digest: 'a' }] })
      const stored = { state: 'stored', manifestDigest, manifest: null } as const
      await ledger.moveTransfer(transferId, { state: 'receiving', attempt: 1 }, stored)
      const cancelled = await announce()
      await ledger.createUploadResource(anUpload(cancelled.transferId, ada), 'two')
      const change = { state: 'cancelled', problem: problem('cancelled') } as const
      await ledger.moveTransfer(cancelled.transferId, { state: 'receiving', attempt: 1 }, change)
      await ledger.removed(cancelled.transferId)
      clock.advance(1000)
      await ledger.prune(0, 10)
      expect(await ledger.uploadResource({ transferId: cancelled.transferId })).toBeNull()
      expect(await ledger.uploadResource({ transferId })).toMatchObject({ offsetBytes: 100 })
      await ledger.removeUploadResource(transferId)
      await ledger.removeUploadResource(transferId)
      expect(await ledger.uploadResource({ transferId })).toBeNull()
      expect(await ledger.uploadedDigests(transferId)).toEqual([])
    })
  })
}
