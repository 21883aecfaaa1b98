/** The ledger's webhooks: messages of events, their order, their leases and outcomes. */
import { describe, expect, test } from 'vitest'
import type { Account } from '../../src/portal/ledger/contract.ts'
import type {
  DueMessage,
  NewWebhookRecord,
  WebhookOutcome,
  WebhookService,
  WebhookVerdict,
} from '../../src/portal/ledger/webhooks-contract.ts'
import { newTransferId, newWebhookSecret } from '../../src/protocol/index.ts'
import { aTransfer, type LedgerTest, manifestDigest, problem, roomy } from './ledger.ts'

const MINUTE_MS = 60_000
/** The lease of a webhook. */
const servedMs = MINUTE_MS / 2
const keepTryingMs = 60 * MINUTE_MS
const bounds = { webhooksMax: 3 }

export function aWebhook(changes: Partial<NewWebhookRecord> = {}): NewWebhookRecord {
  return {
    webhookId: newTransferId(),
    url: 'https://hooks.example/in',
    kinds: ['delivered', 'failed', 'stored'],
    secret: newWebhookSecret(),
    isWholePortal: false,
    ...changes,
  }
}

export const service: WebhookService = {
  portalId: 'here',
  leaseMs: servedMs,
  openMax: 20,
  batchMax: 8,
  keepTryingMs,
  bodyOf: (event) => JSON.stringify(event),
}

export const verdict: WebhookVerdict = { failures: 0, pauseMs: 0, isBack: false, disabledFor: null }

export function ok({ messageId, attempts }: DueMessage): WebhookOutcome {
  return { messageId, attempts, result: 'delivered', status: 204 }
}

export function failed({ messageId, attempts }: DueMessage, retryInMs = MINUTE_MS): WebhookOutcome {
  return { messageId, attempts, result: 'failed', status: 500, reason: 'HTTP status 500', retryInMs, retryAfterMs: 0 }
}

