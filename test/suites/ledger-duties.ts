/** The part of the ledger's suite about several portals: duties, and their common address. */
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

    test('goes to another portal when its own has not come back', async () => {
      const { ledger, clock } = await begin()
      await ledger.takeDuty('sweep', 'one', { leaseMs: 1000 })
      clock.advance(1000)
      expect(await ledger.takeDuty('sweep', 'other', { leaseMs: 1000 })).toBe(true)
      expect(await ledger.takeDuty('sweep', 'one', { leaseMs: 1000 })).toBe(false)
    })

    test('is not another duty', async () => {
      const { ledger } = await begin()
      expect(await ledger.takeDuty('sweep', 'one', { leaseMs: 1000 })).toBe(true)
      expect(await ledger.takeDuty('audit', 'other', { leaseMs: 1000 })).toBe(true)
    })

    test('that all take at once is had by one', async () => {
      const { ledger } = await begin()
      const portals = Array.from({ length: 9 }, (_, index) => `portal ${index}`)
      const taken = await Promise.all(portals.map((portal) => ledger.takeDuty('orphans', portal, { leaseMs: 1000 })))
      expect(taken.filter((isTaken) => isTaken)).toHaveLength(1)
    })
  })

  describe('the store binding', () => {
    test('is with the first store, or with the one that takes its place', async () => {
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
    test('is not known before a portal has told it, and then the last that was told', async () => {
      const { ledger } = await begin()
      expect(await ledger.address()).toBeNull()
      await ledger.setAddress('http://127.0.0.1:7878')
      await ledger.setAddress('https://files.example/gl')
      expect(await ledger.address()).toBe('https://files.example/gl')
    })
  })

  test('the clock is the one it was given', async () => {
    const { ledger, clock } = await begin()
    expect(ledger.nowMs()).toBe(clock.nowMs)
  })
}
