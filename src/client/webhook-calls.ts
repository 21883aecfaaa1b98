/** The requests about webhooks. They throw like those of `PortalClient`, and each can be repeated. */
import {
  type NewWebhook,
  Webhook,
  WebhookList,
  WebhookLog,
  WebhookMessage,
  type WebhookTest,
} from '../protocol/index.ts'
import type { AskJson, CallOptions } from './calls.ts'
import { query } from './paths.ts'

export class WebhookCalls {
  readonly #ask: AskJson

  constructor(ask: AskJson) {
    this.#ask = ask
  }

  /** @throws RemoteProblem `webhook-refused`, `too-many-webhooks`, `webhook-conflict`; `not-found` for the whole portal */
  make(webhook: NewWebhook, options?: CallOptions): Promise<Webhook> {
    return this.#ask('POST', '/v1/webhooks', Webhook, webhook, options)
  }

  /** The webhooks of this account, oldest first. */
  list(options?: CallOptions): Promise<WebhookList> {
    return this.#ask('GET', '/v1/webhooks', WebhookList, undefined, options)
  }

  /** @throws RemoteProblem `not-found`, also to a repetition */
  remove(webhookId: string, options?: CallOptions): Promise<Webhook> {
    return this.#ask('DELETE', `/v1/webhooks/${webhookId}`, Webhook, undefined, options)
  }

  /** Makes a test, or asks for its outcome by the same id. @throws RemoteProblem `not-found`, `webhook-disabled` */
  test(webhookId: string, test: WebhookTest, options?: CallOptions): Promise<WebhookMessage> {
    return this.#ask('POST', `/v1/webhooks/${webhookId}/test`, WebhookMessage, test, options)
  }

  /** The newest messages, newest first; `before` is the last page's `before`. @throws RemoteProblem `not-found` */
  messages(
    webhookId: string,
    page: { before?: string; limit?: number } = {},
    options?: CallOptions,
  ): Promise<WebhookLog> {
    return this.#ask('GET', `/v1/webhooks/${webhookId}/messages${query(page)}`, WebhookLog, undefined, options)
  }
}