export function testWebhooks(begin: () => Promise<LedgerTest>): void {
  /** Ada has a webhook. `serve` takes the next messages as a portal; `kinds` shortens them. */
  const beginWithHook = async (changes: Partial<NewWebhookRecord> = {}) => {
    const all = await begin()
    const { ledger, ada } = all
    if (changes.isWholePortal === true) await ledger.setOperator('ada', true)
    const hook = aWebhook(changes)
    await ledger.createWebhook(ada.accountId, hook, bounds)
    const serve = async (
      outcomes: readonly WebhookOutcome[] = [],
      says: WebhookVerdict | null = null,
      of: Partial<WebhookService> = {},
    ) => {
      const work = await ledger.serveWebhook(hook.webhookId, { ...service, ...of }, outcomes, says)
      return work?.messages ?? null
    }
    /** Stores a transfer, whose delivery to bob then fails. */
    const fail = async (): Promise<string> => {
      const transferId = await all.store()
      const change = { state: 'failed', problem: problem('expired') } as const
      await ledger.moveDelivery(transferId, all.bob.accountId, { state: 'waiting' }, change)
      return transferId
    }
    const log = async () =>
      (await ledger.webhookMessages(ada.accountId, hook.webhookId, { before: null, limit: 100 })) ?? []
    const own = async () =>
      (await ledger.webhooksOf(ada.accountId)).find(({ webhookId }) => webhookId === hook.webhookId)
    return { ...all, hook, serve, fail, log, own }
  }
  const short = (messages: readonly DueMessage[] | null) => messages?.map(({ kind, transferId }) => [kind, transferId])
  const only = (messages: readonly DueMessage[] | null): DueMessage => {
    const [message, ...others] = messages ?? []
    if (message === undefined || others.length > 0) throw new Error(`${messages?.length} messages`)
    return message
  }

  describe('webhooks', () => {
    test('are made once; the same call again changes nothing, and another one under the id is refused', async () => {
      const { ledger, ada, cy, hook } = await beginWithHook()
      expect(await ledger.createWebhook(ada.accountId, hook, bounds)).toMatchObject({ webhookId: hook.webhookId })
      const other = [
        { ...hook, url: 'https://other.example/' },
        { ...hook, secret: newWebhookSecret() },
      ]
      for (const one of other) {
        await expect(ledger.createWebhook(ada.accountId, one, bounds)).rejects.toMatchObject({
          code: 'webhook-conflict',
        })
      }
      await expect(ledger.createWebhook(cy.accountId, hook, bounds)).rejects.toMatchObject({ code: 'webhook-conflict' })
      expect(await ledger.webhooksOf(ada.accountId)).toMatchObject([
        { url: hook.url, kinds: hook.kinds, failures: 0, openMessages: 0, disabledAtMs: null },
      ])
      expect(await ledger.webhooksOf(cy.accountId)).toEqual([])
    })

    test('are as many as an account may have', async () => {
      const { ledger, ada, cy } = await beginWithHook()
      const make = (account: Account, webhooksMax: number) =>
        ledger.createWebhook(account.accountId, aWebhook(), { webhooksMax })
      await expect(make(ada, 1)).rejects.toMatchObject({ code: 'too-many-webhooks', details: { webhooksMax: 1 } })
      await make(ada, 2)
      await expect(make(cy, 0)).rejects.toMatchObject({ code: 'too-many-webhooks' })
    })

    test('belong to their account', async () => {
      const { ledger, ada, cy, hook } = await beginWithHook()
      const message = { messageId: 'a test', body: '{}' }
      expect(await ledger.testWebhook(cy.accountId, hook.webhookId, message)).toBeNull()
      const page = { before: null, limit: 1 }
      expect(await ledger.webhookMessages(cy.accountId, hook.webhookId, page)).toBeNull()
      expect(await ledger.removeWebhook(cy.accountId, hook.webhookId)).toBeNull()
      expect(await ledger.removeWebhook(ada.accountId, hook.webhookId)).toMatchObject({ url: hook.url })
      expect(await ledger.removeWebhook(ada.accountId, hook.webhookId)).toBeNull()
    })

    test('end with their account, and a renewed account has none', async () => {
      const { ledger, ada, serve, fail } = await beginWithHook()
      await fail()
      expect(await serve()).toHaveLength(1)
      await ledger.revokeAccount('ada')
      expect(await ledger.webhooksOf(ada.accountId)).toEqual([])
      expect(await serve()).toBeNull()
      await expect(ledger.createWebhook(ada.accountId, aWebhook(), bounds)).rejects.toMatchObject({
        code: 'credentials-invalid',
      })
      expect(await ledger.webhookCensus()).toEqual({ active: 0, failing: 0, disabled: 0, waiting: 0 })
    })

    test('for the whole portal are an operator’s, and end with that right', async () => {
      const { ledger, ada, cy } = await beginWithHook({ isWholePortal: true })
      const whole = aWebhook({ isWholePortal: true })
      await expect(ledger.createWebhook(cy.accountId, whole, bounds)).rejects.toMatchObject({ code: 'not-found' })
      const own = aWebhook()
      await ledger.createWebhook(ada.accountId, own, bounds)
      await ledger.setOperator('ada', false)
      expect(await ledger.webhooksOf(ada.accountId)).toMatchObject([{ webhookId: own.webhookId }])
    })
  })

  describe('messages', () => {
    test('are made of the events since the webhook was made, of its kinds and its account, each once', async () => {
      const all = await begin()
      const { ledger, ada, bob, cy } = all
      await all.store()
      const hook = aWebhook({ kinds: ['failed'] })
      await ledger.createWebhook(ada.accountId, hook, bounds)
      const foreign = aWebhook()
      await ledger.createWebhook(cy.accountId, foreign, bounds)
      const transferId = await all.store([bob, cy])
      const change = { state: 'failed', problem: problem('expired') } as const
      await ledger.moveDelivery(transferId, bob.accountId, { state: 'waiting' }, change)

      const work = await ledger.serveWebhook(hook.webhookId, service, [], null)
      expect(work).toMatchObject({ url: hook.url, secret: hook.secret, failures: 0 })
      const message = only(work?.messages ?? null)
      const [event] = (await ledger.events(ada.accountId, { after: '0', limit: 9, transferId })).slice(-1)
      expect(JSON.parse(message.body)).toEqual({
        notification: event,
        sender: 'ada',
        receivers: ['bob', 'cy'],
        isWholePortal: false,
      })
      expect(message).toMatchObject({ kind: 'failed', transferId, attempts: 0 })
      expect((await ledger.serveWebhook(hook.webhookId, service, [ok(message)], verdict))?.messages).toEqual([])
      expect((await ledger.serveWebhook(foreign.webhookId, service, [], null))?.messages).toEqual([])
    })

    test('for the whole portal are made of all accounts’ events', async () => {
      const { ledger, ada, bob, cy, store, serve, hook } = await beginWithHook({
        isWholePortal: true,
        kinds: ['stored'],
      })
      const mine = await store()
      const { transfer } = await ledger.announce(aTransfer(bob, [cy]), roomy)
      await ledger.moveTransfer(
        transfer.transferId,
        { state: 'receiving', attempt: 1 },
        { state: 'stored', manifestDigest, manifest: null },
      )
      // The second look knows what was settled at the first.
      await ledger.webhooks('here')
      expect(await ledger.webhooks('here')).toMatchObject([
        { webhookId: hook.webhookId, accountId: ada.accountId, hasWork: true },
      ])
      expect(short(await serve())).toEqual([
        ['stored', mine],
        ['stored', transfer.transferId],
      ])
    })

    test('of one transfer come one after the other, whatever becomes of the earlier ones', async () => {
      const { clock, serve, fail, log } = await beginWithHook()
      const [one, two] = [await fail(), await fail()]
      const messages = await serve()
      expect(short(messages)).toEqual([
        ['stored', one],
        ['stored', two],
      ])
      const [first, second] = messages ?? []
      if (first === undefined || second === undefined) throw new Error('no messages')
      const rest = await serve([failed(first), ok(second)], verdict)
      expect(short(rest), 'that of the other transfer').toEqual([['failed', two]])
      expect(await serve([ok(only(rest))], verdict)).toEqual([])
      clock.advance(MINUTE_MS)
      const again = await serve()
      expect(again).toMatchObject([{ messageId: first.messageId, attempts: 1, body: first.body }])
      clock.advance(keepTryingMs)
      const last = await serve([failed(only(again))], verdict)
      expect(short(last), 'once the earlier one was given up').toEqual([['failed', one]])
      await serve([ok(only(last))], verdict)
      expect((await log()).map(({ state, attempts }) => [state, attempts]).sort()).toEqual([
        ['delivered', 1],
        ['delivered', 1],
        ['delivered', 1],
        ['failed', 2],
      ])
    })

    test('are queued behind those of an earlier call', async () => {
      const { ledger, bob, store, serve, log } = await beginWithHook()
      const transferId = await store()
      const first = await serve()
      expect(short(first)).toEqual([['stored', transferId]])
      const change = { state: 'failed', problem: problem('expired') } as const
      await ledger.moveDelivery(transferId, bob.accountId, { state: 'waiting' }, change)
      expect(short(await serve()), 'the lease is its own').toEqual([['stored', transferId]])
      expect((await log()).map(({ state }) => state).sort()).toEqual(['pending', 'queued'])
      expect(short(await serve([ok(only(first))], verdict))).toEqual([['failed', transferId]])
    })

    test('are served by one portal at a time, until its lease has run out or was given back', async () => {
      const { ledger, clock, serve, fail } = await beginWithHook()
      await fail()
      const there = { portalId: 'there' }
      const isFree = async (portalId: string) => (await ledger.webhooks(portalId))[0]?.hasWork
      expect(await serve()).toHaveLength(1)
      if (ledger.traits.isShared) {
        expect(await serve([], null, there)).toBeNull()
        expect(await isFree('there')).toBe(false)
      } else {
        expect(await isFree('there'), 'a portal alone takes what its dead process had').toBe(true)
      }
      expect(await isFree('here')).toBe(false)
      clock.advance(servedMs)
      expect(await isFree('there')).toBe(true)
      expect(await serve([], null, there)).toHaveLength(1)
      expect(await isFree('there')).toBe(false)
      await serve([], null, { ...there, batchMax: 0 })
      expect(await isFree('here')).toBe(true)
    })

    test('have one outcome, however often it is told', async () => {
      const { clock, serve, fail, log, own } = await beginWithHook({ kinds: ['failed'] })
      await fail()
      const message = only(await serve())
      clock.advance(servedMs)
      expect(await serve([], null, { portalId: 'there' }), 'another portal sends it again').toHaveLength(1)
      await serve([failed(message)], { ...verdict, failures: 1 })
      await serve([failed(message)], { ...verdict, failures: 1 })
      expect(await log()).toMatchObject([{ attempts: 1, state: 'pending', status: 500, reason: 'HTTP status 500' }])
      clock.advance(MINUTE_MS)
      const again = { ...message, attempts: 1 }
      for (let count = 0; count < 2; count++) await serve([ok(again)], verdict)
      await serve([failed(again)], verdict)
      expect(await log()).toMatchObject([{ attempts: 2, state: 'delivered', status: 204, reason: null }])
      expect(await own()).toMatchObject({ openMessages: 0 })
    })

    test('rest with a webhook that fails; then one of them tries', async () => {
      const { ledger, clock, serve, store, own } = await beginWithHook({ kinds: ['stored'] })
      for (let count = 0; count < 3; count++) await store()
      const messages = (await serve()) ?? []
      expect(messages).toHaveLength(3)
      const rests = { ...verdict, failures: 1, pauseMs: 2 * MINUTE_MS }
      expect(
        await serve(
          messages.map((one) => failed(one)),
          rests,
        ),
      ).toEqual([])
      const isFree = async () => (await ledger.webhooks('here'))[0]?.hasWork
      const sinceMs = clock.nowMs
      clock.advance(2 * MINUTE_MS - 1)
      expect(await isFree()).toBe(false)
      clock.advance(1)
      expect(await isFree()).toBe(true)
      const probe = only(await serve())
      expect(await own()).toMatchObject({ failures: 1, failingSinceMs: sinceMs, openMessages: 3 })
      const far = failed(probe, 30 * MINUTE_MS)
      await serve([far], { ...verdict, failures: 2 })
      expect(await serve([], null, { batchMax: 0 }), 'a portal that stops takes none').toEqual([])
      const second = only(await serve())
      expect(second.messageId).not.toBe(probe.messageId)
      expect(await serve([ok(second)], { ...verdict, isBack: true }), 'all of them, as it is back').toHaveLength(2)
      expect(await own()).toMatchObject({ failures: 0, failingSinceMs: null, openMessages: 2 })
    })

    test('are never more than may be open: the other events wait in the log', async () => {
      const { ledger, clock, serve, store, own } = await beginWithHook({ kinds: ['stored'] })
      const all: string[] = []
      for (let count = 0; count < 7; count++) all.push(await store())
      const few = { openMax: 3 }
      const messages = (await serve([], null, few)) ?? []
      expect(await own()).toMatchObject({ openMessages: 3 })
      await serve(
        messages.map((one) => failed(one)),
        verdict,
        few,
      )
      expect((await ledger.webhooks('here'))[0]?.hasWork, 'nothing can be done').toBe(false)
      clock.advance(MINUTE_MS)
      const sent: (string | null)[] = []
      let due = await serve([], null, few)
      while (due !== null && due.length > 0) {
        sent.push(...due.map(({ transferId }) => transferId))
        due = await serve(due.map(ok), verdict, few)
      }
      expect(sent).toEqual(all)
    })

    test('are given up with a webhook that wants no more', async () => {
      const { ledger, ada, serve, fail, own, log } = await beginWithHook()
      await fail()
      const message = only(await serve())
      expect(await serve([failed(message)], { ...verdict, disabledFor: 'gone' })).toBeNull()
      expect(await own()).toMatchObject({ disabledAtMs: expect.any(Number), reason: 'gone', openMessages: 0 })
      expect((await log()).map(({ state }) => state)).toEqual(['failed', 'failed'])
      await fail()
      expect(await ledger.webhooks('here')).toEqual([])
      expect(await serve()).toBeNull()
      const webhookId = (await own())?.webhookId ?? ''
      await expect(ledger.testWebhook(ada.accountId, webhookId, { messageId: 'm', body: '' })).rejects.toMatchObject({
        code: 'webhook-disabled',
      })
      expect(await ledger.webhookCensus()).toEqual({ active: 0, failing: 0, disabled: 1, waiting: 0 })
    })

    test('of tests come first, also while the webhook rests, and are tried once', async () => {
      const { ledger, ada, serve, fail, hook, log } = await beginWithHook({ kinds: ['failed'] })
      await fail()
      const first = only(await serve())
      await serve([failed(first)], { ...verdict, failures: 1, pauseMs: MINUTE_MS })
      const ask = (messageId: string) =>
        ledger.testWebhook(ada.accountId, hook.webhookId, { messageId, body: '{"type":"webhook.test"}' })
      expect(await ask('one')).toMatchObject({ messageId: 'one', kind: 'test', transferId: null, state: 'pending' })
      expect(await ask('one')).toMatchObject({ messageId: 'one' })
      expect(await ask('two'), 'one at a time').toMatchObject({ messageId: 'one' })
      const due = only(await serve())
      expect(due).toMatchObject({ messageId: 'one', body: '{"type":"webhook.test"}' })
      await serve([failed(due)], verdict)
      expect(await log()).toMatchObject([{ messageId: 'one', state: 'failed', attempts: 1 }, { state: 'pending' }])
      expect(await ask('one'), 'its outcome').toMatchObject({ state: 'failed' })
    })

    test('are listed page by page, and forgotten after a while', async () => {
      const { ledger, ada, clock, serve, store, hook, log } = await beginWithHook({ kinds: ['stored'] })
      for (let count = 0; count < 5; count++) await store()
      const messages = (await serve()) ?? []
      const all = (await log()).map(({ messageId }) => messageId)
      expect(all).toEqual(messages.map(({ messageId }) => messageId).reverse())
      const pages: string[] = []
      for (let before: string | null = null; ; ) {
        const page = await ledger.webhookMessages(ada.accountId, hook.webhookId, { before, limit: 2 })
        pages.push(...(page ?? []).map(({ messageId }) => messageId))
        before = page?.at(-1)?.messageId ?? null
        if (before === null) break
      }
      expect(pages).toEqual(all)
      await serve(messages.slice(1).map(ok), verdict)
      clock.advance(MINUTE_MS)
      expect(await ledger.pruneWebhookMessages(MINUTE_MS, 3)).toBe(3)
      expect(await ledger.pruneWebhookMessages(MINUTE_MS, 3)).toBe(1)
      expect(await log(), 'what waits is kept').toMatchObject([{ state: 'pending' }])
    })
  })
}
