/**
 * Late effects and unknown outcomes break no promise: a commit with a lost answer, a removal that the storage performs again later,
 * a disposition that arrives twice at the same time.
 */
import { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import pino from 'pino'
import { expect, test } from 'vitest'
import { inboxMessages } from '../../src/portal/deliveries/inbox.ts'
import type { Account, Ledger } from '../../src/portal/ledger/contract.ts'
import { openSignals } from '../../src/portal/startup/backends.ts'
import type { Store } from '../../src/portal/store/contract.ts'
import { receiveFile } from '../../src/portal/uploads/one-request.ts'
import { newTransferId, Problem } from '../../src/protocol/index.ts'
import { until } from '../e2e/harness/world.ts'
import { memoryStore } from '../suites/memory-store.ts'
import { aFile, begin, heldOf, type Portal } from './several.ts'

const MIB = 1024 * 1024
const leaseMs = 60_000

/**
 * A ledger that loses the answer to the first move to `stored`, like a database that disconnects during the commit. The move takes
 * effect only when the portal tries to move the transfer again.
 */
function withLostCommit(ledger: Ledger): Ledger {
  let lost: (() => Promise<unknown>) | null = null
  let isLost = false
  return {
    ...ledger,
    moveTransfer: async (transferId, from, change) => {
      if (change.state === 'stored' && !isLost) {
        isLost = true
        lost = () => ledger.moveTransfer(transferId, from, change)
        throw new Problem('unavailable')
      }
      const before = lost
      lost = null
      await before?.()
      return ledger.moveTransfer(transferId, from, change)
    },
  }
}

test('a transfer whose commit as stored is still pending keeps its parts when its sender cancels', async () => {
  const { ledger, ada, portal } = await begin()
  // This portal shares its database with others, but not its store.
  const store = memoryStore()
  const { transfers } = portal('one', { store, ledger: withLostCommit(ledger) })
  const { transferId, announcement, manifestDigest, put } = aFile()
  await transfers.announce(ada, transferId, announcement)
  await put({ transfers }, ada)
  const completing = transfers.complete(ada, transferId, { attempt: 1, manifestDigest })
  await expect(completing).rejects.toMatchObject({ code: 'unavailable' })
  await transfers.cancel(ada, transferId, true)
  expect(await ledger.transfer(transferId)).toMatchObject({ state: 'stored' })
  expect(await heldOf(store, ledger, transferId)).toBe(2)
})

test('a file in one request whose commit as stored is still pending keeps its parts', async () => {
  const { ledger, ada, portal } = await begin()
  const store = memoryStore()
  const { context, transfers } = portal('one', { store, ledger: withLostCommit(ledger) })
  const key = newTransferId()
  const content = Buffer.alloc(2 * 8 * MIB, 'plan')
  const taking = receiveFile(context, transfers, ada, {
    to: ['bob'],
    metadata: { name: 'plan.pdf' },
    sizeBytes: content.length,
    key,
    digests: null,
    verify: () => {},
    source: Readable.from([content.subarray(0, 9 * MIB), content.subarray(9 * MIB)]),
    signal: new AbortController().signal,
    onAdmitted: () => {},
  })
  await expect(taking).rejects.toBeInstanceOf(Problem)
  expect(await ledger.transfer(key)).toMatchObject({ state: 'stored' })
  expect(await heldOf(store, ledger, key)).toBe(2)
})

test('a portal with a folder store keeps at its start what a pending commit may still need', async () => {
  const { clock, ledger, ada, portal } = await begin({ expiryMs: 1000, uploadTimeoutMs: 500 })
  clock.nowMs = Date.now()
  const store = memoryStore()
  const { transfers, sweeper } = portal('one', { store })
  const { transferId, announcement, put } = aFile()
  await transfers.announce(ada, transferId, announcement, { isOneRequest: true })
  await put({ transfers }, ada)
  const unknown = { transferId: newTransferId(), generation: 'a1', partNumber: 1 }
  await (await store.openPart(unknown)).commit('ab'.repeat(32))
  await sweeper.removeOrphans(new AbortController().signal)
  expect(await heldOf(store, ledger, transferId), 'it may be stored in a moment').toBe(2)
  expect((await store.list(unknown)).size, 'it may be recorded in a moment').toBe(1)

  clock.advance(600)
  await sweeper.sweep()
  await sweeper.sweep()
  expect(await ledger.transfer(transferId)).toMatchObject({ state: 'refused' })
  clock.advance(2 * 60 * 60_000)
  await sweeper.removeOrphans(new AbortController().signal)
  for await (const held of store.held()) expect(held, 'nothing is left').toBeNull()
})

test('a portal over a database checks by itself for commits whose answer was lost', async () => {
  const log = pino({ level: 'silent' })
  await using signals = await openSignals({ databaseUrl: 'postgres://127.0.0.1/golooader', storeUrl: null }, log)
  expect(signals.traits.lossy).toBe(true)
  await using own = await openSignals({ databaseUrl: null, storeUrl: null }, log)
  expect(own.traits.lossy).toBe(false)
})

/** A store that repeats each removal later, like a request that timed out but still takes effect. */
function withLateRemovals(store: Store) {
  const late: (() => Promise<void>)[] = []
  const twice = async (act: () => Promise<void>): Promise<void> => {
    late.push(act)
    await act()
  }
  const slow: Store = {
    ...store,
    removePart: (key) => twice(() => store.removePart(key)),
    removeParts: (parts) => twice(() => store.removeParts(parts)),
  }
  return { store: slow, comeAbout: () => Promise.all(late.map((act) => act())) }
}

/** A store in which one part is damaged while the test says so. */
function withDamage(store: Store, partNumber: number) {
  const damaged = { ...store, isDamaged: true }
  damaged.read = async (key, range) => {
    const content = await store.read(key, range)
    if (content === null || key.partNumber !== partNumber || !damaged.isDamaged) return content
    content.stream.destroy()
    return { ...content, stream: Readable.from([Buffer.alloc(content.lengthBytes)]) }
  }
  return damaged
}

async function leaseOf({ context }: Portal, receiver: Account): Promise<string> {
  const [offered] = await context.ledger.offerNext(receiver.accountId, 'instance', { leaseMs, limit: 1 })
  const [delivery] = offered?.deliveries ?? []
  if (delivery?.state !== 'offered') throw new Error('nothing was offered')
  return delivery.lease.leaseId
}

const badPart = { problem: new Problem('digest-mismatching-value').toJSON(), wanted: [[1, 1]] as [number, number][] }

test('the late removal of a damaged part does not affect its replacement', async () => {
  const { ledger, store, ada, bob, portal } = await begin()
  const late = withLateRemovals(store)
  const damaged = withDamage(late.store, 1)
  const [one, other] = [portal('one', { store: damaged }), portal('other')]
  const { transferId, announcement, manifestDigest, put } = aFile()
  await one.transfers.announce(ada, transferId, announcement)
  await put(one, ada)
  const leaseId = await leaseOf(one, bob)
  await one.deliveries.dispose(bob, transferId, { disposition: 'resend', leaseId, ...badPart })
  damaged.isDamaged = false
  const { attempt } = await other.transfers.status(ada, transferId)
  await put(other, ada)
  const verdict = await other.transfers.complete(ada, transferId, { attempt, manifestDigest })
  expect(verdict.notification).toBe('stored')
  await late.comeAbout()
  expect(await heldOf(store, ledger, transferId)).toBe(2)
})

test('a transfer does not become stored while another portal removes a damaged part of it', async () => {
  const { ledger, store, ada, bob, portal } = await begin()
  const judged = Promise.withResolvers<void>()
  const goesOn = Promise.withResolvers<void>()
  const slowLedger: Ledger = {
    ...ledger,
    moveTransfer: async (...move) => {
      judged.resolve()
      await goesOn.promise
      return ledger.moveTransfer(...move)
    },
  }
  const judging = portal('judging', { ledger: slowLedger })
  const giving = portal('giving', { store: withDamage(store, 1) })
  const { transferId, announcement, manifestDigest, put } = aFile()
  await judging.transfers.announce(ada, transferId, announcement)
  await put(judging, ada)
  const verdict = judging.transfers.complete(ada, transferId, { attempt: 1, manifestDigest })
  await judged.promise
  const leaseId = await leaseOf(giving, bob)
  await giving.deliveries.dispose(bob, transferId, { disposition: 'resend', leaseId, ...badPart })
  goesOn.resolve()
  expect((await verdict).notification).toBe('resend')
  expect(await ledger.transfer(transferId)).toMatchObject({ state: 'receiving', attempt: 2 })
})

test('a store that fails while it reads a part does not make the part count as lost', async () => {
  const { ledger, store, ada, bob, portal } = await begin()
  const refusing: Store = {
    ...store,
    read: async (key, range) => {
      const content = await store.read(key, range)
      content?.stream.destroy()
      const stream = new Readable({ read: () => stream.destroy(new Problem('store-failed')) })
      return content === null ? null : { ...content, stream }
    },
  }
  const one = portal('one', { store: refusing })
  const { transferId, announcement, manifestDigest, put } = aFile()
  await one.transfers.announce(ada, transferId, announcement)
  await put(one, ada)
  await one.transfers.complete(ada, transferId, { attempt: 1, manifestDigest })
  const leaseId = await leaseOf(one, bob)
  const answer = one.deliveries.dispose(bob, transferId, { disposition: 'resend', leaseId, ...badPart })
  await expect(answer).rejects.toMatchObject({ code: 'unavailable' })
  expect(await heldOf(store, ledger, transferId)).toBe(2)
})

test('the same answer of a receiver at two portals at once succeeds at both', async () => {
  const { ledger, ada, bob, portal } = await begin()
  const [one, other] = [portal('one'), portal('other')]
  const { transferId, announcement, manifestDigest, put } = aFile()
  await one.transfers.announce(ada, transferId, announcement)
  await put(one, ada)
  await one.transfers.complete(ada, transferId, { attempt: 1, manifestDigest })
  const answer = { disposition: 'received', leaseId: await leaseOf(one, bob), manifestDigest } as const
  const states = await Promise.all(
    [one, other].map(({ deliveries }) => deliveries.dispose(bob, transferId, { ...answer })),
  )
  expect(states).toEqual(['delivered', 'delivered'])
  const events = await ledger.events(ada.accountId, { after: '0', limit: 9, transferId })
  expect(events.map(({ notification }) => notification)).toEqual(['stored', 'delivered'])
})

test('an inbox does not poll in a loop for an offer that another portal holds', async () => {
  const { ledger, bob, portal } = await begin()
  let asked = 0
  let isHeld = true
  const held: Ledger = {
    ...ledger,
    offerNext: async (...offer) => {
      asked += 1
      return isHeld ? [] : ledger.offerNext(...offer)
    },
    nextOfferInMs: async (receiverId) => (isHeld ? 0 : ledger.nextOfferInMs(receiverId)),
  }
  const { context } = portal('one', { ledger: held })
  const stop = new AbortController()
  const request = { account: bob, instanceId: 'instance', processId: null, window: 4, isInline: false }
  const types: string[] = []
  const reading = (async () => {
    for await (const { type } of inboxMessages(context, request, stop.signal)) types.push(type)
  })()
  await until(() => asked > 1, 'it asks again')
  const before = asked
  await pause(500)
  expect(asked - before).toBeLessThan(20)
  isHeld = false
  stop.abort()
  await reading
})

test('a file whose request was ended by the failure of an older one with the same key may be sent again', async () => {
  const { ada, portal } = await begin()
  const [older, newer] = [portal('older'), portal('newer')]
  const key = newTransferId()
  const content = Buffer.alloc(2 * 8 * MIB, 'plan')
  const take = ({ context, transfers }: Portal, source: Readable, signal = new AbortController().signal) =>
    receiveFile(context, transfers, ada, {
      to: ['bob'],
      metadata: { name: 'plan.pdf' },
      sizeBytes: content.length,
      key,
      digests: null,
      verify: () => {},
      source,
      signal,
      onAdmitted: () => {},
    })
  const broken = new AbortController()
  const first = new Readable({ read: () => {} })
  const breaking = take(older, first, broken.signal).catch((error: unknown) => error)
  first.push(content.subarray(0, MIB))
  await until(async () => (await older.context.ledger.transfer(key)) !== null, 'it is announced')
  const second = new Readable({ read: () => {} })
  const taking = take(newer, second).catch((error: unknown) => error)
  second.push(content.subarray(0, MIB))
  await until(() => second.readableFlowing === true, 'the newer one is being read')
  broken.abort()
  await breaking
  second.push(content.subarray(MIB))
  second.push(null)
  expect(await taking, 'its sender tries again').toMatchObject({ code: 'unavailable' })
  expect((await take(newer, Readable.from([content]))).state).toBe('stored')
})
