/**
 * The suite for every ledger: the obligations of `src/portal/ledger/contract.ts`. A driver passes all of them; none may be
 * skipped. The clock is fake: time passes only when a test advances it.
 */
import { describe, expect, onTestFinished, test } from 'vitest'
import type {
  Account,
  Admission,
  Delivery,
  DeliveryChange,
  Ledger,
  NewTransfer,
  Transfer,
  TransferChange,
} from '../../src/portal/ledger/contract.ts'
import { newTransferId, Problem, type ProblemCode } from '../../src/protocol/index.ts'
import { testAccountCare } from './ledger-accounts.ts'
import { testDuties } from './ledger-duties.ts'
import { testGuests } from './ledger-guests.ts'
import { testInlineInStore } from './ledger-inline-in-store.ts'
import { testInlineUploads } from './ledger-inline-uploads.ts'
import { testStreams } from './ledger-streams.ts'
import { testUploads } from './ledger-uploads.ts'
import { testWatch } from './ledger-watch.ts'
import { testWebhooks } from './ledger-webhooks.ts'
import './random.ts'

/** A clock that stands still unless it is moved. */
export class FakeClock {
  nowMs = Date.UTC(2026, 0, 1)
  readonly now = (): number => this.nowMs

  advance(ms: number): void {
    this.nowMs += ms
  }
}

const MINUTE_MS = 60_000
export const leaseMs = 5 * MINUTE_MS
export const manifestDigest = 'ab'.repeat(32)

/** Bounds that tests do not reach, unless they lower them. */
export const roomy: Admission = {
  expiryMs: 7 * 24 * 60 * MINUTE_MS,
  uploadTimeoutMs: 10 * MINUTE_MS,
  accountBytesMax: 1e12,
  accountTransfersMax: 1000,
  accountUploadsMax: 100,
  accountGuestsMax: 1000,
  accountGuestBytesMax: 1e12,
  storageBytesMax: 1e12,
  freeBytes: null,
}

export function problem(code: ProblemCode) {
  return new Problem(code).toJSON()
}

/** Opens the account of that name. */
export async function join(ledger: Ledger, name: string): Promise<Account> {
  await ledger.createInvite({ name, secretHash: `hash of the invite of ${name}`, lifetimeMs: MINUTE_MS })
  const token = { tokenId: `token of ${name}`, tokenHash: `hash of the token of ${name}` }
  const account = await ledger.redeemInvite(`hash of the invite of ${name}`, token)
  if (account === null) throw new Error(`${name} could not join`)
  return account
}

export function aTransfer(sender: Account, to: readonly Account[], sizeBytes = 1000): NewTransfer {
  return {
    transferId: newTransferId(),
    senderId: sender.accountId,
    to: to.map(({ name }) => name),
    metadata: { name: 'plan.pdf', mediaType: 'application/pdf' },
    sizeBytes,
    partSizeBytes: 100,
    digestAlgorithm: 'sha-256',
  }
}

/** An empty ledger with three accounts, and helpers. */
export async function beginWith(make: (now: () => number) => Promise<Ledger>) {
  const clock = new FakeClock()
  const ledger = await make(clock.now)
  onTestFinished(() => ledger.close())
  const [ada, bob, cy] = [await join(ledger, 'ada'), await join(ledger, 'bob'), await join(ledger, 'cy')]

  const announce = async (to: readonly Account[] = [bob], sizeBytes = 1000): Promise<Transfer> => {
    const { transfer } = await ledger.announce(aTransfer(ada, to, sizeBytes), roomy)
    return transfer
  }
  const move = (transferId: string, change: TransferChange, attempt = 1) =>
    ledger.moveTransfer(transferId, { state: 'receiving', attempt }, change)
  const store = async (to: readonly Account[] = [bob], sizeBytes = 1000): Promise<string> => {
    const { transferId } = await announce(to, sizeBytes)
    await move(transferId, { state: 'stored', manifestDigest, manifest: null })
    return transferId
  }
  /** The delivery as it is now. */
  const delivery = async (transferId: string, receiver: Account = bob): Promise<Delivery> => {
    const found = await ledger.delivery(transferId, receiver.accountId)
    if (found === null) throw new Error('there is no such delivery')
    return found.delivery
  }
  const leaseOf = async (transferId: string, receiver: Account = bob): Promise<string> => {
    const one = await delivery(transferId, receiver)
    if (one.state !== 'offered') throw new Error(`the delivery is ${one.state}`)
    return one.lease.leaseId
  }
  const offer = (receiver: Account = bob, instanceId = 'instance-1', limit = 10) =>
    ledger.offerNext(receiver.accountId, instanceId, { leaseMs, limit })
  const settle = async (transferId: string, receiver: Account, change: DeliveryChange) =>
    ledger.moveDelivery(
      transferId,
      receiver.accountId,
      { state: 'offered', leaseId: await leaseOf(transferId, receiver) },
      change,
    )
  /** The events of ada, shortened. */
  const told = async (transferId: string | null = null): Promise<string[]> => {
    const events = await ledger.events(ada.accountId, { after: '0', limit: 500, transferId })
    return events.map((event) => ('receiver' in event ? `${event.notification} ${event.receiver}` : event.notification))
  }
  return { clock, ledger, ada, bob, cy, announce, move, store, delivery, leaseOf, offer, settle, told }
}

export type LedgerTest = Awaited<ReturnType<typeof beginWith>>

