/** Webhooks and their messages as their account sees them. */
import type { Webhook, WebhookMessage } from '../../protocol/index.ts'
import { TEST_KIND, type WebhookMessageRecord, type WebhookRecord } from '../ledger/webhooks-contract.ts'
import { timestamp } from '../views.ts'
import { TEST_TYPE, typeOf } from './messages.ts'

export function webhookOf(record: WebhookRecord): Webhook {
  const { webhookId, url, kinds, isWholePortal, createdAtMs, openMessages, failures } = record
  const { failingSinceMs, disabledAtMs, reason } = record
  return {
    webhookId,
    url,
    on: [...kinds],
    isWholePortal,
    state: disabledAtMs !== null ? 'disabled' : failures > 0 ? 'failing' : 'active',
    createdAt: timestamp(createdAtMs),
    waitingCount: openMessages,
    ...(failingSinceMs === null ? {} : { failingSince: timestamp(failingSinceMs) }),
    ...(disabledAtMs === null ? {} : { disabledAt: timestamp(disabledAtMs) }),
    ...(reason === null ? {} : { reason }),
  }
}

export function messageOf(record: WebhookMessageRecord): WebhookMessage {
  const { messageId, kind, transferId, state, createdAtMs, attempts, triedAtMs, nextAtMs, endedAtMs } = record
  const { status, reason } = record
  return {
    messageId,
    type: kind === TEST_KIND ? TEST_TYPE : typeOf(kind),
    transferId,
    state: state === 'delivered' || state === 'failed' ? state : 'waiting',
    createdAt: timestamp(createdAtMs),
    attempts,
    ...(triedAtMs === null ? {} : { triedAt: timestamp(triedAtMs) }),
    ...(state === 'pending' ? { nextAt: timestamp(Math.max(nextAtMs, createdAtMs)) } : {}),
    ...(endedAtMs === null ? {} : { endedAt: timestamp(endedAtMs) }),
    ...(status === null ? {} : { status }),
    ...(reason === null ? {} : { reason }),
  }
}
