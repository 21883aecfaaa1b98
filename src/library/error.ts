/** The one error of the library. Errors of the rooms below are turned into it where they leave the library. */
import { NoResponseError, RemoteProblem, UnusableConnectionError } from '../client/index.ts'
import { Problem, type ProblemJson } from '../protocol/index.ts'

/**
 * Every failure that a program can act upon. `code` is stable, and programs decide by it: PROTOCOL.md lists all codes. A newer portal
 * may send a code that this version does not know.
 */
export class GoLooaderError extends Error {
  override readonly name = 'GoLooaderError'
  readonly code: string
  /** The same as a problem document (RFC 9457), with the members that belong to the code. */
  readonly problem: ProblemJson

  /** @param options `cause` is the error that led to this one */
  constructor(problem: ProblemJson, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = problem.code
    this.problem = problem
  }
}

/** Runs a call of the library. @throws GoLooaderError, or what is no failure of the library: the reason of an abort, a bug */
export async function asLibraryCall<Result>(act: () => Promise<Result>): Promise<Result> {
  try {
    return await act()
  } catch (error) {
    throw asLibraryError(error)
  }
}

export function asLibraryError(error: unknown): unknown {
  const problem = problemOf(error)
  return problem === null ? error : new GoLooaderError(problem, (error as Error).message, { cause: error })
}

function problemOf(error: unknown): ProblemJson | null {
  if (error instanceof Problem) return error.toJSON()
  if (error instanceof RemoteProblem) return error.problem
  if (error instanceof UnusableConnectionError) return error.problem.toJSON()
  if (error instanceof NoResponseError) return new Problem('no-answer', { detail: error.message }).toJSON()
  return null
}
