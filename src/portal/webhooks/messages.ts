/** What a webhook is told. Bodies have no names of files: of a sealed file the portal knows none, and of others it tells none. */
import { isProblemCode, type Notification, Problem, type ProblemJson } from '../../protocol/index.ts'
import type { WebhookEvent } from '../ledger/webhooks-contract.ts'

export const TEST_TYPE = 'webhook.test'

/** The type of a message about a notification. */
export function typeOf(kind: Notification['notification']): string {
  return `transfer.${kind}`
}

/** The body of a message about an event. */
export function bodyOf({ notification, sender, receivers, isWholePortal }: WebhookEvent): string {
  const told = isWholePortal ? forOperator(notification) : notification
  return JSON.stringify({
    type: typeOf(notification.notification),
    timestamp: notification.at,
    data: { ...told, from: sender, to: receivers },
  })
}

export function testBodyOf(webhookId: string, at: string): string {
  return JSON.stringify({ type: TEST_TYPE, timestamp: at, data: { webhookId } })
}

/** An operator sees neither the words of other people nor their receipts, which identify contents. */
function forOperator(notification: Notification): object {
  const { eventId, at, transferId, attempt } = notification
  return {
    eventId,
    at,
    transferId,
    attempt,
    notification: notification.notification,
    ...('receiver' in notification ? { receiver: notification.receiver } : {}),
    ...('problem' in notification ? { problem: plainProblem(notification.problem) } : {}),
  }
}

/** Only what this portal's own table says about the code, because a receiver may write anything into a problem. */
function plainProblem({ code }: Pick<ProblemJson, 'code'>): object {
  if (!isProblemCode(code)) return { code }
  const { type, title, status } = new Problem(code).toJSON()
  return { type, title, status, code }
}
