/** What the portal's answers mean for a transfer. */
import type { RemoteProblem } from '../client/index.ts'
import { type Notification, Problem, type ProblemJson, type TransferStatus } from '../protocol/index.ts'

/** What the portal holds: part number -> digest in hex. */
export function heldBy({ parts }: TransferStatus): ReadonlyMap<number, string> {
  return new Map(parts.map(({ partNumber, digest }) => [partNumber, digest]))
}

/** Whether the portal has given the transfer up. */
export function isLost({ state }: TransferStatus): boolean {
  return state === 'refused' || state === 'cancelled' || state === 'expired'
}

/** Why it has. */
export function lossOf({ state, notifications }: TransferStatus): ProblemJson {
  const refused = notifications.findLast(({ notification }) => notification === 'refused')
  if (refused?.notification === 'refused') return refused.problem
  return new Problem('transfer-closed', { state }).toJSON()
}

/** Whether it is a first notification. */
export function isVerdict({ notification }: Notification): boolean {
  return notification === 'stored' || notification === 'resend' || notification === 'refused'
}

/**
 * Whether an announced transfer will never be taken, though the file may well be, as another one. A portal that does not offer
 * the digest algorithm any more says so only of transfers that it has never heard of: those that it knows go on.
 */
export function isOver({ next, code }: RemoteProblem): boolean {
  return next === 'refused' || code === 'not-found' || code === 'digest-unsupported-algorithm'
}

/** Whether no other file of this account would fare better. */
export function isAboutAccount(error: RemoteProblem): boolean {
  return error.code === 'credentials-invalid'
}
