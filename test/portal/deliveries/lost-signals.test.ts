/** Signals between nodes can get lost. Waiting requests therefore query the ledger every few seconds, at little cost. */
import { setImmediate } from 'node:timers/promises'
import { expect, type TestContext, test, vi } from 'vitest'
import { type InboxMessage, inboxMessages } from '../../../src/portal/deliveries/inbox.ts'
import { sqliteLedger } from '../../../src/portal/ledger/sqlite.ts'
import { type Signals, Waiter } from '../../../src/portal/signals/index.ts'
import { aTransfer, join, problem, roomy } from '../../suites/ledger.ts'
import { aContext } from '../context.ts'

/** Signals that never arrive. */
const lost: Signals = { traits: { lossy: true }, publish: () => {}, subscribe: () => () => {} }
/** A waiting request queries the ledger every ten seconds, give or take a quarter. */
const withinALook = { timeout: 90_000, interval: 50 }

/** A receiver that has got every offer and waits for the next one. */
async function idleReceiver({ onTestFinished }: TestContext) {
  const queries: string[] = []
  const ledger = await sqliteLedger({ path: ':memory:', onQuery: (sql) => queries.push(sql) })
  onTestFinished(() => ledger.close())
  const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
  const stop = new AbortController()
  const messages: InboxMessage[] = []
  const request = { account: bob, instanceId: 'here', processId: null, window: 4, isInline: false }
  const reading = (async () => {
    for await (const message of inboxMessages(aContext({ ledger, signals: lost }), request, stop.signal)) {
      messages.push(message)
    }
  })()
  onTestFinished(async () => {
    stop.abort()
    await reading
  })
  await vi.waitFor(() => expect(messages).toEqual([{ type: 'current' }]), withinALook)
  await setImmediate()
  queries.length = 0
  return { ledger, ada, bob, messages, queries }
}

test.concurrent('a file is offered and withdrawn although the signals to its receiver are lost', {
  timeout: 60_000,
}, async (context) => {
  const { ledger, ada, bob, messages } = await idleReceiver(context)
  const { transfer } = await ledger.announce(aTransfer(ada, [bob]), roomy)
  const { transferId } = transfer
  await vi.waitFor(() => expect(messages[1]).toMatchObject({ type: 'offer', offer: { transferId } }), withinALook)
  const leaseId = messages[1]?.type === 'offer' ? messages[1].offer.leaseId : ''
  const failed = { state: 'failed', problem: problem('cancelled') } as const
  await ledger.moveDelivery(transferId, bob.accountId, { state: 'offered', leaseId }, failed)
  await vi.waitFor(
    () => expect(messages[2]).toMatchObject({ type: 'withdrawn', withdrawal: { transferId } }),
    withinALook,
  )
})

test.concurrent('a check for a receiver without deliveries is one query', async (context) => {
  const { queries } = await idleReceiver(context)
  await vi.waitFor(() => expect(queries).not.toEqual([]), withinALook)
  await setImmediate()
  expect(queries).toHaveLength(1)
  expect(queries[0]).toMatch(/^select "offer_at_ms" from "deliveries"/)
})

test.concurrent('a wait returns what ended it', async () => {
  using waiter = new Waiter(lost, 'topic')
  const stop = new AbortController()
  expect(await waiter.wait(20, stop.signal)).toBe('time')
  waiter.wake()
  expect(await waiter.wait(60_000, stop.signal)).toBe('signal')
  expect(await waiter.wait(60_000, stop.signal)).toBe('look')
  stop.abort()
  expect(await waiter.wait(60_000, stop.signal)).toBe('signal')
})
