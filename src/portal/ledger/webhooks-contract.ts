/**
 * The part of the ledger's contract about webhooks.
 *
 * The move of a transfer writes nothing for webhooks. Each webhook has a cursor in the log of events, and its portal makes messages of
 * the events behind the cursor, in one transaction with the cursor's move. So an event becomes exactly one message, whatever crashes,
 * and a transfer costs nothing more where there are no webhooks.
 *
 * One portal at a time serves a webhook, because it takes a lease with the work. Messages of one transfer are sent in the order of
 * its events: a later one is `queued` until the earlier one has ended.
 */
import type { Notification, NotificationKind } from '../../protocol/index.ts'

/** The event of a test, which belongs to no transfer. */
export const TEST_KIND = 'test'

export interface NewWebhookRecord {
  readonly webhookId: string
  readonly url: string
  readonly kinds: readonly NotificationKind[]
  /** Kept as it is: without it no message could be signed. */
  readonly secret: string
  /** Whether it gets the events of all accounts. Then its account is an operator's. */
  readonly isWholePortal: boolean
}

export interface WebhookRecord extends Omit<NewWebhookRecord, 'secret'> {
  readonly accountId: number
  readonly createdAtMs: number
  /** Messages without an outcome. */
  readonly openMessages: number
  /** How many tries in a row have failed, and since when. */
  readonly failures: number
  readonly failingSinceMs: number | null
  /** Null while it is active. */
  readonly disabledAtMs: number | null
  readonly reason: string | null
}

export interface WebhookMessageRecord {
  readonly messageId: string
  readonly kind: NotificationKind | typeof TEST_KIND
  readonly transferId: string | null
  /** `queued`: behind an earlier message of the same transfer. */
  readonly state: 'queued' | 'pending' | 'delivered' | 'failed'
  readonly createdAtMs: number
  readonly attempts: number
  readonly triedAtMs: number | null
  readonly nextAtMs: number
  readonly endedAtMs: number | null
  /** Of the last answer. */
  readonly status: number | null
  readonly reason: string | null
}

/** An event that a webhook is told. */
export interface WebhookEvent {
  readonly notification: Notification
  readonly sender: string
  readonly receivers: readonly string[]
  readonly isWholePortal: boolean
}

/** A message that is to be sent now. */
export interface DueMessage {
  readonly messageId: string
  readonly kind: WebhookMessageRecord['kind']
  readonly transferId: string | null
  /** What is signed and sent. */
  readonly body: string
  /** How often it was tried before. */
  readonly attempts: number
}

/** The result of a try. */
export type WebhookOutcome = Pick<DueMessage, 'messageId' | 'attempts'> &
  (
    | { readonly result: 'delivered'; readonly status: number }
    | {
        readonly result: 'failed'
        readonly status: number | null
        readonly reason: string
        /** When it is tried again, if there is time left for it. */
        readonly retryInMs: number
        /** For how long the receiver wants nothing at all; 0 when it does not say. */
        readonly retryAfterMs: number
      }
  )

/** What the tries say about the webhook as a whole. */
export interface WebhookVerdict {
  readonly failures: number
  /** How long nothing is sent; 0 to continue. */
  readonly pauseMs: number
  /** Whether the address answers again after it was away: then everything that was put off is due. */
  readonly isBack: boolean
  /** Why nothing is to be sent any more; null to continue. */
  readonly disabledFor: string | null
}

export interface WebhookService {
  readonly portalId: string
  /** For how long no other portal serves the webhook. Longer than a try takes. */
  readonly leaseMs: number
  /** How many messages a webhook may have open. Further events wait in the log. */
  readonly openMax: number
  /** How many messages are taken at a time; 0 to take none, and give the lease back. A failing webhook gets one. */
  readonly batchMax: number
  /** For how long a message is tried, from its event on. */
  readonly keepTryingMs: number
  /** Makes the body of a message. Perhaps called several times for one event. */
  readonly bodyOf: (event: WebhookEvent) => string
}

/** The work on a webhook. */
export interface WebhookWork {
  readonly url: string
  readonly secret: string
  readonly failures: number
  /** Empty when nothing is due: then the lease was given back. */
  readonly messages: readonly DueMessage[]
}

/** An active webhook, as the worker looks for work. */
export interface WebhookLook {
  readonly webhookId: string
  readonly accountId: number
  readonly isWholePortal: boolean
  /** Whether it has events or messages that are due, and no portal serves it. */
  readonly hasWork: boolean
}

export interface WebhookCensus {
  readonly active: number
  readonly failing: number
  readonly disabled: number
  /** Messages that have been made and have no outcome yet. */
  readonly waiting: number
}

export interface WebhookLedger {
  /**
   * Makes a webhook for the events of an account from now on. The same webhook again changes nothing.
   *
   * @throws Problem `credentials-invalid` (the account was revoked meanwhile), `webhook-conflict`, `too-many-webhooks`; `not-found` for
   *   the whole portal, if the account is no operator's
   */
  createWebhook(accountId: number, webhook: NewWebhookRecord, bounds: { webhooksMax: number }): Promise<WebhookRecord>

  /** The webhooks of an account, oldest first. */
  webhooksOf(accountId: number): Promise<WebhookRecord[]>

  /** Removes a webhook with its messages. @returns null when the account has no such webhook */
  removeWebhook(accountId: number, webhookId: string): Promise<WebhookRecord | null>

  /**
   * Makes a message that tests a webhook. It is tried once, soon. While another test waits, that one is the answer.
   *
   * @returns null when the account has no such webhook
   * @throws Problem `webhook-disabled`
   */
  testWebhook(
    accountId: number,
    webhookId: string,
    test: { messageId: string; body: string },
  ): Promise<WebhookMessageRecord | null>

  /** The newest messages of a webhook, or those before the message `before`. @returns null when the account has no such webhook */
  webhookMessages(
    accountId: number,
    webhookId: string,
    page: { before: string | null; limit: number },
  ): Promise<WebhookMessageRecord[] | null>

  /** The active webhooks, those that were served longest ago first. */
  webhooks(portalId: string): Promise<WebhookLook[]>

  /**
   * Records outcomes, makes messages of further events, and takes the next messages that are due, all in one transaction.
   *
   * @param outcomes are recorded once, even if the call is repeated, and even if another portal serves the webhook by now
   * @param verdict null for the first call of a run
   * @returns null when the webhook is removed or disabled, or when another portal serves it
   */
  serveWebhook(
    webhookId: string,
    service: WebhookService,
    outcomes: readonly WebhookOutcome[],
    verdict: WebhookVerdict | null,
  ): Promise<WebhookWork | null>

  /** Deletes messages that ended more than `keepMs` ago. @returns how many */
  pruneWebhookMessages(keepMs: number, limit: number): Promise<number>

  webhookCensus(): Promise<WebhookCensus>
}
