/**
 * Several portals share one ledger and one store. When a paused portal continues, or a dead one leaves work undone, nothing that
 * another portal has done since is damaged.
 */
import { PassThrough, Readable } from 'node:stream'
import { expect, onTestFinished, test } from 'vitest'
import { AccountWatch } from '../../src/portal/accounts/account-watch.ts'
import { OpenRequests } from '../../src/portal/accounts/open-requests.ts'
import { localSignals } from '../../src/portal/signals/index.ts'
import type { Store } from '../../src/portal/store/contract.ts'
import { receiveFile } from '../../src/portal/uploads/one-request.ts'
import { formatContentDigest, newTransferId, Problem } from '../../src/protocol/index.ts'
import { until } from '../e2e/harness/world.ts'
import { somePart } from '../suites/store.ts'
import { aFile, begin, heldOf, type Portal } from './several.ts'

const MIB = 1024 * 1024

/** A store that pauses before each removal until the test releases it. */
function paused(store: Store) {
  const [reached, goesOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const pause = async (): Promise<void> => {
    reached.resolve()
    await goesOn.promise
  }
  const pausing: Store = {
    ...store,
    removeParts: async (parts) => {
      await pause()
      await store.removeParts(parts)
    },
    remove: async (transferId) => {
      await pause()
      await store.remove(transferId)
    },
  }
  return { store: pausing, reached: reached.promise, goOn: () => goesOn.resolve() }
}

test('a portal that was paused while it removed bad parts does not remove their replacements', async () => {
  const { ledger, store, ada, portal } = await begin()
  const late = paused(store)
  const [slow, quick] = [portal('slow', { store: late.store }), portal('quick')]
  const { transferId, announcement, manifestDigest, put } = aFile()
  await slow.transfers.announce(ada, transferId, announcement)
  await put(slow, ada)
  const removing = slow.transfers.complete(ada, transferId, { attempt: 1, manifestDigest: '0'.repeat(64) })
  await late.reached

  await put(quick, ada)
  const verdict = await quick.transfers.complete(ada, transferId, { attempt: 2, manifestDigest })
  expect(verdict.notification).toBe('stored')
  late.goOn()
  expect((await removing).notification).toBe('resend')
  expect(await heldOf(store, ledger, transferId)).toBe(2)
})

test('a receiver that waits for a part wakes up when it arrives, and not for every other part', async () => {
  const { ledger, store, ada, bob, portal } = await begin()
  const looks: number[] = []
  const counting: Store = {
    ...store,
    find: (place) => {
      looks.push(place.partNumber)
      return store.find(place)
    },
  }
  const signals = localSignals()
  const [near, far] = [portal('near', { signals }), portal('far', { signals, store: counting })]
  const { transferId, announcement, put, parts } = aFile()
  await near.transfers.announce(ada, transferId, announcement)
  const [offer] = await ledger.offerNext(bob.accountId, 'here', { leaseMs: 60_000, limit: 1 })
  const delivery = offer?.deliveries[0]
  if (delivery?.state !== 'offered') throw new Error('it was not offered')
  const claim = { account: bob, transferId, leaseId: delivery.lease.leaseId, heldBytes: null }
  const signal = new AbortController().signal
  const waiting = parts.map(({ key }) =>
    far.deliveries.part(claim, key.partNumber, { waitMs: 20_000, signal, rangeOf: () => undefined, wantsLink: false }),
  )
  await until(() => looks.length === 2, 'both parts were looked for')
  await put(near, ada)
  expect((await Promise.all(waiting)).map(({ digest }) => digest)).toEqual(parts.map(({ key }) => key.digest))
  expect(looks.sort()).toEqual([1, 1, 2, 2])
})

test('a portal that was paused before it aborted an upload does not touch what another has completed', async () => {
  const { clock, ledger, store, ada, portal } = await begin({ uploadTimeoutMs: 1000 })
  const [slow, quick] = [portal('slow'), portal('quick')]
  const { transferId, announcement, manifestDigest, put } = aFile()
  await quick.transfers.announce(ada, transferId, announcement)
  await put(quick, ada)
  clock.advance(2000)
  // The upload that the paused sweeper had already found due.
  const [due] = await ledger.dueUploads(1)
  if (due === undefined) throw new Error('nothing is due')
  await quick.transfers.complete(ada, transferId, { attempt: 1, manifestDigest })
  await slow.transfers.uploadTimedOut(due)
  expect(await ledger.transfer(transferId)).toMatchObject({ state: 'stored' })
  expect(await heldOf(store, ledger, transferId)).toBe(2)
})

test('a part that reaches a portal after another one started a new attempt does not count for the new attempt', async () => {
  const { ledger, store, ada, portal } = await begin()
  const [one, other] = [portal('one'), portal('other')]
  const { transferId, announcement, parts } = aFile()
  await one.transfers.announce(ada, transferId, announcement)
  const [part] = parts
  if (part === undefined) throw new Error('it has parts')
  const body = new PassThrough()
  const taking = one.transfers.receivePart(ada, transferId, {
    partNumber: 1,
    contentLength: String(part.bytes.length),
    contentDigest: formatContentDigest('sha-256', part.key.digest),
    body,
    onBytes: () => {},
    signal: new AbortController().signal,
  })
  body.write(part.bytes.subarray(0, 10))
  await new Promise((resolve) => setImmediate(resolve))
  const announced = { transferId, attempt: 1 }
  await other.transfers.attemptFailed(announced, new Problem('part-incomplete'), true)
  body.end(part.bytes.subarray(10))
  await expect(taking).rejects.toMatchObject({ code: 'transfer-closed' })
  expect(await heldOf(store, ledger, transferId)).toBe(0)
  for await (const held of store.held()) expect(held, 'nothing is left').toBeNull()
})

test.each([
  ['known', 2 * 8 * MIB],
  ['unknown', null],
])(
  'a file of %s length that two portals receive at once under one key is stored once, complete',
  async (_what, sizeBytes) => {
    const { ledger, store, ada, portal } = await begin({ transferSizeBytesMax: 1024 * MIB })
    const key = newTransferId()
    const take = ({ context, transfers }: Portal, source: Readable) =>
      receiveFile(context, transfers, ada, {
        to: ['bob'],
        metadata: { name: 'plan.pdf' },
        sizeBytes,
        key,
        digests: null,
        verify: () => {},
        source,
        signal: new AbortController().signal,
        onAdmitted: () => {},
      })
    const content = Buffer.alloc(2 * 8 * MIB, 'plan')
    // The older request has other content. Its portal has stored a part and continues only after the newer request.
    const others = Buffer.alloc(content.length, 'draft')
    const older = new PassThrough({ highWaterMark: 64 * MIB })
    const outcome = take(portal('older'), older).catch((error: unknown) => error)
    older.write(others.subarray(0, 8 * MIB + 1))
    await until(async () => {
      for await (const _held of store.held()) return true
      return false
    }, 'its first part is held')
    const transfer = await take(
      portal('newer'),
      Readable.from([content.subarray(0, 9 * MIB), content.subarray(9 * MIB)]),
    )
    expect(transfer.state).toBe('stored')
    older.end(others.subarray(8 * MIB + 1))
    await outcome
    const stored = await ledger.transfer(key)
    expect(stored).toMatchObject({ state: 'stored', generation: transfer.generation })
    expect(await heldOf(store, ledger, key)).toBe(2)
    const generations: string[] = []
    for await (const held of store.held()) generations.push(held.generation)
    expect(generations, 'nothing of the older one is left').toEqual([transfer.generation])
    expect(await ledger.totals()).toMatchObject({ openTransfers: 1 })
  },
)

test('orphans in a shared store are removed once no portal can record them any more, and not before', async () => {
  const expiryMs = 1000
  const { clock, ledger, store, ada, portal } = await begin({ expiryMs })
  clock.nowMs = Date.now()
  const hold = async (transferId: string, generation: string): Promise<void> => {
    const { key, bytes } = somePart(transferId, 1)
    const sink = await store.openPart({ ...key, generation })
    await sink.write([bytes])
    await sink.commit(key.digest)
  }
  const [unknown, current, over] = [newTransferId(), aFile(), aFile()]
  const { transfers, sweeper } = portal('one')
  for (const { transferId, announcement } of [current, over]) await transfers.announce(ada, transferId, announcement)
  await transfers.cancel(ada, over.transferId, false)
  await hold(unknown, 'a1')
  await hold(current.transferId, '')
  await hold(current.transferId, 'a2')
  await hold(over.transferId, '')
  const search = async (): Promise<string[]> => {
    await sweeper.removeOrphans(new AbortController().signal)
    const left: string[] = []
    for await (const { transferId, generation } of store.held()) left.push(`${transferId}/${generation}`)
    return left.sort()
  }
  const spared = [`${current.transferId}/`, `${current.transferId}/a2`, `${unknown}/a1`].sort()
  expect(await search()).toEqual(spared)
  clock.advance(expiryMs + 30 * 60_000)
  expect(await search(), 'the clock of the store may be another').toEqual(spared)
  clock.advance(60 * 60_000)
  expect(await search()).toEqual([`${current.transferId}/`])
  expect(await ledger.transfer(current.transferId)).toMatchObject({ state: 'receiving' })
})

test('one portal at a time sweeps, and another takes over when it is gone', async () => {
  const { clock, ledger, ada, portal } = await begin({ uploadTimeoutMs: 1000 })
  const [one, other] = [portal('one'), portal('other')]
  await one.sweeper.sweep()
  const { transferId, announcement } = aFile()
  await one.transfers.announce(ada, transferId, announcement)
  clock.advance(2000)
  await other.sweeper.sweep()
  expect(await ledger.transfer(transferId)).toMatchObject({ attempt: 1 })
  clock.advance(10_000)
  await other.sweeper.sweep()
  expect(await ledger.transfer(transferId)).toMatchObject({ attempt: 2 })
})

test('account changes are logged by one portal, and by another when the first died before it logged them', async () => {
  const { clock, ledger, portal } = await begin({ accountWatchMs: 5 })
  const [one, other] = [portal('one'), portal('other')]
  const told = ({ lines }: Portal) => lines.filter(({ audit }) => audit === 'account-revoked').length
  const watches = [one, other].map(({ context }) => new AccountWatch(context, new OpenRequests()))
  const [first, second] = watches
  for (const watch of watches) watch.start()
  onTestFinished(async () => {
    for (const watch of watches) await watch.stop()
  })
  await until(() => one.lines.length + other.lines.length > 0, 'who joined is told')
  await ledger.revokeAccount('bob')
  await until(() => told(one) + told(other) > 0, 'the revocation is told')
  await until(
    async () => (await ledger.accountChanges({ after: await ledger.auditedChangeId(), limit: 9 })).length === 0,
    'that is on record',
  )
  expect(told(one) + told(other)).toBe(1)

  // One portal has the duty of logging account changes. It ends here.
  const teller = told(one) > 0 ? one : other
  await (teller === one ? first : second)?.stop()
  await ledger.revokeAccount('ada')
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(told(one) + told(other), 'its duty has not run out').toBe(1)
  clock.advance(10_000)
  await until(() => told(one) + told(other) === 2, 'the other one tells')
})
