/**
 * What an error of the database means for the caller. When the database does not serve at the moment, the problem is `unavailable`:
 * every request of the protocol can be repeated, so it does not matter how far this one got.
 */
import { Problem } from '../../../protocol/index.ts'

/** An error that PostgreSQL itself reported, as `pg` passes it on. */
interface ServerError extends Error {
  /** SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html */
  readonly code: string
  readonly severity: string | undefined
}

/** The connection ended before a commit was sent: nothing of a transaction happened. */
class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError'
}

/** The connection ended during the commit, which may have happened or not. */
export class CommitUnknownError extends Error {
  override readonly name = 'CommitUnknownError'
}

/**
 * The database is not there, or cannot serve at the moment. By class: 08 connection, 53 resources, 57P0x shut down or starting, 58
 * system error. By code: 25006 read-only (it is no longer the primary), 25P03 and 57P05 the session was idle for too long, 55P03 a
 * lock and 57014 a statement took too long.
 */
const UNAVAILABLE = /^(?:08...|53...|57P0.|58...|25006|25P03|25P04|55P03|57014)$/
/** Read-only: the server is no longer the primary. */
const READ_ONLY = '25006'
/** A conflict with another transaction. The same transaction may succeed the next time. */
const CONFLICT = /^(?:40001|40P01)$/
const UNIQUE = '23505'
/** A prepared statement does not match the tables any more, because a newer version changed them. */
const STALE_PLAN = '0A000'
/** Text that PostgreSQL cannot store: it contains NUL. */
const TEXT = /^(?:22021|22P05)$/
/** The database refuses the user, or does not exist. Waiting does not help. */
const CONFIGURATION = /^(?:28...|3D000|42501)$/

export function isServerError(error: unknown): error is ServerError {
  if (!(error instanceof Error && 'severity' in error && 'code' in error)) return false
  const { code } = error
  return typeof code === 'string'
}

/** Whether the connection cannot be used any more. */
export function endsConnection(error: unknown): boolean {
  if (!isServerError(error)) return !isOurs(error)
  // A connection to a server that is no longer the primary is useless for the next caller, too.
  return error.severity === 'FATAL' || error.severity === 'PANIC' || error.code === READ_ONLY
}

/** Whether a newer version has changed the tables since a statement was planned. */
export function isStalePlan(error: unknown): boolean {
  return isServerError(error) && error.code === STALE_PLAN && error.message.includes('cached plan')
}

/** Whether an error is about a value and not about the connection. */
function isOurs(error: unknown): boolean {
  return error instanceof RangeError || error instanceof TypeError
}

/** The problem for a failed attempt to connect. */
export function connectFault(error: unknown): Problem {
  return unavailable(error)
}

/**
 * The same while a portal starts: errors that the operator has to correct are thrown unchanged. While a portal runs, a wrong password
 * counts as `unavailable`, because the operator has changed it and will correct it.
 */
export function startFault(error: unknown): unknown {
  if (!(error instanceof Problem && isServerError(error.cause))) return error
  return CONFIGURATION.test(error.cause.code) ? error.cause : error
}

/** The error to throw for a failed statement. */
export function statementFault(error: unknown): unknown {
  if (isOurs(error)) return error
  if (!isServerError(error)) return unavailable(new ConnectionLostError('the database went away', { cause: error }))
  if (error.code.startsWith('57P') || error.code.startsWith('08')) {
    return unavailable(new ConnectionLostError('the database went away', { cause: error }))
  }
  if (UNAVAILABLE.test(error.code)) return unavailable(error)
  if (TEXT.test(error.code)) return new Problem('request-invalid', { detail: 'a text holds a NUL' }, { cause: error })
  return error
}

/** The error to throw for a failed commit. Only an error of the database itself proves that the transaction was undone. */
export function commitFault(error: unknown): unknown {
  if (isServerError(error) && error.severity === 'ERROR' && /^(?:40|23)/.test(error.code)) return error
  return unavailable(new CommitUnknownError('the database went away during a commit', { cause: error }))
}

/** Whether a transaction that failed with this error may be run again at once. */
export function isWorthAnotherTry(error: unknown): boolean {
  if (error instanceof Problem) return error.cause instanceof ConnectionLostError
  return isStalePlan(error) || (isServerError(error) && (CONFLICT.test(error.code) || error.code === UNIQUE))
}

/** The error to throw when no further try is made. */
export function lastFault(error: unknown): unknown {
  return isStalePlan(error) || (isServerError(error) && CONFLICT.test(error.code)) ? unavailable(error) : error
}

function unavailable(cause: unknown): Problem {
  return new Problem('unavailable', { detail: 'the database does not answer at the moment' }, { cause })
}
