/** The clock of a ledger is changed: open deadlines keep their remaining time, and nothing is deleted sooner. */
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import { postgresLedger } from '../../src/portal/ledger/postgres.ts'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { testDatabase } from '../servers/postgres.ts'
import { testFolder } from '../suites/folder.ts'
import { aTransfer, join, leaseMs, manifestDigest, problem, roomy } from '../suites/ledger.ts'
import { aRequest, makeGuests } from '../suites/ledger-guests.ts'
import { aWebhook, failed, service, verdict } from '../suites/ledger-webhooks.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const BASE_MS = Date.UTC(2026, 0, 1)
const bounds = { leaseMs, uploadTimeoutMs: roomy.uploadTimeoutMs }

/** A machine whose clock an operator may set. */
class Machine {
  monotonic = 5_000
  set = 0
  /** How long the answer of its clock takes. */
  lateMs = 0
  readonly now = (): number => {
    this.pass(this.lateMs)
    return BASE_MS + this.monotonic + this.set
  }
  readonly monotonicMs = (): number => this.monotonic

  pass(ms: number): void {
    this.monotonic += ms
  }
}

type Open = (machine: Machine) => Promise<Ledger>

const drivers: Record<string, () => Promise<Open>> = {
  SQLite: async () => {
    const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
    return ({ now, monotonicMs }) => sqliteLedger({ path, now, monotonicMs })
  },
  PostgreSQL: async () => {
    const { url } = await testDatabase()
    return ({ now, monotonicMs }) => postgresLedger({ url, now, monotonicMs })
  },
}

/** A ledger with a stored transfer that is offered, one that waits, and one that is being uploaded. */
async function begin(open: Open) {
  const machine = new Machine()
  const opened = async (): Promise<Ledger> => {
    const ledger = await open(machine)
    onTestFinished(() => ledger.close())
    return ledger
  }
  const ledger = await opened()
  const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
  const announce = async () => (await ledger.announce(aTransfer(ada, [bob]), roomy)).transfer.transferId
  const store = async () => {
    const transferId = await announce()
    const stored = { state: 'stored', manifestDigest, manifest: null } as const
    await ledger.moveTransfer(transferId, { state: 'receiving', attempt: 1 }, stored)
    return transferId
  }
  await ledger.keepTime(bounds)
  const uploading = await announce()
  const offered = await store()
  // Both are offered. The offer of the one that is being uploaded is postponed again, because its receiver is silent.
  await ledger.offerNext(bob.accountId, 'instance-1', { leaseMs, limit: 10 })
  const delivery = await ledger.deliveryAlone(uploading, bob.accountId)
  if (delivery?.state !== 'offered') throw new Error('it is not offered')
  const from = { state: 'offered', leaseId: delivery.lease.leaseId } as const
  await ledger.moveDelivery(uploading, bob.accountId, from, { state: 'waiting', offerInMs: 30 * SECOND_MS })
  /** The due work that a sweep finds. */
  const due = async (one: Ledger) => {
    await one.keepTime(bounds)
    return {
      leases: (await one.dueLeases(10)).map((lease) => lease.transferId),
      uploads: (await one.dueUploads(10)).map((transfer) => transfer.transferId),
      expiries: (await one.dueExpiries(10)).map((transfer) => transfer.transferId).sort(),
    }
  }
  return { machine, ledger, opened, ada, bob, announce, store, uploading, offered, due }
}

const nothing = { leases: [], uploads: [], expiries: [] }

