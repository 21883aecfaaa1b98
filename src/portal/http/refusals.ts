/** Records a refused request, or a refused item of a batch, in metrics and logs. */
import type { FastifyRequest } from 'fastify'
import type { Problem, ProblemJson } from '../../protocol/index.ts'
import type { PortalContext } from '../context.ts'
import { reasonOf } from '../monitoring/audit.ts'
import { whoAsks } from './app.ts'
import { toProblem } from './problems.ts'

/** @param error the error from which the problem was made */
export function recordRefusal(context: PortalContext, request: FastifyRequest, problem: Problem, error: unknown): void {
  context.metrics.problems.inc({ code: problem.code })
  const reason = reasonOf(problem)
  if (reason !== null) context.audit.refused(reason.event, { ...whoAsks(request), ...reason.details })
  if (problem.status < 500) return
  request.log.error({ err: error, method: request.method, route: request.routeOptions.url }, problem.message)
}

/** Answers for an item of a batch that failed, and records that. */
export function refusedItem(
  context: PortalContext,
  request: FastifyRequest,
  transferId: string,
  error: unknown,
): { transferId: string; problem: ProblemJson } {
  const problem = toProblem(error)
  recordRefusal(context, request, problem, error)
  return { transferId, problem: problem.toJSON() }
}
