/** Which parts the search for orphans removes and which it keeps, and what happens to a completely received body. */
import { PassThrough, Readable } from 'node:stream'
import { expect, onTestFinished, test } from 'vitest'
import type { Account } from '../../../src/portal/ledger/contract.ts'
import { sqliteLedger } from '../../../src/portal/ledger/sqlite.ts'
import type { Store } from '../../../src/portal/store/contract.ts'
import { Sweeper } from '../../../src/portal/sweeper.ts'
import { type OneRequestFile, receiveFile } from '../../../src/portal/uploads/one-request.ts'
import { Transfers } from '../../../src/portal/uploads/transfers.ts'
import { newTransferId, Problem } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { aTransfer, join, roomy } from '../../suites/ledger.ts'
import { memoryStore } from '../../suites/memory-store.ts'
import { aContext } from '../context.ts'

const MIB = 1024 * 1024
const PART_BYTES = 8 * MIB

async function begin() {
  const ledger = await sqliteLedger({ path: ':memory:' })
  onTestFinished(() => ledger.close())
  const store = memoryStore()
  // Parts of a body of unknown length are then no larger than others.
  const context = aContext({ ledger, store, options: { transferSizeBytesMax: 1024 * MIB } })
  const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
  const transfers = new Transfers(context)
  const sweeper = new Sweeper(context, transfers)
  const search = () => sweeper.removeOrphans(new AbortController().signal)
  const hold = async (transferId: string): Promise<void> => {
    const sink = await store.openPart({ transferId, generation: '', partNumber: 1 })
    await sink.write([Buffer.from('part')])
    await sink.commit('ab'.repeat(32))
  }
  return { context, ledger, store, ada, bob, transfers, search, hold }
}

async function idsOf(store: Store): Promise<string[]> {
  const transferIds: string[] = []
  for await (const { transferId } of store.held()) transferIds.push(transferId)
  return transferIds
}

function incoming(source: Readable, given: Partial<OneRequestFile> = {}): OneRequestFile {
  return {
    to: ['bob'],
    metadata: { name: 'plan.pdf' },
    sizeBytes: null,
    key: null,
    digests: null,
    verify: () => {},
    source,
    signal: new AbortController().signal,
    onAdmitted: () => {},
    ...given,
  }
}

test.each([
  ['known', 2 * PART_BYTES],
  ['unknown', null],
])('an upload of %s length in progress is spared, and is stored completely', async (_what, sizeBytes) => {
  const { context, store, ada, transfers, search } = await begin()
  const source = new PassThrough({ highWaterMark: 4 * PART_BYTES })
  const taking = receiveFile(context, transfers, ada, incoming(source, { key: newTransferId(), sizeBytes }))
  source.write(Buffer.alloc(PART_BYTES + 1))
  const held = () => idsOf(store)
  await until(async () => (await held()).length === 1, 'its first part is held')
  await search()
  expect(await held()).toHaveLength(1)
  source.end(Buffer.alloc(PART_BYTES - 1))
  expect((await taking).state).toBe('stored')
  await search()
  expect(await held()).toHaveLength(1)
})

test('what a dead process received of a body is removed, and parts that a sender can continue with are not', async () => {
  const { ledger, store, ada, bob, search, hold } = await begin()
  const announced = async (sender: Account, isOneRequest: boolean): Promise<string> => {
    const transfer = { ...aTransfer(sender, [bob]), ...(isOneRequest ? { isOneRequest } : {}) }
    await ledger.announce(transfer, roomy)
    await hold(transfer.transferId)
    return transfer.transferId
  }
  const inParts = await announced(ada, false)
  await announced(ada, true)
  await hold(newTransferId())
  await search()
  expect(await idsOf(store)).toEqual([inParts])
})

test.each([
  ['known', PART_BYTES + 1],
  ['unknown', null],
])(
  'a body of %s length that has arrived completely is stored, although its sender has disconnected',
  async (_what, sizeBytes) => {
    const { context, store, ada, transfers } = await begin()
    const gone = new AbortController()
    const { seal } = store
    store.seal = async (parts) => {
      gone.abort()
      await seal(parts)
    }
    const source = Readable.from([Buffer.alloc(PART_BYTES), Buffer.alloc(1)])
    const transfer = await receiveFile(context, transfers, ada, incoming(source, { sizeBytes, signal: gone.signal }))
    expect(gone.signal.aborted).toBe(true)
    expect(transfer).toMatchObject({ state: 'stored', sizeBytes: PART_BYTES + 1 })
    expect((await store.list(transfer)).size).toBe(2)
  },
)

test('a part that becomes durable after the one before it failed is removed with it', async () => {
  const { context, store, ada, transfers } = await begin()
  const [second, committed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const { openPart } = store
  store.openPart = async (place) => {
    const sink = await openPart(place)
    const isFirst = place.partNumber === 1
    return {
      write: sink.write,
      discard: sink.discard,
      commitAs: sink.commitAs,
      async commit(digest) {
        if (isFirst) {
          await second.promise
          throw new Problem('store-failed')
        }
        second.resolve()
        // A slow disk takes this long.
        await new Promise((resolve) => setTimeout(resolve, 100))
        await sink.commit(digest)
        committed.resolve()
      },
    }
  }
  const source = Readable.from([Buffer.alloc(PART_BYTES), Buffer.alloc(PART_BYTES)])
  const taking = receiveFile(context, transfers, ada, incoming(source, { sizeBytes: 2 * PART_BYTES }))
  await expect(taking).rejects.toMatchObject({ code: 'store-failed' })
  await committed.promise
  expect(await idsOf(store)).toEqual([])
})

test('a transfer that is cancelled right after it was admitted is no refusal of its announcement', async () => {
  const { context, ledger, store, ada, transfers } = await begin()
  const key = newTransferId()
  const counted = async () => {
    const { values } = await context.metrics.notifications.get()
    return values.find(({ labels }) => labels.notification === 'refused')?.value ?? 0
  }
  const countedBefore = await counted()
  const { events } = ledger
  ledger.events = async (...query) => {
    ledger.events = events
    await transfers.cancel(ada, key, false)
    return events(...query)
  }
  const source = Readable.from([Buffer.alloc(2 * PART_BYTES)])
  const taking = receiveFile(context, transfers, ada, incoming(source, { key, sizeBytes: 2 * PART_BYTES }))
  await expect(taking).rejects.toMatchObject({ code: 'transfer-closed', details: { state: 'cancelled' } })
  expect(await idsOf(store)).toEqual([])
  expect((await counted()) - countedBefore, 'the cancellation is counted once').toBe(1)
})