for (const [name, driver] of Object.entries(drivers)) {
  describe(`the clock under the ledger in ${name}`, () => {
    for (const [what, setMs] of [
      ['back by two hours', -2 * HOUR_MS],
      ['ahead by two hundred days', 200 * DAY_MS],
    ] as const) {
      test(`changed ${what} while a portal runs: webhooks rest as long as before`, async () => {
        const { machine, ledger, ada, store } = await begin(await driver())
        const hook = aWebhook()
        await ledger.createWebhook(ada.accountId, hook, { webhooksMax: 1 })
        await store()
        const isFree = async () => (await ledger.webhooks('here'))[0]?.hasWork
        const serve = (...[outcomes, says]: [Parameters<Ledger['serveWebhook']>[2], typeof verdict | null]) =>
          ledger.serveWebhook(hook.webhookId, service, outcomes, says)
        const [message] = (await serve([], null))?.messages ?? []
        if (message === undefined) throw new Error('there is no message')
        await serve([failed(message, 2 * MINUTE_MS)], { ...verdict, failures: 1, pauseMs: MINUTE_MS })
        machine.set = setMs
        await ledger.keepTime(bounds)
        machine.pass(MINUTE_MS - 1)
        expect(await isFree()).toBe(false)
        machine.pass(1)
        expect((await serve([], null))?.messages).toEqual([])
        expect(await isFree()).toBe(false)
        machine.pass(MINUTE_MS)
        expect(await isFree()).toBe(true)
        expect((await serve([], null))?.messages).toHaveLength(1)
      })

      test(`changed ${what} while a portal runs: leases, pauses, uploads and transfers keep their remaining time`, async () => {
        const { machine, ledger, bob, uploading, offered, due } = await begin(await driver())
        machine.pass(10 * SECOND_MS)
        expect(await due(ledger)).toEqual(nothing)
        const before = await ledger.transfer(offered)
        machine.set = setMs
        machine.pass(SECOND_MS)
        expect(await due(ledger)).toEqual(nothing)
        expect(ledger.nowMs()).toBe(machine.now())
        expect((await ledger.transfer(offered))?.expiresAtMs).toBe((before?.expiresAtMs ?? 0) + setMs)
        expect(await ledger.nextOfferInMs(bob.accountId)).toBe(19 * SECOND_MS)

        machine.pass(leaseMs - 12 * SECOND_MS)
        expect(await due(ledger)).toEqual(nothing)
        machine.pass(SECOND_MS)
        expect(await due(ledger)).toEqual({ ...nothing, leases: [offered] })
        machine.pass(roomy.uploadTimeoutMs - leaseMs)
        expect(await due(ledger)).toMatchObject({ uploads: [uploading], expiries: [] })
        machine.pass(roomy.expiryMs)
        expect(await due(ledger)).toMatchObject({ expiries: [uploading, offered].sort() })
      })

      test(`changed ${what} while no portal runs: deadlines keep their remaining time, less the minutes without a portal`, async () => {
        const { machine, ledger, opened, offered, due } = await begin(await driver())
        machine.pass(MINUTE_MS)
        expect(await due(ledger)).toEqual(nothing)
        await ledger.close()
        machine.set = setMs
        machine.pass(MINUTE_MS)
        const restarted = await opened()
        const found = await due(restarted)
        expect(found.expiries).toEqual([])
        expect((await restarted.transfer(offered))?.expiresAtMs).toBeLessThanOrEqual(machine.now() + roomy.expiryMs)
        expect((await restarted.transfer(offered))?.expiresAtMs).toBeGreaterThan(
          machine.now() + roomy.expiryMs - 10 * MINUTE_MS,
        )
        machine.pass(leaseMs)
        expect((await due(restarted)).leases).toEqual([offered])
      })
    }

    test('a lease from before the clock was set back does not last for hours', async () => {
      const { machine, ledger, opened, store, bob, due } = await begin(await driver())
      const other = await opened()
      const late = await store()
      machine.set = -2 * HOUR_MS
      await due(ledger)
      // The other portal has not checked yet, so its clock is two hours ahead.
      expect((await other.offerNext(bob.accountId, 'instance-2', { leaseMs, limit: 1 }))[0]?.transferId).toBe(late)
      await due(ledger)
      machine.pass(leaseMs)
      expect((await due(ledger)).leases).toContain(late)
    })

    test('a change of the clock is handled once, by the first portal that notices it', async () => {
      const { machine, ledger, opened, offered, due } = await begin(await driver())
      const other = await opened()
      await due(other)
      machine.set = 200 * DAY_MS
      expect(await ledger.keepTime(bounds)).toEqual({ stepMs: 200 * DAY_MS, isWatched: true })
      expect(await other.keepTime(bounds)).toBeNull()
      expect(await due(other)).toEqual(nothing)
      const transfer = await other.transfer(offered)
      expect(transfer?.expiresAtMs).toBe(machine.now() + roomy.expiryMs)
    })

    test('a slow answer of the clock is ignored, and the change is handled at the next check', async () => {
      const { machine, ledger } = await begin(await driver())
      machine.set = 8 * DAY_MS
      machine.lateMs = 3 * SECOND_MS
      await expect(ledger.keepTime(bounds)).rejects.toMatchObject({ code: 'unavailable' })
      machine.lateMs = 0
      expect(await ledger.keepTime(bounds)).toMatchObject({ stepMs: 8 * DAY_MS })
    })

    test('a portal that stood still for hours accepts what others have done meanwhile', async () => {
      const open = await driver()
      const { machine, ledger, offered, due } = await begin(open)
      const standing = new Machine()
      const asleep = await open(standing)
      onTestFinished(() => asleep.close())
      await due(asleep)
      for (let minute = 1; minute <= 3; minute++) {
        machine.pass(MINUTE_MS)
        await due(ledger)
      }
      // Its monotonic clock stood still with its machine.
      standing.set = 3 * MINUTE_MS
      const expiresAtMs = (await ledger.transfer(offered))?.expiresAtMs
      expect(await asleep.keepTime(bounds)).toBeNull()
      expect((await ledger.transfer(offered))?.expiresAtMs).toBe(expiresAtMs)
    })

    test('an invite keeps its day when the clock is changed, and time without a portal does not prolong it', async () => {
      const { machine, ledger, opened } = await begin(await driver())
      const made = { secretHash: 'hash', name: 'eve', lifetimeMs: DAY_MS }
      await ledger.createInvite(made)
      machine.set = 200 * DAY_MS
      await ledger.keepTime(bounds)
      machine.pass(DAY_MS - MINUTE_MS)
      await ledger.keepTime(bounds)
      await ledger.close()
      machine.pass(3 * DAY_MS)
      const restarted = await opened()
      await restarted.keepTime(bounds)
      expect(await restarted.redeemInvite('hash', { tokenId: 'id', tokenHash: 'hash' })).toBeNull()
    })

    test('links keep their time when the clock is changed, and time without a portal does not prolong them', async () => {
      const { machine, ledger, opened } = await begin(await driver())
      const ada = await ledger.accountByName('ada')
      if (ada === null) throw new Error('ada is there')
      await ledger.setKeys(ada.accountId, { signing: 's', encryption: 'e' })
      await makeGuests(ledger, ada)
      const request = aRequest(ledger)
      await ledger.createFileRequest(ada.accountId, request, { openMax: 9, perDayMax: 9 })
      machine.set = 200 * DAY_MS
      await ledger.keepTime(bounds)
      machine.pass(DAY_MS - MINUTE_MS)
      await ledger.keepTime(bounds)
      expect(await ledger.expireGuests(10)).toBe(0)
      expect(await ledger.fileRequestByHash(request.secretHash)).not.toBeNull()
      await ledger.close()
      machine.pass(3 * DAY_MS)
      const restarted = await opened()
      await restarted.keepTime(bounds)
      expect(await restarted.expireGuests(10)).toBe(1)
      expect(await restarted.fileRequestByHash(request.secretHash)).toBeNull()
    })

    test('a clock that is ahead for a while deletes no history', async () => {
      const { machine, ledger, offered, uploading } = await begin(await driver())
      const historyMs = 30 * DAY_MS
      for (const transferId of [uploading]) {
        const refused = { state: 'refused', problem: problem('cancelled') } as const
        await ledger.moveTransfer(transferId, { state: 'receiving', attempt: 1 }, refused)
        await ledger.removed(transferId)
      }
      machine.set = 200 * DAY_MS
      await ledger.keepTime(bounds)
      expect(await ledger.countedMs()).toBe(BASE_MS + machine.monotonic)
      expect(await ledger.prune(historyMs, 10)).toBe(0)
      machine.set = 0
      await ledger.keepTime(bounds)
      expect(await ledger.transfer(uploading)).not.toBeNull()
      // The history is not kept longer, either.
      for (let day = 0; day < 31; day++) {
        machine.pass(DAY_MS)
        await ledger.keepTime(bounds)
      }
      expect(await ledger.prune(historyMs, 10)).toBe(1)
      expect(await ledger.transfer(offered)).not.toBeNull()
    })
  })
}
