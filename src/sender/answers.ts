/** What the portal's answers mean for a transfer. */
import { isAboutToken, RemoteProblem } from '../client/index.ts'
import { conforms, Notification, Problem, type ProblemJson, type TransferStatus } from '../protocol/index.ts'
import type { SenderNotification } from './events.ts'

/** The parts that the portal holds: part number -> digest in hex. */
export function heldBy({ parts }: TransferStatus): ReadonlyMap<number, string> {
  return new Map(parts.map(({ partNumber, digest }) => [partNumber, digest]))
}

/** Whether the transfer ended without being stored. */
export function isLost({ state }: TransferStatus): boolean {
  return state === 'refused' || state === 'cancelled' || state === 'expired'
}

/** Why it ended. */
export function lossOf({ state, notifications }: TransferStatus): ProblemJson {
  const refused = notifications.findLast(({ notification }) => notification === 'refused')
  if (refused?.notification === 'refused') return refused.problem
  return new Problem('transfer-closed', { state }).toJSON()
}

/** Whether the portal says that it does not know the transfer. */
export function isUnknown(error: unknown): error is RemoteProblem {
  return error instanceof RemoteProblem && error.code === 'not-found'
}

/**
 * Whether the portal will never accept an announced transfer, although it may accept the same file as another transfer. A portal
 * that no longer offers a digest algorithm refuses it only for unknown transfers; known ones continue.
 */
export function isOver({ next, code }: RemoteProblem): boolean {
  return next === 'refused' || code === 'not-found' || code === 'digest-unsupported-algorithm'
}

/** Whether the refusal concerns the account, so that every other file would be refused, too. */
export function isAboutAccount(error: RemoteProblem): boolean {
  return isAboutToken(error)
}

/**
 * The notification for a problem that refuses a transfer. If the portal logged it, the problem carries its `eventId`, `at` and
 * `attempt`; otherwise the notification has none of them.
 */
export function refusalOf(transferId: string, problem: ProblemJson): SenderNotification {
  const { eventId, at, attempt, transferId: _, ...own } = problem
  const logged = { notification: 'refused', eventId, at, attempt, transferId, problem: own }
  if (conforms(Notification, logged)) return logged
  return { notification: 'refused', transferId, at: new Date().toISOString(), problem }
}

/** Whether the portal logged a notification, so that it may also come by the event stream. */
export function isLogged(notification: SenderNotification): notification is Notification {
  return 'eventId' in notification
}
