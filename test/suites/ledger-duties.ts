/** The part of the ledger's suite about several portals: duties, and their public address. */
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import { FakeClock } from './ledger.ts'

/** @param make makes an empty ledger with the given clock */
export function testDuties(make: (now: () => number) => Promise<Ledger>): void {
  async function begin() {
    const clock = new FakeClock()
    const ledger = await make(clock.now)
    onTestFinished(() => ledger.close())
    return { ledger, clock }
  }

  describe('a duty', () => {
    test('belongs to one portal at a time, which keeps it by renewing it in time', async () => {
      const { ledger, clock } = await begin()
      expect(await ledger.takeDuty('sweep', 'one', { leaseMs: 1000 })).toBe(true)
      expect(await ledger.takeDuty('sweep', 'other', { leaseMs: 1000 })).toBe(false)
      clock.advance(999)
      expect(await ledger.takeDuty('sweep', 'one', { leaseMs: 1000 })).toBe(true)
      clock.advance(999)
      expect(await ledger.takeDuty('sweep', 'other', { leaseMs: 1000 })).toBe(false)
    })

    test('goes to another portal when its portal has not renewed it', async () => {
      const { ledger, clock } = await begin()
      await ledger.takeDuty('sweep', 'one', { leaseMs: 1000 })
      clock.advance(1000)
      expect(await ledger.takeDuty('sweep', 'other', { leaseMs: 1000 })).toBe(true)
      expect(await ledger.takeDuty('sweep', 'one', { leaseMs: 1000 })).toBe(false)
    })

    test('is independent of other duties', async () => {
      const { ledger } = await begin()
      expect(await ledger.takeDuty('sweep', 'one', { leaseMs: 1000 })).toBe(true)
      expect(await ledger.takeDuty('audit', 'other', { leaseMs: 1000 })).toBe(true)
    })

    test('goes to one portal when several request it at the same time', async () => {
      const { ledger } = await begin()
      const portals = Array.from({ length: 9 }, (_, index) => `portal ${index}`)
      const taken = await Promise.all(portals.map((portal) => ledger.takeDuty('orphans', portal, { leaseMs: 1000 })))
      expect(taken.filter((isTaken) => isTaken)).toHaveLength(1)
    })
  })

  describe('the store binding', () => {
    test('belongs to the first store, or to the one that replaces it', async () => {
      const { ledger } = await begin()
      const before = await ledger.storeBinding()
      expect(before).toEqual({ ledgerId: expect.stringMatching(/^[0-9a-f-]{36}$/), storeId: null })
      expect(await ledger.bindStore('one', { isInstead: false })).toBe('one')
      expect(await ledger.bindStore('another', { isInstead: false })).toBe('one')
      expect(await ledger.storeBinding()).toEqual({ ...before, storeId: 'one' })
      expect(await ledger.bindStore('another', { isInstead: true })).toBe('another')
      expect((await (await begin()).ledger.storeBinding()).ledgerId).not.toBe(before.ledgerId)
    })
  })

  describe('the address', () => {
    test('is unknown before a portal has set it, and then the last one that was set', async () => {
      const { ledger } = await begin()
      expect(await ledger.address()).toBeNull()
      await ledger.setAddress('http://127.0.0.1:7878')
      await ledger.setAddress('https://files.example/gl')
      expect(await ledger.address()).toBe('https://files.example/gl')
    })
  })

  test('the clock is the given one', async () => {
    const { ledger, clock } = await begin()
    expect(ledger.nowMs()).toBe(clock.nowMs)
  })
}
