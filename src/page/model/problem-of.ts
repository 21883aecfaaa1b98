/** Errors, as the page shows them. */
import { RemoteProblem } from '../../client/index.ts'
import { Problem, type ProblemJson } from '../../protocol/index.ts'

/** The problem to show. An error without a problem code happened in this browser. */
export function problemOf(error: unknown): ProblemJson {
  if (error instanceof Problem) return error.toJSON()
  if (error instanceof RemoteProblem) return error.problem
  return new Problem('browser-failed', { detail: error instanceof Error ? error.message : String(error) }).toJSON()
}
