/** A sender can read its notifications again from any point. The portal offers a receiver as much as that has room for. */
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { SharedLooks } from '../../../src/async/index.ts'
import type { InboxEvent, SenderEvent } from '../../../src/client/index.ts'
import { inboxMessages } from '../../../src/portal/deliveries/inbox.ts'
import { eventMessages } from '../../../src/portal/http/routes/events.ts'
import { sqliteLedger } from '../../../src/portal/ledger/sqlite.ts'
import { localSignals, topics } from '../../../src/portal/signals/index.ts'
import type { Notification } from '../../../src/protocol/index.ts'
import { aTransfer, join, roomy } from '../../suites/ledger.ts'
import { aContext } from '../context.ts'
import { instance, manifestDigest, partSizeBytes, readToEnd, TestPortal } from '../portal.ts'

const content = Buffer.alloc(partSizeBytes, 'event ')

/** Reads the events of a stream, up to the last one that a test wants. */
async function read<Event>(stream: AsyncIterable<Event>, isLast: (event: Event) => boolean): Promise<Event[]> {
  const events: Event[] = []
  for await (const event of stream) {
    events.push(event)
    if (isLast(event)) break
  }
  return events
}

const isCurrent = (event: SenderEvent | InboxEvent): boolean => event.type === 'current'
const idsOf = (events: readonly SenderEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'notification' ? [event.notification.eventId] : []))

async function withEvents(count: number) {
  const portal = await TestPortal.start()
  const transferIds: string[] = []
  for (let index = 0; index < count; index++) transferIds.push(await portal.store(content))
  const alice = portal.client('alice')
  const { events } = await alice.events()
  return { portal, alice, transferIds, events }
}

test('the log is read page by page, each event once, in ascending order', async () => {
  const { alice, events } = await withEvents(7)
  expect(events.length).toBe(7)
  const paged: string[] = []
  let after = '0'
  while (true) {
    const page = await alice.events({ after, limit: 3 })
    if (page.events.length === 0) {
      expect(page.after).toBe(after)
      break
    }
    expect(page.events.length).toBeLessThanOrEqual(3)
    paged.push(...page.events.map((event) => event.eventId))
    after = page.after
  }
  expect(paged).toEqual(events.map((event) => event.eventId))
  expect(paged.map(Number)).toEqual([...new Set(paged.map(Number))].sort((a, b) => a - b))
})

test('a stream continues after the last event that was read, and says when it has caught up', async () => {
  const { alice, events } = await withEvents(4)
  for (const [index, { eventId }] of [{ eventId: '0' }, ...events].entries()) {
    const replayed = await read(alice.watchEvents({ after: eventId }), isCurrent)
    expect(idsOf(replayed)).toEqual(events.slice(index).map((event) => event.eventId))
    expect(replayed.filter(isCurrent).length).toBe(1)
  }
})

test('a stream without a starting point begins with new events', async () => {
  const { portal, alice, events } = await withEvents(2)
  const stream = alice.watchEvents()
  expect(idsOf(await read({ [Symbol.asyncIterator]: () => ({ next: () => stream.next() }) }, isCurrent))).toEqual([])
  await portal.store(content)
  const { value } = await stream.next()
  expect(value).toMatchObject({ type: 'notification', notification: { notification: 'stored' } })
  expect(Number(idsOf([value as SenderEvent])[0])).toBeGreaterThan(Number(events.at(-1)?.eventId))
  await stream.return(undefined)
})

test('the stream of one transfer has all of its events, and no others', async () => {
  const { portal, alice, transferIds } = await withEvents(3)
  const [, transferId = ''] = transferIds
  const { leaseId } = await portal.offerOf(transferId)
  await portal.dispose(transferId, { leaseId, disposition: 'received', manifestDigest: manifestDigest(content) })
  const told = await read(alice.watchEvents({ transferId }), isCurrent)
  expect(told).toMatchObject([
    { type: 'notification', notification: { transferId, notification: 'stored', attempt: 1 } },
    { type: 'notification', notification: { transferId, notification: 'delivered', receiver: 'bob' } },
    { type: 'current' },
  ])
})

