/** The part of the ledger's suite about small files, which the ledger keeps itself: a transfer and its content in one step. */
import { describe, expect, onTestFinished, test } from 'vitest'
import type { InlineContent, Ledger } from '../../src/portal/ledger/contract.ts'
import type { ProblemCode } from '../../src/protocol/index.ts'
import { aTransfer, FakeClock, join, leaseMs, problem, roomy } from './ledger.ts'

const HISTORY_MS = 1000
const manifestDigest = 'ef'.repeat(32)
const whole = {
  manifestDigest,
  manifest: 'as it was signed',
  digest: 'cd'.repeat(32),
  content: Uint8Array.from({ length: 1000 }, (_, index) => index % 256),
} satisfies InlineContent

/** Called by `testLedger`. @param make makes an empty ledger with the given clock */
export function testInlineUploads(make: (now: () => number) => Promise<Ledger>): void {
  async function begin() {
    const clock = new FakeClock()
    const ledger = await make(clock.now)
    onTestFinished(() => ledger.close())
    const [ada, bob, cy] = [await join(ledger, 'ada'), await join(ledger, 'bob'), await join(ledger, 'cy')]
    const told = async (): Promise<string[]> => {
      const events = await ledger.events(ada.accountId, { after: '0', limit: 500, transferId: null })
      return events.map(({ notification }) => notification)
    }
    /** Ends the only delivery to bob with this code. */
    const refuse = async (code: ProblemCode): Promise<void> => {
      const [offered] = await ledger.offerNext(bob.accountId, 'instance-1', { leaseMs, limit: 1 })
      const delivery = offered?.deliveries.find(({ receiverId }) => receiverId === bob.accountId)
      if (offered === undefined || delivery?.state !== 'offered') throw new Error('nothing was offered')
      const from = { state: 'offered', leaseId: delivery.lease.leaseId } as const
      const change = { state: 'failed', problem: problem(code) } as const
      await ledger.moveDelivery(offered.transferId, bob.accountId, from, change)
    }
    return { clock, ledger, ada, bob, cy, told, refuse }
  }

  describe('small files', () => {
    test('a transfer is stored with its content at once, reported, and offered', async () => {
      const { ledger, ada, bob, told } = await begin()
      const transfer = aTransfer(ada, [bob])
      const { transfer: stored, notification } = await ledger.storeInline(transfer, roomy, whole)
      const held = { state: 'stored', manifestDigest, manifest: 'as it was signed', heldIn: 'ledger' }
      expect(stored).toMatchObject(held)
      expect(notification).toMatchObject({ notification: 'stored', transferId: transfer.transferId, attempt: 1 })
      expect(await ledger.transfer(transfer.transferId)).toEqual(stored)
      expect(await told()).toEqual(['stored'])
      const content = await ledger.content(transfer.transferId)
      expect(content?.digest).toBe(whole.digest)
      expect(Buffer.from(content?.content ?? [])).toEqual(Buffer.from(whole.content))
      expect(await ledger.offerNext(bob.accountId, 'instance-1', { leaseMs, limit: 2 })).toMatchObject([held])
      expect(await ledger.totals()).toEqual({ openTransfers: 1, openBytes: 1000 })
    })

    test('an offer that begins before the commit lasts with the file, or is undone with it', async () => {
      const { ledger, ada, bob } = await begin()
      const offering: ReturnType<Ledger['offerNext']>[] = []
      const offer = (): void => {
        offering.push(ledger.offerNext(bob.accountId, 'instance-1', { leaseMs, limit: 2 }))
      }
      const transfer = aTransfer(ada, [bob])
      await ledger.storeInline(transfer, roomy, whole, offer)
      // A ledger that others may see as well calls nothing.
      if (ledger.traits.isShared) expect(offering).toEqual([])
      else expect(await offering[0]).toMatchObject([{ transferId: transfer.transferId, state: 'stored' }])
      await ledger.storeInline(transfer, roomy, whole, offer)
      expect(offering.length).toBeLessThan(2)
      await expect(
        ledger.storeInline(aTransfer(ada, [bob]), roomy, whole, () => {
          offer()
          throw new Error('given up')
        }),
      )[ledger.traits.isShared ? 'resolves' : 'rejects'].toBeDefined()
      for (const late of offering.slice(1)) expect(await late).toEqual([])
    })

    test('a repetition changes nothing, and is reported as one; other content under the same id is a conflict', async () => {
      const { ledger, ada, bob, cy, told } = await begin()
      const transfer = aTransfer(ada, [bob])
      await ledger.storeInline(transfer, roomy, whole)
      expect(await ledger.storeInline(transfer, roomy, whole)).toMatchObject({
        transfer: { state: 'stored' },
        notification: null,
      })
      for (const other of [
        { ...transfer, to: ['cy'] },
        { ...transfer, senderId: cy.accountId },
        { ...transfer, sizeBytes: 999 },
      ]) {
        await expect(ledger.storeInline(other, roomy, whole)).rejects.toMatchObject({ code: 'transfer-conflict' })
      }
      expect(await told()).toEqual(['stored'])
      expect(await ledger.totals()).toEqual({ openTransfers: 1, openBytes: 1000 })
    })

    test('it stores a transfer that was announced before, even in a later attempt', async () => {
      const { ledger, ada, bob } = await begin()
      const transfer = aTransfer(ada, [bob])
      await ledger.announce(transfer, roomy)
      const again = { problem: problem('parts-missing'), wanted: [], discardsParts: true, uploadTimeoutMs: 1000 }
      await ledger.moveTransfer(
        transfer.transferId,
        { state: 'receiving', attempt: 1 },
        { state: 'receiving', ...again },
      )
      const { transfer: stored, notification } = await ledger.storeInline(transfer, roomy, whole)
      expect(stored).toMatchObject({ state: 'stored', attempt: 2 })
      expect(notification).toMatchObject({ notification: 'stored', attempt: 2 })
      expect(await ledger.dueUploads(10)).toEqual([])
    })

    test('parts in the store from an earlier try are removed at the end; otherwise there is nothing to remove', async () => {
      const { ledger, ada, bob, refuse } = await begin()
      const transfer = aTransfer(ada, [bob])
      await ledger.announce(transfer, roomy)
      await ledger.storeInline(transfer, roomy, whole)
      await refuse('disk-full')
      await ledger.storeInline(aTransfer(ada, [bob]), roomy, whole)
      await refuse('disk-full')
      expect(await ledger.dueRemovals(10)).toEqual([transfer.transferId])
    })

    test('without space nothing is kept, and the refusal is reported', async () => {
      const { ledger, ada, bob, told } = await begin()
      const transfer = aTransfer(ada, [bob])
      const full = { ...roomy, storageBytesMax: 10 }
      const { transfer: refused, notification } = await ledger.storeInline(transfer, full, whole)
      expect(refused.state).toBe('refused')
      expect(notification).toMatchObject({ notification: 'refused', problem: { code: 'storage-full' } })
      expect(await ledger.content(transfer.transferId)).toBeNull()
      expect(await told()).toEqual(['refused'])
      expect(await ledger.totals()).toEqual({ openTransfers: 0, openBytes: 0 })
    })

    test('for an unknown receiver nothing is recorded', async () => {
      const { ledger, ada, bob, told } = await begin()
      const transfer = { ...aTransfer(ada, [bob]), to: ['nobody'] }
      await expect(ledger.storeInline(transfer, roomy, whole)).rejects.toMatchObject({ code: 'receiver-unknown' })
      expect(await ledger.transfer(transfer.transferId)).toBeNull()
      expect(await ledger.content(transfer.transferId)).toBeNull()
      expect(await told()).toEqual([])
    })

    test('an empty file has no content', async () => {
      const { ledger, ada, bob } = await begin()
      const transfer = aTransfer(ada, [bob], 0)
      const { transfer: stored } = await ledger.storeInline(transfer, roomy, { ...whole, content: new Uint8Array() })
      expect(stored.state).toBe('stored')
      expect(await ledger.content(transfer.transferId)).toBeNull()
    })

    test('the content is deleted with the last outcome, and the rest with the history', async () => {
      const { clock, ledger, ada, bob, told, refuse } = await begin()
      const { transferId } = (await ledger.storeInline(aTransfer(ada, [bob]), roomy, whole)).transfer
      await refuse('disk-full')
      expect(await ledger.content(transferId)).toBeNull()
      expect(await ledger.transfer(transferId)).toMatchObject({ state: 'ended', heldIn: 'ledger' })
      expect(await told()).toEqual(['stored', 'failed'])
      clock.advance(2 * HISTORY_MS)
      expect(await ledger.prune(HISTORY_MS, 10)).toBe(1)
      expect(await ledger.transfer(transferId)).toBeNull()
    })

    test('where every receiver refused it while it was announced, it is stored and ended at once', async () => {
      const { ledger, ada, bob, told, refuse } = await begin()
      const transfer = aTransfer(ada, [bob])
      await ledger.announce(transfer, roomy)
      await refuse('name-refused')
      const { transfer: ended, notification } = await ledger.storeInline(transfer, roomy, whole)
      expect(ended.state).toBe('ended')
      expect(notification?.notification).toBe('stored')
      expect(await ledger.content(transfer.transferId)).toBeNull()
      expect(await told()).toEqual(['stored', 'failed'])
    })

    test('recorded many times at once, it is stored once', async () => {
      const { ledger, ada, bob, told } = await begin()
      const transfer = aTransfer(ada, [bob])
      const results = await Promise.all(Array.from({ length: 8 }, () => ledger.storeInline(transfer, roomy, whole)))
      expect(results.filter(({ notification }) => notification !== null)).toHaveLength(1)
      expect(await told()).toEqual(['stored'])
    })
  })
}
