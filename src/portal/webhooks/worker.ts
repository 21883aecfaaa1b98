/**
 * Sends webhooks: finds those with work, and serves several at a time, each batch by batch. The ledger decides what is due and who
 * serves, so any number of portals may run, and a crash loses nothing: at worst a message is sent once more.
 *
 * Without webhooks it asks the ledger every ten seconds, and nothing else. With webhooks it subscribes to the events of their
 * accounts.
 */
import { retry, sleep } from '../../async/index.ts'
import { Problem, timerMs } from '../../protocol/index.ts'
import type { PortalContext } from '../context.ts'
import type {
  DueMessage,
  WebhookLook,
  WebhookOutcome,
  WebhookService,
  WebhookVerdict,
  WebhookWork,
} from '../ledger/webhooks-contract.ts'
import { topics, Waiter } from '../signals/index.ts'
import { bodyOf } from './messages.ts'
import { retryInMs, verdictOf } from './policy.ts'
import type { WebhookAnswer, WebhookRequests } from './request.ts'

/** How often it looks while there is no webhook. A new one wakes it. */
const IDLE_LOOK_MS = 10_000
/** The shortest pause between two looks, so that a portal with many events tells them in batches. */
const LOOK_PAUSE_MS = 50
/** Webhooks that are served at a time: in all, and of one account, because an account may own receivers that never answer. */
const AT_ONCE_MAX = 128
const ACCOUNT_AT_ONCE_MAX = 4
/** Messages of a webhook that are on their way at a time. */
const BATCH_MAX = 8
/** After so many batches a webhook goes to the end of the queue. */
const BATCHES_MAX = 16
/** How many messages a webhook may have open. Further events wait in the log, where they cost nothing. */
const OPEN_MAX = 1_000
/** A lease lasts this much longer than a try. */
const LEASE_MARGIN_MS = 15_000
const LEDGER_RETRY_MS = 1_000
/** How long a portal that stops waits for receivers, besides the time that it gives its clients. */
const STOP_MS_MAX = 2_000

export class WebhookWorker {
  readonly #context: PortalContext
  readonly #requests: WebhookRequests
  readonly #waiter: Waiter
  readonly #running = new Map<string, { readonly accountId: number; readonly end: Promise<void> }>()
  /** accountId -> ends the subscription to its events */
  readonly #subscriptions = new Map<number, () => void>()
  readonly #stop = new AbortController()
  /** Aborts requests that do not end in time when the portal stops. */
  readonly #cut = new AbortController()
  #watching: Promise<void> = Promise.resolve()

  constructor(context: PortalContext, requests: WebhookRequests) {
    this.#context = context
    this.#requests = requests
    this.#waiter = new Waiter(context.signals, topics.webhooks)
  }

  start(): void {
    this.#watching = this.#watch()
  }