test('a stream continues after an event that the portal knows; after an unknown event it is refused', async () => {
  const { portal, alice, events } = await withEvents(1)
  const known = events[0]?.eventId ?? ''
  const future = String(BigInt(known) + 1_000_000n)
  const otherHistory = String(BigInt(known) + 1n)
  for (const path of ['/v1/events', `/v1/transfers/${events[0]?.transferId}/events`]) {
    for (const lastEventId of ['nonsense', '999999999', future, otherHistory]) {
      const headers = { accept: 'text/event-stream', 'last-event-id': lastEventId }
      const answer = await portal.ask('GET', path, { token: portal.token('alice'), headers })
      expect(answer.status, lastEventId).toBe(410)
      expect(JSON.parse(String(answer.body))).toMatchObject({ code: 'event-unknown', eventId: lastEventId })
    }
  }
  await expect(alice.events({ after: future })).rejects.toMatchObject({ code: 'event-unknown' })
  expect(idsOf(await read(alice.watchEvents({ after: '0' }), isCurrent))).toEqual([known])
  expect(idsOf(await read(alice.watchEvents({ after: known }), isCurrent))).toEqual([])
})

test('the sender sees a receiver’s progress, and does not get it again later', async () => {
  const portal = await TestPortal.start()
  const transferId = await portal.store(content)
  const { leaseId } = await portal.offerOf(transferId)
  const alice = portal.client('alice')
  const stream = alice.watchEvents({ transferId })
  await read({ [Symbol.asyncIterator]: () => ({ next: () => stream.next() }) }, isCurrent)
  await portal.ask('GET', `/v1/inbox/${transferId}?lease=${leaseId}&held=1000`, { token: portal.token('bob') })
  expect((await stream.next()).value).toEqual({
    type: 'progress',
    progress: { transferId, receiver: 'bob', fetchedBytes: 1000 },
  })
  await stream.return(undefined)
  expect((await read(alice.watchEvents({ transferId }), isCurrent)).map(({ type }) => type)).toEqual([
    'notification',
    'current',
  ])
})

test('a receiver is offered at most its window at a time, and the next offer after an answer', async () => {
  const { portal, transferIds } = await withEvents(5)
  const stream = portal.client('bob').watchInbox({ instanceId: instance, window: 2 })
  const next = async () => {
    const { value } = await stream.next()
    return value as InboxEvent
  }
  const first = [await next(), await next(), await next()]
  expect(first.map(({ type }) => type)).toEqual(['offer', 'offer', 'current'])
  const { deliveries } = await portal.client('alice').transfer(transferIds[2] ?? '')
  expect(deliveries[0]?.state, 'the third one waits').toBe('waiting')
  const offers = first.flatMap((event) => (event.type === 'offer' ? [event.offer] : []))
  const seen = offers.map(({ transferId }) => transferId)
  for (let index = 0; index < 5; index++) {
    const offer = offers.shift()
    if (offer === undefined) break
    const { transferId, leaseId } = offer
    await portal.dispose(transferId, { leaseId, disposition: 'received', manifestDigest: manifestDigest(content) })
    if (seen.length === 5) continue
    const event = await next()
    if (event.type !== 'offer') throw new Error(`not an offer but ${event.type}`)
    offers.push(event.offer)
    seen.push(event.offer.transferId)
  }
  expect(seen, 'oldest first').toEqual(transferIds)
  await stream.return(undefined)
})

test('an offer that its sender cancels is withdrawn from the receiver', async () => {
  const { portal, alice, transferIds } = await withEvents(1)
  const [transferId = ''] = transferIds
  const stream = portal.client('bob').watchInbox({ instanceId: instance, window: 2 })
  await stream.next()
  await stream.next()
  await alice.cancel(transferId)
  expect((await stream.next()).value).toMatchObject({
    type: 'withdrawn',
    withdrawal: { transferId, problem: { code: 'cancelled' } },
  })
  await stream.return(undefined)
})

test('an idle receiver causes no query, however long it waits', async () => {
  const queries: string[] = []
  const ledger = await sqliteLedger({ path: ':memory:', onQuery: (sql) => queries.push(sql) })
  onTestFinished(() => ledger.close())
  const account = await join(ledger, 'bob')
  const signals = localSignals()
  // The test leaves the timers that the ledger needs alone.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'] })
  onTestFinished(() => {
    vi.useRealTimers()
  })
  const gone = new AbortController()
  const messages = inboxMessages(
    aContext({ ledger, signals }),
    { account, instanceId: instance, processId: null, window: 4, isInline: false },
    gone.signal,
  )
  expect((await messages.next()).value).toEqual({ type: 'current' })
  const next = messages.next()
  await vi.advanceTimersByTimeAsync(1_000)
  const before = queries.length
  await vi.advanceTimersByTimeAsync(24 * 3_600_000)
  // A signal for another account does not wake it either.
  signals.publish(topics.inbox(account.accountId + 1))
  await vi.advanceTimersByTimeAsync(1_000)
  expect(queries.length).toBe(before)
  signals.publish(topics.inbox(account.accountId))
  await vi.advanceTimersByTimeAsync(1_000)
  expect(queries.length, 'what concerns it does').toBeGreaterThan(before)
  gone.abort()
  expect((await next).done).toBe(true)
})

