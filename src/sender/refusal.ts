import { conforms, Notification, type ProblemJson } from '../protocol/index.ts'
import type { SenderNotification } from './events.ts'

/**
 * The notification in a problem that refuses a transfer. Where the portal recorded it, the problem carries its
 * `eventId`, `at` and `attempt`; otherwise it is one that never got into the log.
 */
export function refusalOf(transferId: string, problem: ProblemJson): SenderNotification {
  const { eventId, at, attempt, transferId: _, ...own } = problem
  const logged = { notification: 'refused', eventId, at, attempt, transferId, problem: own }
  if (conforms(Notification, logged)) return logged
  return { notification: 'refused', transferId, at: new Date().toISOString(), problem }
}

/** Whether it got into the log, so that it may come by the event stream as well. */
export function isLogged(notification: SenderNotification): notification is Notification {
  return 'eventId' in notification
}
