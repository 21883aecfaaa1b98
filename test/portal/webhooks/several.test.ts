/** Several portals over one PostgreSQL: each message is posted once, and what a dead portal had is taken over. */
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import type { Account, Ledger } from '../../../src/portal/ledger/contract.ts'
import { postgresLedger } from '../../../src/portal/ledger/postgres.ts'
import { localSignals } from '../../../src/portal/signals/index.ts'
import { WebhookAddresses } from '../../../src/portal/webhooks/addresses.ts'
import { bodyOf } from '../../../src/portal/webhooks/messages.ts'
import { WebhookRequests } from '../../../src/portal/webhooks/request.ts'
import { WebhookWorker } from '../../../src/portal/webhooks/worker.ts'
import { newWebhookSecret } from '../../../src/protocol/index.ts'
import { testDatabase } from '../../servers/postgres.ts'
import { Receiver } from '../../servers/webhook-receiver.ts'
import { aTransfer, join, manifestDigest, problem, roomy } from '../../suites/ledger.ts'
import { aWebhook, service } from '../../suites/ledger-webhooks.ts'
import { aContext } from '../context.ts'

const TRANSFERS = 150
const secret = newWebhookSecret()
const options = { webhookNetworks: ['127.0.0.1'], webhookLookMs: 20, webhookRetryMsMin: 20, webhookRetryMsMax: 50 }

/** A clock that runs as usual, and can be moved ahead. */
class Clock {
  aheadMs = 0
  readonly now = (): number => Date.now() + this.aheadMs
}

async function begin() {
  const { url } = await testDatabase()
  const clock = new Clock()
  const open = async (): Promise<Ledger> => {
    const ledger = await postgresLedger({ url, now: clock.now })
    onTestFinished(() => ledger.close())
    return ledger
  }
  const ledger = await open()
  const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
  const receiver = await Receiver.start(secret)
  /** Starts the worker of another portal. */
  const portal = async (portalId: string): Promise<WebhookWorker> => {
    const requests = new WebhookRequests(new WebhookAddresses(options.webhookNetworks), 5_000)
    const context = aContext({ portalId, ledger: await open(), signals: localSignals(), options })
    const worker = new WebhookWorker(context, requests)
    worker.start()
    onTestFinished(async () => {
      await worker.stop()
      requests[Symbol.dispose]()
    })
    return worker
  }
  const add = async (account: Account, isWholePortal = false) => {
    const hook = aWebhook({ url: receiver.url, secret, isWholePortal })
    await ledger.createWebhook(account.accountId, hook, { webhooksMax: 10 })
    return hook
  }
  return { url, clock, ledger, open, ada, bob, receiver, portal, add }
}

/** Stores a transfer, whose delivery then fails: two events. */
async function twoEvents(ledger: Ledger, from: Account, to: Account): Promise<string> {
  const { transfer } = await ledger.announce(aTransfer(from, [to]), roomy)
  const { transferId } = transfer
  await ledger.moveTransfer(
    transferId,
    { state: 'receiving', attempt: 1 },
    { state: 'stored', manifestDigest, manifest: null },
  )
  const failure = { state: 'failed', problem: problem('expired') } as const
  await ledger.moveDelivery(transferId, to.accountId, { state: 'waiting' }, failure)
  return transferId
}

test('each message is posted once, in the order of its transfer, while all portals work', async () => {
  const { ledger, open, ada, bob, receiver, portal, add } = await begin()
  await ledger.setOperator('ada', true)
  const [own, whole] = [await add(ada), await add(ada, true)]
  for (const portalId of ['one', 'two', 'three']) await portal(portalId)
  const writers = [ledger, await open(), await open()]
  const transferIds = await Promise.all(
    Array.from({ length: TRANSFERS }, (_, index) => {
      const [from, to] = index % 2 === 0 ? [ada, bob] : [bob, ada]
      return twoEvents(writers[index % writers.length] ?? ledger, from, to)
    }),
  )
  const mine = TRANSFERS
  const all = await receiver.until(({ length }) => length >= mine + 2 * TRANSFERS)
  expect(all.every(({ fault }) => fault === null)).toBe(true)
  for (const { webhookId } of [own, whole]) {
    const of = all.filter(({ id }) => id.includes(webhookId.replaceAll('-', '')))
    for (const transferId of transferIds) {
      const told = of
        .filter(({ body }) => body.data.transferId === transferId)
        .map(({ body }) => body.data.notification)
      if (told.length > 0 || webhookId === whole.webhookId) expect(told).toEqual(['stored', 'failed'])
    }
  }
  while ((await ledger.webhookCensus()).waiting > 0) await setTimeout(10)
  expect(new Set(all.map(({ id }) => id)).size, 'each once').toBe(receiver.received.length)
  expect(receiver.received).toHaveLength(mine + 2 * TRANSFERS)
})

test('what a portal had when it died is posted by another one', async () => {
  const { clock, ledger, ada, bob, receiver, portal, add } = await begin()
  const hook = await add(ada)
  const transferId = await twoEvents(ledger, ada, bob)
  // This portal takes its work, and nothing is heard of it any more.
  const taken = await ledger.serveWebhook(
    hook.webhookId,
    { ...service, portalId: 'dead', leaseMs: 60_000, bodyOf },
    [],
    null,
  )
  expect(taken?.messages).toHaveLength(1)
  await portal('alive')
  expect(await ledger.webhooks('alive')).toMatchObject([{ hasWork: false }])
  expect(receiver.received).toEqual([])
  clock.aheadMs += 60_000
  const received = await receiver.until(({ length }) => length >= 2)
  expect(received.map(({ body }) => [body.data.transferId, body.data.notification])).toEqual([
    [transferId, 'stored'],
    [transferId, 'failed'],
  ])
  expect(received[0]?.id).toBe(taken?.messages[0]?.messageId)
})

test('an event whose transaction commits late is told to a webhook of the whole portal', async () => {
  const { url, ledger, ada, bob, add } = await begin()
  await ledger.setOperator('ada', true)
  const hook = await add(ada, true)
  const { transfer } = await ledger.announce(aTransfer(bob, [ada]), roomy)
  const writer = new pg.Client({ connectionString: url })
  await writer.connect()
  onTestFinished(() => writer.end())
  // It takes a number, and commits only after an event with a larger one.
  await writer.query('begin')
  await writer.query(
    "insert into events (account_id, transfer_id, at_ms, attempt, notification) values ($1, $2, $3, 1, 'stored')",
    [bob.accountId, transfer.transferId, Date.now()],
  )
  const later = await twoEvents(ledger, ada, bob)
  const hasWork = async () => (await ledger.webhooks('here'))[0]?.hasWork
  const serve = () => ledger.serveWebhook(hook.webhookId, { ...service, bodyOf }, [], null)
  for (let looks = 0; looks < 3; looks++) expect(await hasWork()).toBe(false)
  expect((await serve())?.messages).toEqual([])
  await writer.query('commit')
  while ((await hasWork()) !== true) await setTimeout(10)
  const messages = (await serve())?.messages ?? []
  expect(messages.map(({ transferId, kind }) => [transferId, kind])).toEqual([
    [transfer.transferId, 'stored'],
    [later, 'stored'],
  ])
})