test('when the portal stops, its streams end recognisably for a receiver', async () => {
  const ends: (() => Promise<void>)[] = []
  const portal = await TestPortal.start({}, { onEnd: (end) => ends.push(end) })
  const socket = await portal.connect()
  const all = readToEnd(socket)
  socket.write(portal.request('GET', `/v1/inbox?instance=${instance}`, { token: portal.token('bob') }))
  for (const end of ends) await end()
  expect(String(await all).endsWith('0\r\n\r\n')).toBe(true)
})

describe('a held answer instead of a stream', () => {
  test('begins with new events, and returns an event as soon as it happens', async () => {
    const { portal, alice, events } = await withEvents(2)
    const begun = await alice.heldEvents(null, 25)
    expect(begun).toEqual({ events: [], after: events.at(-1)?.eventId })
    const asked = alice.heldEvents(begun.after, 25)
    await portal.store(content)
    const { events: told, after } = await asked
    expect(told).toMatchObject([{ notification: 'stored' }])
    expect(after).toBe(told[0]?.eventId)
    expect(await alice.heldEvents(after, 0), 'where nothing happens it ends').toMatchObject({ events: [], after })
  })

  test('returns offers while the window has room, and how open ones ended', async () => {
    const { portal, transferIds } = await withEvents(3)
    const bob = portal.client('bob')
    const question = { instanceId: instance, window: 2, isInline: false }
    const offersOf = (messages: readonly InboxEvent[]) =>
      messages.flatMap((message) => (message.type === 'offer' ? [message.offer.transferId] : []))
    const first = await bob.heldInbox({ ...question, open: null }, 25)
    const open = offersOf(first)
    expect(open).toEqual(transferIds.slice(0, 2))
    expect(first.at(-1)).toEqual({ type: 'current' })
    expect(await bob.heldInbox({ ...question, open }, 0), 'the window is full').toEqual([])
    const [cancelled = ''] = open
    const asked = bob.heldInbox({ ...question, open }, 25)
    await portal.client('alice').cancel(cancelled)
    expect(await asked).toMatchObject([{ type: 'withdrawn', withdrawal: { transferId: cancelled } }, { type: 'offer' }])
    // The next answer also tells of a transfer that ended while no request waited.
    await portal.client('alice').cancel(open[1] ?? '')
    const late = await bob.heldInbox({ ...question, open: open.slice(1) }, 25)
    expect(late).toMatchObject([{ type: 'withdrawn', withdrawal: { transferId: open[1] } }])
    const again = await bob.heldInbox({ ...question, open: null }, 25)
    expect(offersOf(again), 'a receiver that starts again gets its own offers again').toEqual(transferIds.slice(2))
  })
})

test('streams of an account that are woken together read its new events once', async () => {
  const queries: string[] = []
  const ledger = await sqliteLedger({ path: ':memory:', onQuery: (sql) => queries.push(sql) })
  onTestFinished(() => ledger.close())
  const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
  const context = aContext({ ledger })
  const stop = new AbortController()
  const from = { accountId: ada.accountId, transferId: null, after: '0' }
  const looks = new SharedLooks<readonly Notification[]>()
  const streams = Array.from({ length: 8 }, () => eventMessages({ context }, looks, from, stop.signal))
  for (const one of streams) expect((await one.next()).value).toMatchObject({ event: 'current' })

  const told = streams.map((one) => one.next())
  await new Promise(setImmediate)
  const digest = manifestDigest(content)
  const whole = { manifestDigest: digest, manifest: null, digest, content: Buffer.alloc(10) }
  const { transfer } = await ledger.storeInline(aTransfer(ada, [bob], 10), roomy, whole)
  queries.length = 0
  context.signals.publish(topics.events(ada.accountId))
  for (const one of await Promise.all(told)) {
    expect(one.value).toMatchObject({ event: 'notification', data: { transferId: transfer.transferId } })
  }
  expect(queries).toHaveLength(1)
  stop.abort()
})
