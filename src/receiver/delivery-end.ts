/** The errors by which the portal says that a delivery has ended. */
import { RemoteProblem } from '../client/index.ts'
import { conforms, ProblemBody, type ProblemCode, type ProblemJson } from '../protocol/index.ts'

const ENDED: ReadonlySet<string> = new Set<ProblemCode>(['delivery-ended', 'not-found', 'cancelled', 'expired'])

/** The portal has ended the delivery and expects no answer. */
export class DeliveryWithdrawnError extends Error {
  override readonly name = 'DeliveryWithdrawnError'
  readonly problem: ProblemJson

  constructor(problem: ProblemJson) {
    super(problem.title)
    this.problem = problem
  }
}

/**
 * Whether the portal says that the delivery is over. Other refusals are about the request or about trouble of the portal, so
 * verified parts are kept.
 */
export function isEnded(error: unknown): error is RemoteProblem {
  return error instanceof RemoteProblem && ENDED.has(error.code)
}

/** Why a delivery has ended: `delivery-ended` carries the problem that ended it. */
export function causeOf(problem: ProblemJson): ProblemJson {
  const cause = problem.problem
  return conforms(ProblemBody, cause) ? cause : problem
}

/** How a delivery left this receiver. Without an answer (`open`) the portal will offer it again. */
export type DeliveryOutcome = 'received' | 'refused' | 'withdrawn' | 'open'

/** The reason of signals that end with a task. One for all, because making an error costs more than ending a task. */
export const taskEnded = new Error('the task has ended')
