/**
 * Webhooks: an account gives the portal an address, and the portal sends its notifications there. They are signed by the scheme of
 * Standard Webhooks (https://www.standardwebhooks.com), so that receivers verify them with a library of their language.
 */
import * as Type from 'typebox'
import { webhookUrlLengthMax } from './limits.ts'
import { closed, type NotificationKind, Timestamp, TransferId } from './messages.ts'

/** The notifications that a webhook can be for. */
export const webhookKinds = ['stored', 'resend', 'refused', 'delivered', 'failed'] as const satisfies NotificationKind[]

/** Whether a text names a notification. */
export function isWebhookKind(text: string): text is NotificationKind {
  return (webhookKinds as readonly string[]).includes(text)
}

const SECRET_PREFIX = 'whsec_'
/** What Standard Webhooks recommends: from 24 to 64 random bytes. */
const SECRET_BYTES = 32
const SECRET = `^${SECRET_PREFIX}(?:[A-Za-z0-9+/]{4}){8,21}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$`

/** A new secret: `whsec_` and the base64 of 32 random bytes. */
export function newWebhookSecret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES))
  return `${SECRET_PREFIX}${btoa(String.fromCharCode(...bytes))}`
}

/** Whether a text has the form of a secret. */
export const isWebhookSecret = (text: string): boolean => new RegExp(SECRET).test(text)

/** A kind that is named twice counts once: `uniqueItems` would compare items before it counts them. */
const Kinds = Type.Array(Type.Enum(webhookKinds), { minItems: 1, maxItems: webhookKinds.length })

/** Body of `POST /v1/webhooks`. The account makes id and secret, so that the portal recognises a repetition. */
export const NewWebhook = Type.Object(
  {
    /** UUIDv7. */
    webhookId: TransferId,
    url: Type.String({ minLength: 1, maxLength: webhookUrlLengthMax }),
    on: Kinds,
    secret: Type.String({ pattern: SECRET }),
    /** Whether it is for the transfers of all accounts. Only operators may have such a webhook. */
    isWholePortal: Type.Optional(Type.Boolean()),
  },
  closed,
)
export type NewWebhook = Type.Static<typeof NewWebhook>

/**
 * - `active`: the last try reached it, or there was none.
 * - `failing`: the last tries failed. The portal tries again, less and less often.
 * - `disabled`: nothing is sent any more, for the `reason`.
 */
export const webhookStates = ['active', 'failing', 'disabled'] as const

/** A webhook as its account sees it. The secret is told to nobody. */
export const Webhook = Type.Object({
  webhookId: TransferId,
  url: Type.String(),
  on: Type.Array(Type.Enum(webhookKinds)),
  isWholePortal: Type.Boolean(),
  state: Type.Enum(webhookStates),
  createdAt: Timestamp,
  /** Messages that have been made and wait for a try. */
  waitingCount: Type.Integer({ minimum: 0 }),
  /** Since when every try failed. */
  failingSince: Type.Optional(Timestamp),
  disabledAt: Type.Optional(Timestamp),
  reason: Type.Optional(Type.String()),
})
export type Webhook = Type.Static<typeof Webhook>

/** Answer of `GET /v1/webhooks`, oldest first. */
export const WebhookList = Type.Object({ webhooks: Type.Array(Webhook) })
export type WebhookList = Type.Static<typeof WebhookList>

/** Body of `POST /v1/webhooks/{webhookId}/test`. The id is made by the account. */
export const WebhookTest = Type.Object({ testId: TransferId }, closed)
export type WebhookTest = Type.Static<typeof WebhookTest>

/** The `webhook-id` of a message. The same for every try. */
export const MessageId = Type.String({ pattern: '^msg_[0-9a-f]{32}_[0-9a-f]{1,32}$' })

/** A message to a webhook, in its log. */
export const WebhookMessage = Type.Object({
  messageId: MessageId,
  /** `transfer.delivered` and the like; `webhook.test`. */
  type: Type.String(),
  /** Null for a test. */
  transferId: Type.Union([TransferId, Type.Null()]),
  /** `waiting`; `delivered`, once it was answered with a status from 200 to 299; `failed`, once the portal has given it up. */
  state: Type.Enum(['waiting', 'delivered', 'failed']),
  createdAt: Timestamp,
  attempts: Type.Integer({ minimum: 0 }),
  /** When it was last tried. */
  triedAt: Type.Optional(Timestamp),
  /** When it is tried next, at the earliest. A message behind an earlier one of its transfer has none. */
  nextAt: Type.Optional(Timestamp),
  endedAt: Type.Optional(Timestamp),
  /** The HTTP status of the last answer. */
  status: Type.Optional(Type.Integer()),
  /** Why the last try failed. */
  reason: Type.Optional(Type.String()),
})
export type WebhookMessage = Type.Static<typeof WebhookMessage>

/** Answer of `GET /v1/webhooks/{webhookId}/messages`, newest first. `before` asks for the next page, and is null on the last one. */
export const WebhookLog = Type.Object({
  messages: Type.Array(WebhookMessage),
  before: Type.Union([MessageId, Type.Null()]),
})
export type WebhookLog = Type.Static<typeof WebhookLog>
