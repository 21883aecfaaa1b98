/**
 * Errors of S3 and of the way to it. Requests with an error that may pass are retried with back-off and jitter for a bounded time.
 * After that, and for other errors, the caller gets a problem:
 *
 * | what happens | tried again | problem |
 * |---|---|---|
 * | no connection, a broken one, silence, a name that is not resolved, an answer that breaks off | yes | `unavailable` |
 * | 408, 429, every 5xx but 501 and 507; SlowDown, RequestTimeout and their like | yes | `unavailable` |
 * | what arrived was not what was sent: XAmzContentSHA256Mismatch, BadDigest, IncompleteBody | yes | `unavailable` |
 * | two requests were in each other's way: OperationAborted, ConditionalRequestConflict | yes | `unavailable` |
 * | credentials ran out, or cannot be fetched just now | yes | `unavailable` |
 * | SignatureDoesNotMatch: headers damaged on their way, or a wrong key | yes | `store-failed` |
 * | 507, QuotaExceeded | no | `storage-full` |
 * | everything else: AccessDenied, NoSuchBucket, InvalidAccessKeyId, 501 … | no | `store-failed` |
 *
 * `unavailable` makes a sender try again later, so an outage loses nothing. The others refuse the transfer.
 */
import { backoffMs, retry } from '../../../async/index.ts'
import { Problem, type ProblemCode } from '../../../protocol/index.ts'

const BACKOFF = { minMs: 100, maxMs: 2_000, jitter: 1 }

/** Error names of S3 that may pass, where the status does not tell it. */
const PASSING: ReadonlySet<string> = new Set([
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'RequestLimitExceeded',
  'RequestTimeout',
  'RequestTimeTooSkewed',
  'XAmzContentSHA256Mismatch',
  'BadDigest',
  'IncompleteBody',
  'OperationAborted',
  'ConditionalRequestConflict',
  'ExpiredToken',
  'TokenRefreshRequired',
  'CredentialsProviderError',
  'SignatureDoesNotMatch',
])
const PASSING_STATUS: ReadonlySet<number> = new Set([408, 429])
/** What arrived was not what was sent, or was signed for other content. */
const DAMAGED: ReadonlySet<string> = new Set(['XAmzContentSHA256Mismatch', 'BadDigest', 'SignatureDoesNotMatch'])
const NO_ROOM: ReadonlySet<string> = new Set(['QuotaExceeded', 'XMinioStorageFull', 'InsufficientStorage'])

export interface Failure {
  readonly isPassing: boolean
  readonly code: ProblemCode
  /** The message. Senders see it, too, so it has no names of hosts or buckets. */
  readonly detail: string
}

export function failureOf(error: unknown): Failure {
  const name = nameOf(error)
  const status = statusOf(error)
  if (status === 507 || NO_ROOM.has(name)) {
    return { isPassing: false, code: 'storage-full', detail: 'the S3 storage is full' }
  }
  if (status === null && !PASSING.has(name)) {
    return { isPassing: true, code: 'unavailable', detail: 'the S3 storage cannot be reached' }
  }
  const isPassing = PASSING.has(name) || PASSING_STATUS.has(status ?? 0) || ((status ?? 0) >= 500 && status !== 501)
  const isBroken = !isPassing || name === 'SignatureDoesNotMatch'
  const said = status === null ? name : `${status} ${name}`
  return { isPassing, code: isBroken ? 'store-failed' : 'unavailable', detail: `the S3 storage answered ${said}` }
}

/** Whether S3 has refused content for good, or because of damage. An answer that may pass says nothing about the content. */
export function isContentRefused(error: unknown): boolean {
  const status = statusOf(error)
  if (status === null || status < 400 || status >= 500) return false
  return DAMAGED.has(nameOf(error)) || !failureOf(error).isPassing
}

/** The name of an error, from S3 or the system. */
export function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  // The SDK uses this name for an answer without an error name.
  return error.name === 'UnknownError' && 'Code' in error ? String(error.Code) : error.name
}

/** The HTTP status of an error; null when no answer came. */
export function statusOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('$metadata' in error)) return null
  const { httpStatusCode } = error.$metadata as { httpStatusCode?: number }
  // A successful answer that breaks off counts as no answer.
  return httpStatusCode === undefined || httpStatusCode < 300 ? null : httpStatusCode
}

/**
 * Retries `act` while it fails with errors that may pass, for `retryMs` at most. A try that is running then ends by its own time-outs.
 *
 * @throws Problem of the table above, with the failure as its cause; Problems of `act` pass through
 */
export async function retryPassing<Result>(retryMs: number, act: () => Promise<Result>): Promise<Result> {
  const endsAtMs = performance.now() + retryMs
  return retry(act, {
    delayMs: (cause, tries) => {
      if (cause instanceof Problem) throw cause
      const { isPassing, code, detail } = failureOf(cause)
      const pauseMs = backoffMs(tries, BACKOFF)
      if (!isPassing || performance.now() + pauseMs >= endsAtMs) throw new Problem(code, { detail }, { cause })
      return pauseMs
    },
  })
}