/** Runs the suite over one driver. @param make makes an empty ledger with the given clock */
export function testLedger(name: string, make: (now: () => number) => Promise<Ledger>): void {
  const begin = () => beginWith(make)

  describe(`ledger: ${name}`, () => {
    describe('accounts', () => {
      const invite = { name: 'dora', secretHash: 'invite', lifetimeMs: MINUTE_MS }
      const token = { tokenId: 'id', tokenHash: 'hash' }

      test('an invite creates its account, which is then found by its token', async () => {
        const { ledger } = await begin()
        await ledger.createInvite(invite)
        expect(await ledger.accountByTokenId('id')).toBeNull()
        const account = await ledger.redeemInvite('invite', token)
        expect(account).toMatchObject({ name: 'dora' })
        expect(await ledger.accountByTokenId('id')).toEqual({
          ...account,
          tokenHash: 'hash',
          isRevoked: false,
          isOperator: false,
          guest: null,
        })
      })

      test('an invite works once; repeated with the same token it returns the same account', async () => {
        const { ledger, clock } = await begin()
        await ledger.createInvite(invite)
        const account = await ledger.redeemInvite('invite', token)
        expect(await ledger.redeemInvite('invite', { tokenId: 'other', tokenHash: 'hash' })).toBeNull()
        expect(await ledger.redeemInvite('invite', { tokenId: 'id', tokenHash: 'other' })).toBeNull()
        clock.advance(2 * MINUTE_MS)
        expect(await ledger.redeemInvite('invite', token), 'a lost answer, asked for late').toEqual(account)
        expect(await ledger.accountByTokenId('other')).toBeNull()
      })

      test('an expired invite, and an unknown one, create nothing', async () => {
        const { ledger, clock } = await begin()
        await ledger.createInvite(invite)
        expect(await ledger.redeemInvite('guessed', token)).toBeNull()
        clock.advance(MINUTE_MS)
        expect(await ledger.redeemInvite('invite', token)).toBeNull()
        expect(await ledger.accountByTokenId('id')).toBeNull()
      })

      test('an invite is valid until the moment at which it expires', async () => {
        const { ledger, clock } = await begin()
        await ledger.createInvite(invite)
        clock.advance(MINUTE_MS - 1)
        expect(await ledger.redeemInvite('invite', token)).toMatchObject({ name: 'dora' })
      })

      test('a taken name cannot be invited', async () => {
        const { ledger } = await begin()
        await expect(ledger.createInvite({ ...invite, name: 'ada' })).rejects.toMatchObject({ code: 'account-exists' })
      })

      test('of two invites for one name, the first that is used wins', async () => {
        const { ledger } = await begin()
        await ledger.createInvite(invite)
        await ledger.createInvite({ ...invite, secretHash: 'second' })
        const results = await Promise.all([
          ledger.redeemInvite('invite', token),
          ledger.redeemInvite('second', { tokenId: 'second', tokenHash: 'second' }),
        ])
        expect(results.filter((account) => account !== null)).toHaveLength(1)
      })
    })

    testAccountCare(make)
    testInlineUploads(make)
    testInlineInStore(make)
    testDuties(make)
    testGuests(begin)
    testStreams(begin)
    testUploads(begin)
    testWatch(begin)
    testWebhooks(begin)

    describe('announcing', () => {
      test('a transfer is recorded as announced, with a delivery for each receiver', async () => {
        const { ledger, ada, bob, cy, clock } = await begin()
        const announced = aTransfer(ada, [cy, bob], 5_000_000_000)
        const { transfer, isNew } = await ledger.announce(announced, roomy)
        expect(isNew).toBe(true)
        const { to: _, ...rest } = announced
        expect(transfer).toMatchObject({
          ...rest,
          state: 'receiving',
          attempt: 1,
          sender: 'ada',
          createdAtMs: clock.nowMs,
          expiresAtMs: clock.nowMs + roomy.expiryMs,
          uploadDeadlineMs: clock.nowMs + roomy.uploadTimeoutMs,
        })
        expect(transfer.deliveries.map(({ receiver, state, offers }) => [receiver, state, offers]).sort()).toEqual([
          ['bob', 'waiting', 0],
          ['cy', 'waiting', 0],
        ])
        expect(await ledger.transfer(announced.transferId)).toEqual(transfer)
        expect(await ledger.transfer(newTransferId())).toBeNull()
      })

      test('a repeated announcement changes nothing, in any order of its receivers', async () => {
        const { ledger, ada, bob, cy } = await begin()
        const announced = aTransfer(ada, [bob, cy])
        const first = await ledger.announce(announced, roomy)
        const { metadata, to, ...rest } = announced
        const again = await ledger.announce(
          {
            metadata: { mediaType: 'application/pdf', name: 'name' in metadata ? metadata.name : '' },
            ...rest,
            to: [...to].reverse(),
          },
          roomy,
        )
        expect(again).toEqual({ transfer: first.transfer, isNew: false })
        expect(await ledger.totals()).toEqual({ openTransfers: 1, openBytes: 1000 })
      })

      test('a repeated announcement finds the transfer even where there is no space for it', async () => {
        const { ledger, ada, bob } = await begin()
        const announced = aTransfer(ada, [bob])
        await ledger.announce(announced, roomy)
        const again = await ledger.announce(announced, { ...roomy, accountTransfersMax: 0, freeBytes: 0 })
        expect(again).toMatchObject({ isNew: false, transfer: { state: 'receiving' } })
      })

      test.each([
        ['another size', { sizeBytes: 1001 }],
        ['another part size', { partSizeBytes: 101 }],
        ['another name', { metadata: { name: 'other', mediaType: 'application/pdf' } }],
        ['no media type', { metadata: { name: 'plan.pdf' } }],
        ['another receiver', { to: ['cy'] }],
        ['one receiver more', { to: ['bob', 'cy'] }],
      ])('%s under the same id is a conflict', async (_, difference) => {
        const { ledger, ada, bob } = await begin()
        const announced = aTransfer(ada, [bob])
        const { transfer } = await ledger.announce(announced, roomy)
        const other = ledger.announce({ ...announced, ...difference }, roomy)
        await expect(other).rejects.toMatchObject({ code: 'transfer-conflict' })
        expect(await ledger.transfer(announced.transferId)).toEqual(transfer)
      })

      test('the same id from another account is a conflict', async () => {
        const { ledger, ada, cy, bob } = await begin()
        const announced = aTransfer(ada, [bob])
        await ledger.announce(announced, roomy)
        const stolen = ledger.announce({ ...announced, senderId: cy.accountId }, roomy)
        await expect(stolen).rejects.toMatchObject({ code: 'transfer-conflict' })
      })

      test('an unknown receiver makes the announcement fail as a whole', async () => {
        const { ledger, ada, bob } = await begin()
        const announced = { ...aTransfer(ada, [bob]), to: ['bob', 'nobody'] }
        await expect(ledger.announce(announced, roomy)).rejects.toMatchObject({
          code: 'receiver-unknown',
          details: { receivers: ['nobody'] },
        })
        expect(await ledger.transfer(announced.transferId)).toBeNull()
        expect(await ledger.totals()).toEqual({ openTransfers: 0, openBytes: 0 })
      })

      test('a sender may send to itself', async () => {
        const { announce, ada } = await begin()
        expect((await announce([ada])).deliveries).toMatchObject([{ receiver: 'ada', state: 'waiting' }])
      })

      test('announcements above the open transfers of an account are refused for now, and succeed when one has ended', async () => {
        const { ledger, ada, bob, cy, move } = await begin()
        const narrow = { ...roomy, accountTransfersMax: 1 }
        const { transfer } = await ledger.announce(aTransfer(ada, [bob]), narrow)
        const second = aTransfer(ada, [bob])
        await expect(ledger.announce(second, narrow)).rejects.toMatchObject({ code: 'too-many-transfers' })
        expect(await ledger.transfer(second.transferId)).toBeNull()
        expect(await ledger.announce(aTransfer(cy, [bob]), narrow), 'others are not hindered').toMatchObject({
          isNew: true,
        })
        await move(transfer.transferId, { state: 'cancelled', problem: problem('cancelled') })
        expect(await ledger.announce(second, narrow)).toMatchObject({ isNew: true, transfer: { state: 'receiving' } })
      })

      test.each([
        ['the account', { accountBytesMax: 1500 }],
        ['the storage of all accounts', { storageBytesMax: 1500 }],
      ])('a transfer beyond the bytes of %s is refused, and its space becomes free again', async (_, bound) => {
        const { ledger, ada, bob, move, told, offer } = await begin()
        const narrow = { ...roomy, ...bound }
        const { transfer: first } = await ledger.announce(aTransfer(ada, [bob], 1000), narrow)
        const { transfer: refused, isNew } = await ledger.announce(aTransfer(ada, [bob], 501), narrow)
        expect(isNew).toBe(true)
        expect(refused).toMatchObject({
          state: 'refused',
          problem: { code: 'storage-full', neededBytes: 501, freeBytes: 500 },
          deliveries: [{ state: 'failed', problem: { code: 'storage-full' } }],
        })
        expect(await told(refused.transferId)).toEqual(['refused'])
        expect((await offer()).map(({ transferId }) => transferId)).toEqual([first.transferId])
        expect(await ledger.totals()).toEqual({ openTransfers: 1, openBytes: 1000 })
        expect(await ledger.dueRemovals(10), 'nothing of it was ever stored').toEqual([])

        expect(await ledger.announce(aTransfer(ada, [bob], 500), narrow)).toMatchObject({
          transfer: { state: 'receiving' },
        })
        await move(first.transferId, { state: 'refused', problem: problem('store-failed') })
        expect(await ledger.totals()).toEqual({ openTransfers: 1, openBytes: 500 })
        expect(await ledger.announce(aTransfer(ada, [bob], 1000), narrow)).toMatchObject({
          transfer: { state: 'receiving' },
        })
      })

      test('a transfer beyond the free bytes of the store is refused; repeated, it gets the same refusal', async () => {
        const { ledger, ada, bob, told } = await begin()
        const announced = aTransfer(ada, [bob], 1000)
        const { transfer } = await ledger.announce(announced, { ...roomy, freeBytes: 999 })
        expect(transfer).toMatchObject({ state: 'refused', problem: { code: 'storage-full', freeBytes: 999 } })
        expect(await ledger.announce(announced, roomy)).toEqual({ transfer, isNew: false })
        expect(await told()).toEqual(['refused'])
      })

      test('a lowered bound leaves no room, and never a negative amount', async () => {
        const { ledger, ada, bob, announce } = await begin()
        await announce([bob], 1000)
        const { transfer } = await ledger.announce(aTransfer(ada, [bob], 1), { ...roomy, accountBytesMax: 10 })
        expect(transfer).toMatchObject({ state: 'refused', problem: { freeBytes: 0 } })
      })

      test('an empty file needs no room', async () => {
        const { ledger, ada, bob } = await begin()
        const { transfer } = await ledger.announce(aTransfer(ada, [bob], 0), { ...roomy, freeBytes: 0 })
        expect(transfer.state).toBe('receiving')
      })

      test('one transfer that is announced many times at once is created once', async () => {
        const { ledger, ada, bob } = await begin()
        const announced = aTransfer(ada, [bob])
        const results = await Promise.all(Array.from({ length: 8 }, () => ledger.announce(announced, roomy)))
        expect(results.filter(({ isNew }) => isNew)).toHaveLength(1)
        expect(await ledger.totals()).toEqual({ openTransfers: 1, openBytes: 1000 })
      })
    })

    describe('listing transfers', () => {
      test('a sender sees its own transfers, newest first, page by page', async () => {
        const { ledger, ada, bob, cy } = await begin()
        const ids: string[] = []
        for (let i = 0; i < 5; i++) {
          const announced = aTransfer(ada, [bob])
          ids.push(announced.transferId)
          await ledger.announce(announced, roomy)
        }
        await ledger.announce(aTransfer(cy, [ada]), roomy)
        const newestFirst = ids.sort().reverse()
        const page = await ledger.transfersOf(ada.accountId, { before: null, limit: 3 })
        expect(page.map(({ transferId }) => transferId)).toEqual(newestFirst.slice(0, 3))
        expect(page[0]?.deliveries).toMatchObject([{ receiver: 'bob' }])
        const rest = await ledger.transfersOf(ada.accountId, { before: newestFirst[2] ?? '', limit: 3 })
        expect(rest.map(({ transferId }) => transferId)).toEqual(newestFirst.slice(3))
        expect(await ledger.transfersOf(bob.accountId, { before: null, limit: 3 })).toEqual([])
      })
    })

    describe('the first hop', () => {
      test('stored: the sender is notified, the manifestDigest is kept, the bytes stay counted', async () => {
        const { ledger, announce, move, told } = await begin()
        const { transferId } = await announce()
        const moved = await move(transferId, { state: 'stored', manifestDigest, manifest: null })
        expect(moved).toMatchObject({ state: 'stored', manifestDigest, attempt: 1 })
        expect(await ledger.transfer(transferId)).toEqual(moved)
        expect(await told()).toEqual(['stored'])
        expect(await ledger.totals()).toEqual({ openTransfers: 1, openBytes: 1000 })
      })

      test('resend: a new attempt begins, and the event contains the old one and the wanted parts', async () => {
        const { ledger, announce, move, ada, clock } = await begin()
        const { transferId } = await announce()
        const wanted: [number, number][] = [
          [1, 2],
          [7, 7],
        ]
        const again = { state: 'receiving', problem: problem('parts-missing'), wanted } as const
        const resend = { ...again, discardsParts: false, uploadTimeoutMs: 1000 }
        const moved = await move(transferId, resend)
        expect(moved).toMatchObject({ state: 'receiving', attempt: 2, uploadDeadlineMs: clock.nowMs + 1000 })
        const events = await ledger.events(ada.accountId, { after: '0', limit: 10, transferId })
        expect(events).toEqual([
          {
            eventId: expect.any(String),
            at: new Date(clock.nowMs).toISOString(),
            transferId,
            attempt: 1,
            notification: 'resend',
            problem: problem('parts-missing'),
            wanted,
          },
        ])
        const silent = await move(transferId, { ...resend, uploadTimeoutMs: null }, 2)
        expect(silent).toMatchObject({ attempt: 3, uploadDeadlineMs: null, generation: '' })
        const next = await move(transferId, { ...resend, discardsParts: true }, 3)
        expect(next).toMatchObject({ attempt: 4, generation: '4' })
        expect(await ledger.totals()).toEqual({ openTransfers: 1, openBytes: 1000 })
      })

      test.each(['refused', 'cancelled', 'expired'] as const)(
        '%s: nothing is offered any more, and the account has its room again',
        async (state) => {
          const { ledger, announce, move, told, offer, ada, bob, cy } = await begin()
          const { transferId } = await announce([bob, cy])
          await offer(bob)
          const moved = await move(transferId, { state, problem: { ...problem('cancelled'), extra: [1] } })
          expect(moved).toMatchObject({ state, problem: { code: 'cancelled', extra: [1] } })
          expect(moved?.deliveries.map((one) => one.state)).toEqual(['failed', 'failed'])
          expect(await told(), 'no second notification').toEqual(['refused'])
          expect(await offer(cy)).toEqual([])
          expect(await ledger.totals()).toEqual({ openTransfers: 0, openBytes: 0 })
          expect(await ledger.dueRemovals(10)).toEqual([transferId])
          const narrow = { ...roomy, accountTransfersMax: 1, accountBytesMax: 1000 }
          expect(await ledger.announce(aTransfer(ada, [bob]), narrow)).toMatchObject({
            transfer: { state: 'receiving' },
          })
        },
      )

      test('a decision about one attempt never affects the next', async () => {
        const { announce, move, told } = await begin()
        const { transferId } = await announce()
        const resend = {
          state: 'receiving',
          problem: problem('parts-missing'),
          wanted: [],
          discardsParts: false,
          uploadTimeoutMs: 1,
        } as const
        await move(transferId, resend, 1)
        expect(await move(transferId, { state: 'stored', manifestDigest, manifest: null }, 1)).toBeNull()
        expect(await move(transferId, resend, 1)).toBeNull()
        expect(await told()).toEqual(['resend'])
        expect(await move(transferId, { state: 'stored', manifestDigest, manifest: null }, 2)).toMatchObject({
          state: 'stored',
        })
      })

      test('of several concurrent decisions one wins, and the others are rejected', async () => {
        const { announce, move, told } = await begin()
        const { transferId } = await announce()
        const results = await Promise.all([
          move(transferId, { state: 'stored', manifestDigest, manifest: null }),
          move(transferId, { state: 'stored', manifestDigest, manifest: null }),
          move(transferId, { state: 'cancelled', problem: problem('cancelled') }),
          move(transferId, { state: 'expired', problem: problem('expired') }),
        ])
        expect(results.filter((transfer) => transfer !== null)).toHaveLength(1)
        expect(await told()).toHaveLength(1)
      })

      test('a transfer that does not exist, or is no longer receiving, cannot be moved', async () => {
        const { move, store } = await begin()
        expect(await move(newTransferId(), { state: 'stored', manifestDigest, manifest: null })).toBeNull()
        const transferId = await store()
        expect(await move(transferId, { state: 'cancelled', problem: problem('cancelled') })).toBeNull()
      })
    })

    describe('offers', () => {
      test('due deliveries are offered under a new lease, oldest first, also during the upload', async () => {
        const { announce, offer, clock, bob } = await begin()
        const ids: string[] = []
        for (let i = 0; i < 3; i++) {
          ids.push((await announce()).transferId)
          clock.advance(1)
        }
        const offered = await offer(bob, 'instance-1', 2)
        expect(offered.map(({ transferId }) => transferId)).toEqual(ids.slice(0, 2))
        const leases = offered.map(({ deliveries: [one] }) => (one?.state === 'offered' ? one.lease : null))
        expect(leases).toMatchObject([
          { instanceId: 'instance-1', expiresAtMs: clock.nowMs + leaseMs },
          { instanceId: 'instance-1' },
        ])
        expect(leases[0]?.leaseId).not.toBe(leases[1]?.leaseId)
        expect(offered[0]?.deliveries).toMatchObject([{ offers: 1, fetchedBytes: 0 }])
        expect((await offer(bob, 'instance-2')).map(({ transferId }) => transferId)).toEqual(ids.slice(2))
        expect(await offer()).toEqual([])
      })

      test('processes of one receiver that ask at the same time never get the same offer', async () => {
        const { announce, offer, bob } = await begin()
        for (let i = 0; i < 6; i++) await announce()
        const batches = await Promise.all(['first-one', 'second-one', 'third-one'].map((id) => offer(bob, id, 3)))
        const ids = batches.flat().map(({ transferId }) => transferId)
        expect(new Set(ids).size).toBe(6)
        expect(ids).toHaveLength(6)
      })

      test('each receiver gets its own deliveries', async () => {
        const { announce, offer, bob, cy, delivery } = await begin()
        const { transferId } = await announce([bob, cy])
        await announce([cy])
        const [offered, ...others] = await offer(bob)
        expect([offered?.transferId, others]).toEqual([transferId, []])
        // An offer has only its own delivery, even if the transfer has a thousand receivers.
        expect(offered?.deliveries).toEqual([await delivery(transferId, bob)])
        expect(await delivery(transferId, bob)).toMatchObject({ state: 'offered' })
        expect(await delivery(transferId, cy)).toMatchObject({ state: 'waiting' })
        expect(await offer(cy)).toHaveLength(2)
      })

      test('a postponed offer becomes due at its time, and not before', async () => {
        const { ledger, store, offer, settle, bob, clock, delivery } = await begin()
        expect(await ledger.nextOfferInMs(bob.accountId)).toBeNull()
        const transferId = await store()
        expect(await ledger.nextOfferInMs(bob.accountId)).toBe(0)
        await offer()
        expect(await ledger.nextOfferInMs(bob.accountId)).toBeNull()
        await settle(transferId, bob, { state: 'waiting', offerInMs: 1000 })
        expect(await delivery(transferId)).toMatchObject({ state: 'waiting', offerAtMs: clock.nowMs + 1000, offers: 1 })
        expect(await ledger.nextOfferInMs(bob.accountId)).toBe(1000)
        clock.advance(999)
        expect(await offer()).toEqual([])
        expect(await ledger.nextOfferInMs(bob.accountId)).toBe(1)
        clock.advance(1)
        expect(await offer()).toMatchObject([{ transferId, deliveries: [{ offers: 2 }] }])
        clock.advance(10)
        expect(await ledger.nextOfferInMs(bob.accountId)).toBeNull()
      })

      test('a receiving process that comes back gets its own offers again, and postponed ones, at once', async () => {
        const { ledger, store, offer, settle, bob, cy, delivery, leaseOf } = await begin()
        const [mine, others, putOff] = [await store([bob, cy]), await store(), await store()]
        await offer(bob, 'instance-1', 1)
        await offer(bob, 'instance-2', 1)
        await offer(bob, 'instance-3', 1)
        await offer(cy, 'instance-1')
        await settle(putOff, bob, { state: 'waiting', offerInMs: 60 * MINUTE_MS })
        const [lost, kept] = [await leaseOf(mine), await leaseOf(others)]

        await ledger.receiverConnected(bob.accountId, 'instance-1')
        expect(await ledger.nextOfferInMs(bob.accountId)).toBe(0)
        const again = await offer(bob, 'instance-1')
        expect(again.map(({ transferId }) => transferId).sort()).toEqual([mine, putOff].sort())
        expect(await leaseOf(mine)).not.toBe(lost)
        expect(await leaseOf(others), 'what another process works on stays its own').toBe(kept)
        expect(await delivery(mine, cy), 'and what another receiver of the same instance id does').toMatchObject({
          state: 'offered',
        })
      })

      test('a receiver that connects does not change ended deliveries', async () => {
        const { ledger, store, offer, settle, bob, delivery } = await begin()
        const transferId = await store()
        await offer()
        await settle(transferId, bob, { state: 'delivered', receipt: null })
        await ledger.receiverConnected(bob.accountId, 'instance-1')
        expect(await delivery(transferId)).toMatchObject({ state: 'delivered' })
        expect(await offer()).toEqual([])
      })
    })

    describe('leases', () => {
      test('renewing extends a lease, and records the fetched bytes', async () => {
        const { ledger, store, offer, bob, clock, leaseOf, delivery } = await begin()
        const transferId = await store()
        await offer()
        const leaseId = await leaseOf(transferId)
        clock.advance(leaseMs - 1)
        expect(await ledger.renewLease(transferId, bob.accountId, leaseId, { leaseMs, fetchedBytes: 500 })).toBe(true)
        expect(await delivery(transferId)).toMatchObject({
          fetchedBytes: 500,
          lease: { leaseId, expiresAtMs: clock.nowMs + leaseMs },
        })
        clock.advance(leaseMs - 1)
        expect(await ledger.dueLeases(10)).toEqual([])
        expect(await ledger.renewLease(transferId, bob.accountId, leaseId, { leaseMs, fetchedBytes: null })).toBe(true)
        expect(await delivery(transferId)).toMatchObject({ fetchedBytes: 500 })
        clock.advance(leaseMs)
        expect(await ledger.dueLeases(10)).toEqual([{ transferId, receiverId: bob.accountId, leaseId, offers: 1 }])
      })

      test('fetched bytes are recorded only under the current lease, at any time', async () => {
        const { ledger, store, offer, bob, leaseOf, delivery } = await begin()
        const transferId = await store()
        await offer()
        const leaseId = await leaseOf(transferId)
        const { lease } = (await delivery(transferId)) as { lease?: unknown }
        await ledger.recordFetched({ transferId, receiverId: bob.accountId, leaseId, fetchedBytes: 7 })
        expect(await delivery(transferId)).toMatchObject({ fetchedBytes: 7, lease })
        await ledger.recordFetched({ transferId, receiverId: bob.accountId, leaseId: 'another', fetchedBytes: 9 })
        expect(await delivery(transferId)).toMatchObject({ fetchedBytes: 7, lease })
      })

      test('renewing right after the offer succeeds too', async () => {
        const { ledger, store, offer, bob, leaseOf } = await begin()
        const transferId = await store()
        await offer()
        const leaseId = await leaseOf(transferId)
        expect(await ledger.renewLease(transferId, bob.accountId, leaseId, { leaseMs, fetchedBytes: 1 })).toBe(true)
      })

      test('an outdated lease can neither be renewed nor answered', async () => {
        const { ledger, store, offer, settle, bob, cy, leaseOf, told, clock } = await begin()
        const transferId = await store()
        await offer()
        const old = await leaseOf(transferId)
        const renewal = { leaseMs, fetchedBytes: 9 }
        await settle(transferId, bob, { state: 'waiting', offerInMs: 0 })
        expect(await ledger.renewLease(transferId, bob.accountId, old, renewal), 'while it waits').toBe(false)
        await offer()
        clock.advance(leaseMs / 2)
        const now = await leaseOf(transferId)
        expect(await ledger.renewLease(transferId, bob.accountId, old, renewal), 'offered again').toBe(false)
        expect(await ledger.renewLease(transferId, cy.accountId, now, renewal), 'not its receiver').toBe(false)
        expect(await ledger.renewLease(newTransferId(), bob.accountId, now, renewal), 'not its transfer').toBe(false)
        const answer = (leaseId: string) =>
          ledger.moveDelivery(
            transferId,
            bob.accountId,
            { state: 'offered', leaseId },
            { state: 'delivered', receipt: null },
          )
        expect(await answer(old)).toBeNull()
        expect(await told()).toEqual(['stored'])
        expect(await answer(now)).toMatchObject({ state: 'ended' })
        expect(await ledger.renewLease(transferId, bob.accountId, now, renewal), 'ended').toBe(false)
      })

      test('an offer that is kept after a resend has the same lease, extended, and is counted', async () => {
        const { store, offer, settle, bob, delivery, leaseOf, clock } = await begin()
        const transferId = await store()
        await offer()
        const leaseId = await leaseOf(transferId)
        clock.advance(1000)
        await settle(transferId, bob, { state: 'offered', leaseMs })
        expect(await delivery(transferId)).toMatchObject({
          state: 'offered',
          resends: 1,
          offers: 1,
          lease: { leaseId, instanceId: 'instance-1', expiresAtMs: clock.nowMs + leaseMs },
        })
      })
    })

    describe('the second hop', () => {
      test('delivered: the sender is notified, and the last delivery ends the transfer', async () => {
        const { ledger, store, offer, settle, told, ada, bob, cy, leaseOf, delivery } = await begin()
        const transferId = await store([bob, cy])
        await offer(bob)
        await offer(cy)
        const leaseId = await leaseOf(transferId, bob)
        expect(await settle(transferId, bob, { state: 'delivered', receipt: null })).toMatchObject({ state: 'stored' })
        expect(await delivery(transferId, bob), 'the same answer again can be recognised').toMatchObject({
          state: 'delivered',
          leaseId,
        })
        expect(await ledger.totals()).toEqual({ openTransfers: 1, openBytes: 1000 })
        expect(await ledger.dueRemovals(10)).toEqual([])
        const problemOfCy = { ...problem('disk-full'), freeBytes: 3, unknownMember: { deep: ['ü'] } }
        expect(await settle(transferId, cy, { state: 'failed', problem: problemOfCy })).toMatchObject({
          state: 'ended',
          manifestDigest,
        })
        expect(await told()).toEqual(['stored', 'delivered bob', 'failed cy'])
        const [, , failed] = await ledger.events(ada.accountId, { after: '0', limit: 10, transferId })
        expect(failed, "the receiver's own problem, unchanged").toMatchObject({ problem: problemOfCy })
        expect(await delivery(transferId, cy)).toMatchObject({ state: 'failed', problem: problemOfCy })
        expect(await ledger.totals()).toEqual({ openTransfers: 0, openBytes: 0 })
        expect(await ledger.dueRemovals(10)).toEqual([transferId])
      })

      test('a waiting delivery can fail, as on expiry', async () => {
        const { ledger, store, bob, told } = await begin()
        const transferId = await store()
        const failure = { state: 'failed', problem: problem('expired') } as const
        const from = { state: 'waiting' } as const
        expect(await ledger.moveDelivery(transferId, bob.accountId, from, failure)).toMatchObject({ state: 'ended' })
        expect(await ledger.moveDelivery(transferId, bob.accountId, from, failure), 'but only once').toBeNull()
        expect(await told()).toEqual(['stored', 'failed bob'])
      })

      test('an early refusal of a receiver is reported only once the transfer is stored', async () => {
        const { announce, offer, settle, move, told, bob, cy, ledger } = await begin()
        const { transferId } = await announce([bob, cy])
        await offer(bob)
        const moved = await settle(transferId, bob, { state: 'failed', problem: problem('name-refused') })
        expect(moved).toMatchObject({ state: 'receiving' })
        expect(await told()).toEqual([])
        expect(await move(transferId, { state: 'stored', manifestDigest, manifest: null })).toMatchObject({
          state: 'stored',
        })
        expect(await told()).toEqual(['stored', 'failed bob'])
        await offer(cy)
        expect(await settle(transferId, cy, { state: 'delivered', receipt: null })).toMatchObject({ state: 'ended' })
        expect(await ledger.totals()).toEqual({ openTransfers: 0, openBytes: 0 })
      })

      test('when all receivers refused early, storing ends the transfer', async () => {
        const { announce, offer, settle, move, told, bob, cy, ledger } = await begin()
        const { transferId } = await announce([bob, cy])
        for (const receiver of [bob, cy]) {
          await offer(receiver)
          await settle(transferId, receiver, { state: 'failed', problem: problem('name-refused') })
        }
        expect(await move(transferId, { state: 'stored', manifestDigest, manifest: null })).toMatchObject({
          state: 'ended',
        })
        expect((await told()).sort()).toEqual(['failed bob', 'failed cy', 'stored'])
        expect((await told())[0], 'the first notification comes first').toBe('stored')
        expect(await ledger.dueRemovals(10)).toEqual([transferId])
        expect(await ledger.totals()).toEqual({ openTransfers: 0, openBytes: 0 })
      })

      test('an early refusal is not reported when the transfer is never stored', async () => {
        const { announce, offer, settle, move, told, bob, delivery } = await begin()
        const { transferId } = await announce()
        await offer()
        await settle(transferId, bob, { state: 'failed', problem: problem('name-refused') })
        await move(transferId, { state: 'expired', problem: problem('expired') })
        expect(await told()).toEqual(['refused'])
        expect(await delivery(transferId), 'its own problem stays').toMatchObject({ problem: { code: 'name-refused' } })
      })

      test('of several concurrent outcomes one wins', async () => {
        const { ledger, store, offer, bob, leaseOf, told } = await begin()
        const transferId = await store()
        await offer()
        const from = { state: 'offered', leaseId: await leaseOf(transferId) } as const
        const results = await Promise.all([
          ledger.moveDelivery(transferId, bob.accountId, from, { state: 'delivered', receipt: null }),
          ledger.moveDelivery(transferId, bob.accountId, from, { state: 'failed', problem: problem('disk-full') }),
          ledger.moveDelivery(transferId, bob.accountId, from, { state: 'waiting', offerInMs: 0 }),
          ledger.moveDelivery(transferId, bob.accountId, from, { state: 'delivered', receipt: null }),
        ])
        expect(results.filter((transfer) => transfer !== null)).toHaveLength(1)
        expect((await told()).length).toBeLessThanOrEqual(2)
      })

      test('a delivery that does not exist cannot be moved', async () => {
        const { ledger, store, bob, cy } = await begin()
        const transferId = await store([bob])
        const failure = { state: 'failed', problem: problem('expired') } as const
        expect(await ledger.moveDelivery(transferId, cy.accountId, { state: 'waiting' }, failure)).toBeNull()
        expect(await ledger.moveDelivery(newTransferId(), bob.accountId, { state: 'waiting' }, failure)).toBeNull()
        expect(await ledger.delivery(transferId, cy.accountId)).toBeNull()
        expect(await ledger.delivery(newTransferId(), bob.accountId)).toBeNull()
      })
    })

    describe('moves that are programming errors', () => {
      test('a transfer that is not stored cannot be delivered', async () => {
        const { announce, offer, settle, bob, delivery, told } = await begin()
        const { transferId } = await announce()
        await offer()
        await expect(settle(transferId, bob, { state: 'delivered', receipt: null })).rejects.toThrow('cannot')
        expect(await delivery(transferId)).toMatchObject({ state: 'offered' })
        expect(await told()).toEqual([])
      })

      test('a delivery that was never offered cannot be delivered', async () => {
        const { ledger, store, bob, delivery } = await begin()
        const transferId = await store()
        const move = ledger.moveDelivery(
          transferId,
          bob.accountId,
          { state: 'waiting' },
          { state: 'delivered', receipt: null },
        )
        await expect(move).rejects.toThrow('cannot')
        expect(await delivery(transferId)).toMatchObject({ state: 'waiting' })
      })

      test('only offerNext offers a delivery and gives it a lease', async () => {
        const { ledger, store, bob, delivery } = await begin()
        const transferId = await store()
        const before = await delivery(transferId)
        const move = ledger.moveDelivery(transferId, bob.accountId, { state: 'waiting' }, { state: 'offered', leaseMs })
        await expect(move).rejects.toThrow('cannot')
        expect(await delivery(transferId)).toEqual(before)
      })
    })

    describe('events', () => {
      test('an unknown event id is rejected, and not used as a position in the log', async () => {
        const { ledger, store, ada, bob } = await begin()
        const ids = [await store(), await store()]
        const [first, last] = await ledger.events(ada.accountId, { after: '0', limit: 100, transferId: null })
        const page = { limit: 100, transferId: null }
        // `after` may be the id of an event of another transfer.
        const ofSecond = { limit: 100, transferId: ids[1] ?? '' }
        expect(await ledger.events(ada.accountId, { ...ofSecond, after: first?.eventId ?? '' })).toEqual([last])
        const lastId = BigInt(last?.eventId ?? 0)
        for (const after of [lastId + 1n, lastId - 1n, lastId + 1_000_000n, lastId % 1_000_000n, 1n].map(String)) {
          for (const place of [page, ofSecond]) {
            await expect(ledger.events(ada.accountId, { ...place, after }), after).rejects.toMatchObject({
              code: 'event-unknown',
            })
          }
        }
        const ofBob = ledger.events(bob.accountId, { ...page, after: last?.eventId ?? '' })
        await expect(ofBob).rejects.toMatchObject({ code: 'event-unknown' })
      })

      test('are listed in order, page by page, for the account or for one of its transfers', async () => {
        const { ledger, store, offer, settle, ada, bob, cy } = await begin()
        expect(await ledger.lastEventId(ada.accountId)).toBe('0')
        const ids = [await store(), await store(), await store()]
        await offer()
        for (const transferId of ids) await settle(transferId, bob, { state: 'delivered', receipt: null })
        const all = await ledger.events(ada.accountId, { after: '0', limit: 100, transferId: null })
        expect(all.map(({ notification }) => notification)).toEqual([
          ...['stored', 'stored', 'stored'],
          ...['delivered', 'delivered', 'delivered'],
        ])
        const numbers = all.map(({ eventId }) => Number(eventId))
        expect(numbers).toEqual([...new Set(numbers)].sort((one, other) => one - other))
        expect(await ledger.lastEventId(ada.accountId)).toBe(all.at(-1)?.eventId)

        const page = { limit: 2, transferId: null }
        expect(await ledger.events(ada.accountId, { ...page, after: '0' })).toEqual(all.slice(0, 2))
        expect(await ledger.events(ada.accountId, { ...page, after: all[1]?.eventId ?? '' })).toEqual(all.slice(2, 4))
        expect(await ledger.events(ada.accountId, { ...page, after: all[5]?.eventId ?? '' })).toEqual([])

        const ofSecond = await ledger.events(ada.accountId, { after: '0', limit: 100, transferId: ids[1] ?? '' })
        expect(ofSecond).toEqual(all.filter(({ transferId }) => transferId === ids[1]))
        expect(ofSecond).toHaveLength(2)
        expect(await ledger.events(cy.accountId, { after: '0', limit: 100, transferId: null })).toEqual([])
      })

      test('of a transfer are visible to its sender only', async () => {
        const { ledger, store, bob } = await begin()
        const transferId = await store()
        expect(await ledger.events(bob.accountId, { after: '0', limit: 100, transferId })).toEqual([])
        expect(await ledger.lastEventId(bob.accountId)).toBe('0')
      })
    })

    describe('what is due', () => {
      test('silent uploads, the most overdue first; a sign of life postpones them', async () => {
        const { ledger, announce, move, store, clock } = await begin()
        const first = (await announce()).transferId
        clock.advance(1)
        const second = (await announce()).transferId
        const stored = await store()
        clock.advance(roomy.uploadTimeoutMs - 2)
        expect(await ledger.dueUploads(10)).toEqual([])
        clock.advance(2)
        expect((await ledger.dueUploads(10)).map(({ transferId }) => transferId)).toEqual([first, second])
        expect(await ledger.dueUploads(1)).toMatchObject([{ transferId: first, state: 'receiving', attempt: 1 }])

        await ledger.extendUploadDeadline(first, roomy.uploadTimeoutMs)
        await ledger.extendUploadDeadline(stored, roomy.uploadTimeoutMs)
        expect((await ledger.dueUploads(10)).map(({ transferId }) => transferId)).toEqual([second])
        clock.advance(roomy.uploadTimeoutMs)
        expect((await ledger.dueUploads(10)).map(({ transferId }) => transferId)).toEqual([second, first])

        const resend = {
          state: 'receiving',
          problem: problem('upload-timeout'),
          wanted: [],
          discardsParts: true,
        } as const
        await move(second, { ...resend, uploadTimeoutMs: null })
        clock.advance(10 * roomy.uploadTimeoutMs)
        expect((await ledger.dueUploads(10)).map(({ transferId }) => transferId)).toEqual([first])
        await ledger.extendUploadDeadline(second, 1000)
        clock.advance(1000)
        expect(await ledger.dueUploads(10), 'a sender that came back can go silent again').toHaveLength(2)
      })

      test('a sign of life just before the timeout counts in full', async () => {
        const { ledger, announce, clock } = await begin()
        const { transferId } = await announce()
        clock.advance(roomy.uploadTimeoutMs - 1)
        await ledger.extendUploadDeadline(transferId, roomy.uploadTimeoutMs)
        clock.advance(roomy.uploadTimeoutMs - 1)
        expect(await ledger.dueUploads(10)).toEqual([])
        clock.advance(1)
        expect(await ledger.dueUploads(10)).toHaveLength(1)
      })

      test('expired leases, oldest first', async () => {
        const { ledger, store, offer, settle, bob, clock } = await begin()
        const [first, second, third] = [await store(), await store(), await store()]
        for (const _ of [first, second, third]) {
          await offer(bob, 'instance-1', 1)
          clock.advance(1)
        }
        clock.advance(leaseMs - 4)
        expect(await ledger.dueLeases(10)).toEqual([])
        clock.advance(3)
        expect((await ledger.dueLeases(10)).map((one) => one.transferId)).toEqual([first, second, third])
        expect(await ledger.dueLeases(2)).toHaveLength(2)
        await settle(second, bob, { state: 'waiting', offerInMs: 0 })
        await settle(third, bob, { state: 'delivered', receipt: null })
        expect((await ledger.dueLeases(10)).map((one) => one.transferId)).toEqual([first])
      })

      test('expired open transfers only', async () => {
        const { ledger, announce, move, store, offer, settle, bob, clock } = await begin()
        const receiving = (await announce()).transferId
        clock.advance(1)
        const stored = await store()
        const cancelled = (await announce()).transferId
        await move(cancelled, { state: 'cancelled', problem: problem('cancelled') })
        const ended = await store()
        await offer()
        await settle(ended, bob, { state: 'delivered', receipt: null })
        clock.advance(roomy.expiryMs - 2)
        expect(await ledger.dueExpiries(10)).toEqual([])
        clock.advance(2)
        expect((await ledger.dueExpiries(10)).map(({ transferId }) => transferId)).toEqual([receiving, stored])
        expect(await ledger.dueExpiries(1)).toMatchObject([
          { transferId: receiving, deliveries: [{ receiver: 'bob' }] },
        ])
      })

      test('removals, until the parts are gone', async () => {
        const { ledger, store, offer, settle, bob, clock } = await begin()
        const ids = [await store(), await store()]
        await offer()
        for (const transferId of ids) {
          await settle(transferId, bob, { state: 'delivered', receipt: null })
          clock.advance(1)
        }
        expect(await ledger.dueRemovals(10)).toEqual(ids)
        expect(await ledger.dueRemovals(1)).toEqual(ids.slice(0, 1))
        await ledger.removed(ids[0] ?? '')
        expect(await ledger.dueRemovals(10)).toEqual(ids.slice(1))
      })
    })

    describe('history', () => {
      test('ended transfers are deleted with their events when they are old and their parts are gone', async () => {
        const { ledger, ada, store, offer, settle, bob, clock, told } = await begin()
        const [old, young, partsLeft, open] = [await store(), await store(), await store(), await store()]
        await offer(bob, 'instance-1', 3)
        await settle(old, bob, { state: 'delivered', receipt: null })
        await settle(partsLeft, bob, { state: 'delivered', receipt: null })
        await ledger.removed(old)
        clock.advance(1000)
        await settle(young, bob, { state: 'delivered', receipt: null })
        await ledger.removed(young)
        clock.advance(1000)
        const lastEventId = await ledger.lastEventId(ada.accountId)

        expect(await ledger.prune(1001, 10)).toBe(1)
        expect(await ledger.transfer(old)).toBeNull()
        expect(await told(old)).toEqual([])
        for (const kept of [young, partsLeft, open]) expect(await ledger.transfer(kept)).not.toBeNull()
        expect(await told(young)).toEqual(['stored', 'delivered bob'])
        expect(await ledger.prune(1001, 10)).toBe(0)
        expect(await ledger.prune(1000, 10)).toBe(1)
        expect(await ledger.lastEventId(ada.accountId)).not.toBe(lastEventId)
        expect(await ledger.totals(), 'what ended was no longer counted').toEqual({ openTransfers: 1, openBytes: 1000 })
        await ledger.announce(aTransfer(ada, [bob]), roomy)
      })

      test('the ids of deleted events are not reused', async () => {
        const { ledger, ada, store, offer, settle, bob, clock } = await begin()
        const transferId = await store()
        await offer()
        await settle(transferId, bob, { state: 'delivered', receipt: null })
        await ledger.removed(transferId)
        const lastEventId = Number(await ledger.lastEventId(ada.accountId))
        clock.advance(1)
        expect(await ledger.prune(0, 10)).toBe(1)
        await store()
        expect(Number(await ledger.lastEventId(ada.accountId))).toBeGreaterThan(lastEventId)
      })

      test('at most the requested number is deleted at once', async () => {
        const { ledger, store, offer, settle, bob } = await begin()
        for (let i = 0; i < 3; i++) {
          const transferId = await store()
          await offer()
          await settle(transferId, bob, { state: 'delivered', receipt: null })
          await ledger.removed(transferId)
        }
        expect(await ledger.prune(0, 2)).toBe(2)
        expect(await ledger.prune(0, 2)).toBe(1)
      })

      test('an expired invite is deleted, a valid one is not', async () => {
        const { ledger, clock } = await begin()
        await ledger.createInvite({ name: 'eve', secretHash: 'short', lifetimeMs: 1000 })
        await ledger.createInvite({ name: 'flo', secretHash: 'long', lifetimeMs: 10_000 })
        clock.advance(2000)
        await ledger.prune(500, 10)
        await ledger.createInvite({ name: 'eve', secretHash: 'short', lifetimeMs: 1000 })
        const token = { tokenId: 'flo', tokenHash: 'flo' }
        expect(await ledger.redeemInvite('long', token)).toMatchObject({ name: 'flo' })
      })
    })
  })
}