  /** Stops. Messages on their way may still be answered for a moment; the others are sent again later. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#watching
    const cut = setTimeout(() => this.#cut.abort(), timerMs(Math.min(STOP_MS_MAX, this.#context.options.stopMs)))
    await Promise.all([...this.#running.values()].map(({ end }) => end))
    clearTimeout(cut)
    for (const unsubscribe of this.#subscriptions.values()) unsubscribe()
    this.#waiter[Symbol.dispose]()
  }

  async #watch(): Promise<void> {
    const { options, log } = this.#context
    const { signal } = this.#stop
    while (!signal.aborted) {
      let lookMs = IDLE_LOOK_MS
      try {
        if (await this.#look()) lookMs = options.webhookLookMs
      } catch (error) {
        log.error({ err: error }, 'webhooks could not be read; retrying soon')
      }
      await sleep(LOOK_PAUSE_MS, signal).catch(() => {})
      await this.#waiter.wait(lookMs, signal)
    }
  }

  /** Begins to serve the webhooks with work. @returns whether there is any webhook */
  async #look(): Promise<boolean> {
    const { ledger, portalId } = this.#context
    const looks = await ledger.webhooks(portalId)
    this.#subscribe(looks)
    for (const { webhookId, accountId, hasWork } of looks) {
      if (!hasWork || this.#running.has(webhookId) || !this.#hasRoom(accountId)) continue
      const end = this.#serve(webhookId).finally(() => {
        this.#running.delete(webhookId)
        this.#waiter.wake()
      })
      this.#running.set(webhookId, { accountId, end })
    }
    return looks.length > 0
  }

  #hasRoom(accountId: number): boolean {
    if (this.#running.size >= AT_ONCE_MAX) return false
    const own = [...this.#running.values()].filter((one) => one.accountId === accountId)
    return own.length < ACCOUNT_AT_ONCE_MAX
  }

  /** Events of the whole portal have no topic of their own: they are found by looking. */
  #subscribe(looks: readonly WebhookLook[]): void {
    const { signals } = this.#context
    const accountIds = new Set(looks.filter((one) => !one.isWholePortal).map(({ accountId }) => accountId))
    const wake = (): void => this.#waiter.wake()
    for (const accountId of accountIds) {
      if (this.#subscriptions.has(accountId)) continue
      this.#subscriptions.set(accountId, signals.subscribe(topics.events(accountId), wake, wake))
    }
    for (const [accountId, unsubscribe] of this.#subscriptions) {
      if (accountIds.has(accountId)) continue
      unsubscribe()
      this.#subscriptions.delete(accountId)
    }
  }

  async #serve(webhookId: string): Promise<void> {
    const { log } = this.#context
    try {
      let outcomes: WebhookOutcome[] = []
      let verdict: WebhookVerdict | null = null
      for (let batches = 0; ; batches++) {
        const isLast = batches >= BATCHES_MAX || this.#stop.signal.aborted
        const work: WebhookWork | null = await this.#next(webhookId, isLast ? 0 : BATCH_MAX, outcomes, verdict)
        if (work === null || work.messages.length === 0) return
        outcomes = await this.#send(work)
        // Tries that were cut say nothing about the webhook.
        verdict = outcomes.length === 0 ? null : verdictOf(work.failures, outcomes, this.#context.options)
        this.#tell(webhookId, outcomes, verdict)
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) log.error({ err: error, webhookId }, 'a webhook could not be served')
    }
  }

  /** Records outcomes, and takes the next work. Tried until the ledger answers, so that no message is sent again for its absence. */
  #next(
    webhookId: string,
    batchMax: number,
    outcomes: readonly WebhookOutcome[],
    verdict: WebhookVerdict | null,
  ): Promise<WebhookWork | null> {
    const { ledger, portalId, options } = this.#context
    const service: WebhookService = {
      portalId,
      leaseMs: options.webhookTimeoutMs + LEASE_MARGIN_MS,
      openMax: OPEN_MAX,
      batchMax,
      keepTryingMs: options.webhookKeepTryingMs,
      bodyOf,
    }
    return retry(() => ledger.serveWebhook(webhookId, service, outcomes, verdict), {
      delayMs: (error) => {
        const isAway = error instanceof Problem && error.code === 'unavailable'
        if (!isAway || this.#stop.signal.aborted) throw error
        return LEDGER_RETRY_MS
      },
    })
  }

  async #send({ url, secret, messages }: WebhookWork): Promise<WebhookOutcome[]> {
    // Only a portal with webhooks loads it.
    const { Webhook } = await import('standardwebhooks')
    const signer = new Webhook(secret)
    const outcomes = await Promise.all(
      messages.map(async (message): Promise<WebhookOutcome | null> => {
        const at = new Date(this.#context.ledger.nowMs())
        const headers = {
          'user-agent': 'GoLooader',
          'webhook-id': message.messageId,
          'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
          'webhook-signature': signer.sign(message.messageId, at, message.body),
        }
        const answer = await this.#requests.post(url, headers, message.body, this.#cut.signal)
        return answer === null ? null : this.#outcomeOf(message, answer)
      }),
    )
    return outcomes.filter((one) => one !== null)
  }

  #outcomeOf({ messageId, attempts }: DueMessage, answer: WebhookAnswer): WebhookOutcome {
    const { status, reason } = answer
    if (reason === null) return { messageId, attempts, result: 'delivered', status: status ?? 0 }
    const retryAfterMs = answer.retryAfterMs ?? 0
    const retryMs = Math.max(retryAfterMs, retryInMs(attempts + 1, this.#context.options))
    return { messageId, attempts, result: 'failed', status, reason, retryInMs: retryMs, retryAfterMs }
  }

  #tell(webhookId: string, outcomes: readonly WebhookOutcome[], verdict: WebhookVerdict | null): void {
    const { metrics, log, audit } = this.#context
    for (const { result } of outcomes) metrics.webhookTries.inc({ result })
    const failed = outcomes.find((one) => one.result === 'failed')
    if (failed?.result === 'failed') {
      const { status, reason } = failed
      log.info({ webhookId, status, reason, failures: verdict?.failures }, 'a webhook was not accepted')
    }
    if (verdict?.disabledFor != null) audit.write('webhook-disabled', { webhookId, reason: verdict.disabledFor })
  }
}
