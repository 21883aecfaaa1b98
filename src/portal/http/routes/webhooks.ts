/** `/v1/webhooks`: addresses to which the portal sends the notifications of an account. */
import { Type } from 'typebox'
import {
  MessageId,
  NewWebhook,
  Problem,
  TransferId,
  Webhook,
  WebhookList,
  WebhookLog,
  WebhookMessage,
  WebhookTest,
  webhookMessagesPerPageMax,
} from '../../../protocol/index.ts'
import { refusal } from '../../monitoring/audit.ts'
import { topics } from '../../signals/index.ts'
import { timestamp } from '../../views.ts'
import { WebhookAddresses } from '../../webhooks/addresses.ts'
import { testBodyOf } from '../../webhooks/messages.ts'
import { messageOf, webhookOf } from '../../webhooks/views.ts'
import { type App, accountOf, audit, type Services } from '../app.ts'
import { countOf, countText } from '../openapi/parameters.ts'

const tags = ['webhooks']
const params = Type.Object({ webhookId: TransferId })

export function webhookRoutes(app: App, services: Services): void {
  const { ledger, options, signals } = services.context
  const addresses = new WebhookAddresses(options.webhookNetworks)

  app.post(
    '/v1/webhooks',
    {
      schema: {
        operationId: 'makeWebhook',
        summary: 'Make a webhook for notifications from now on; again with the same, get the same answer',
        tags,
        body: NewWebhook,
        response: { 200: Webhook },
        problems: ['webhook-refused', 'webhook-conflict', 'too-many-webhooks', 'not-found'],
      },
    },
    async (request) => {
      const account = accountOf(request)
      const { webhookId, on, secret, isWholePortal = false } = request.body
      const url = addresses.checked(request.body.url)
      const webhook = { webhookId, url, kinds: [...new Set(on)].sort(), secret, isWholePortal }
      const bounds = { webhooksMax: options.accountWebhooksMax }
      const made = await ledger.createWebhook(account.accountId, webhook, bounds).catch((error: unknown) => {
        if (!(error instanceof Problem) || error.code !== 'not-found') throw error
        throw refusal('not-found', 'access-denied', { resource: 'webhooks for the whole portal' })
      })
      signals.publish(topics.webhooks)
      audit(services, request, 'webhook-made', account.name, { webhookId, host: new URL(url).host, isWholePortal })
      return webhookOf(made)
    },
  )

  app.get(
    '/v1/webhooks',
    {
      schema: {
        operationId: 'listWebhooks',
        summary: 'The webhooks of the account, oldest first',
        tags,
        response: { 200: WebhookList },
      },
    },
    async (request) => ({ webhooks: (await ledger.webhooksOf(accountOf(request).accountId)).map(webhookOf) }),
  )

  app.delete(
    '/v1/webhooks/:webhookId',
    {
      schema: {
        operationId: 'removeWebhook',
        summary: 'Remove a webhook: nothing is sent any more, not even what waits',
        tags,
        params,
        response: { 200: Webhook },
        problems: ['not-found'],
      },
    },
    async (request) => {
      const account = accountOf(request)
      const { webhookId } = request.params
      const removed = await ledger.removeWebhook(account.accountId, webhookId)
      if (removed === null) throw new Problem('not-found')
      audit(services, request, 'webhook-removed', account.name, { webhookId })
      return webhookOf(removed)
    },
  )

  app.post(
    '/v1/webhooks/:webhookId/test',
    {
      schema: {
        operationId: 'testWebhook',
        summary: 'Send a message of the type `webhook.test`, once; the log has its outcome',
        tags,
        params,
        body: WebhookTest,
        response: { 200: WebhookMessage },
        problems: ['not-found', 'webhook-disabled'],
      },
    },
    async (request) => {
      const { accountId } = accountOf(request)
      const { webhookId } = request.params
      const messageId = `msg_${plain(webhookId)}_${plain(request.body.testId)}`
      const body = testBodyOf(webhookId, timestamp(ledger.nowMs()))
      const made = await ledger.testWebhook(accountId, webhookId, { messageId, body })
      if (made === null) throw new Problem('not-found')
      signals.publish(topics.webhooks)
      return messageOf(made)
    },
  )

  app.get(
    '/v1/webhooks/:webhookId/messages',
    {
      schema: {
        operationId: 'listWebhookMessages',
        summary: 'The newest messages to a webhook, page by page',
        tags,
        params,
        querystring: Type.Object(
          {
            limit: Type.Optional(countText(webhookMessagesPerPageMax, webhookMessagesPerPageMax)),
            before: Type.Optional(MessageId),
          },
          { additionalProperties: false },
        ),
        response: { 200: WebhookLog },
        problems: ['not-found'],
      },
    },
    async (request) => {
      const { accountId } = accountOf(request)
      const { limit: asked, before = null } = request.query
      const limit = countOf(asked, webhookMessagesPerPageMax, webhookMessagesPerPageMax)
      const found = await ledger.webhookMessages(accountId, request.params.webhookId, { before, limit })
      if (found === null) throw new Problem('not-found')
      return { messages: found.map(messageOf), before: found.length < limit ? null : (found.at(-1)?.messageId ?? null) }
    },
  )
}

function plain(uuid: string): string {
  return uuid.replaceAll('-', '')
}
