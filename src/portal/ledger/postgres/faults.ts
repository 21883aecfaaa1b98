/**
 * What an error of the database means for whoever asked. That it is not there just now is `unavailable`: every request of the
 * protocol can be repeated, so nobody has to know how far this one got.
 */
import { Problem } from '../../../protocol/index.ts'

/** An error that PostgreSQL itself reported, as `pg` passes it on. */
interface ServerError extends Error {
  /** SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html */
  readonly code: string
  readonly severity: string | undefined
}

/** The connection ended before a commit was sent: nothing of a transaction happened. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost'
}

/** The connection ended while the commit was under way: nobody knows whether it happened. */
export class CommitUnknown extends Error {
  override readonly name = 'CommitUnknown'
}

/**
 * Not there, or not able to serve just now. By class: 08 connection, 53 resources, 57P0x shut down or starting, 58 system
 * error. By code: 25006 only reads (it is no longer the primary), 25P03 and 57P05 the session was idle for too long, 55P03 a
 * lock and 57014 a statement took too long.
 */
const UNAVAILABLE = /^(?:08...|53...|57P0.|58...|25006|25P03|25P04|55P03|57014)$/
/** It is no longer the primary. */
const READ_ONLY = '25006'
/** Somebody else was in the way: the same transaction again may succeed. */
const CONFLICT = /^(?:40001|40P01)$/
const UNIQUE = '23505'
/** A statement was compiled before a newer version changed the tables. */
const STALE_PLAN = '0A000'
/** Text that PostgreSQL does not hold: a NUL. */
const TEXT = /^(?:22021|22P05)$/
/** Whoever connects is not let in, or there is no such database. Waiting does not help. */
const CONFIGURATION = /^(?:28...|3D000|42501)$/

export function isServerError(error: unknown): error is ServerError {
  if (!(error instanceof Error && 'severity' in error && 'code' in error)) return false
  const { code } = error
  return typeof code === 'string'
}

/** Whether the connection can be used no longer. */
export function endsConnection(error: unknown): boolean {
  if (!isServerError(error)) return !isOurs(error)
  // What is not the primary any more is of no use to the next one either.
  return error.severity === 'FATAL' || error.severity === 'PANIC' || error.code === READ_ONLY
}

/** Whether a newer version changed the tables since a statement was planned. */
export function isStalePlan(error: unknown): boolean {
  return isServerError(error) && error.code === STALE_PLAN && error.message.includes('cached plan')
}

/** An error about a value on its way in or out, and not about the connection. */
function isOurs(error: unknown): boolean {
  return error instanceof RangeError || error instanceof TypeError
}

/** The error of a failed attempt to connect, as it is told. */
export function connectFault(error: unknown): Problem {
  return unavailable(error)
}

/**
 * The same to whoever starts: what somebody has to correct is told as it is. While a portal runs, a password that was changed
 * is no more than a database that is not there just now: a mistake of operators, who will mend it, and not of the program.
 */
export function startFault(error: unknown): unknown {
  if (!(error instanceof Problem && isServerError(error.cause))) return error
  return CONFIGURATION.test(error.cause.code) ? error.cause : error
}

/** The error of a statement, as it is told. */
export function statementFault(error: unknown): unknown {
  if (isOurs(error)) return error
  if (!isServerError(error)) return unavailable(new ConnectionLost('the database went away', { cause: error }))
  if (error.code.startsWith('57P') || error.code.startsWith('08')) {
    return unavailable(new ConnectionLost('the database went away', { cause: error }))
  }
  if (UNAVAILABLE.test(error.code)) return unavailable(error)
  if (TEXT.test(error.code)) return new Problem('request-invalid', { detail: 'a text holds a NUL' }, { cause: error })
  return error
}

/** The error of a commit, as it is told. Only where the database itself undid it, it is known to be undone. */
export function commitFault(error: unknown): unknown {
  if (isServerError(error) && error.severity === 'ERROR' && /^(?:40|23)/.test(error.code)) return error
  return unavailable(new CommitUnknown('the database went away during a commit', { cause: error }))
}

/** Whether a transaction that failed so may be run again at once. */
export function isWorthAnotherTry(error: unknown): boolean {
  if (error instanceof Problem) return error.cause instanceof ConnectionLost
  return isStalePlan(error) || (isServerError(error) && (CONFLICT.test(error.code) || error.code === UNIQUE))
}

/** What is told when no further try is made. */
export function lastFault(error: unknown): unknown {
  return isStalePlan(error) || (isServerError(error) && CONFLICT.test(error.code)) ? unavailable(error) : error
}

function unavailable(cause: unknown): Problem {
  return new Problem('unavailable', { detail: 'the database is not there just now' }, { cause })
}
