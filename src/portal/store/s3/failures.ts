/**
 * What S3 and the way to it can answer, and what becomes of it. What may pass is tried again, with pauses that grow and differ, for
 * a bounded time. Then, and for what will not pass, there is a problem of ours:
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
import { setTimeout } from 'node:timers/promises'
import { Problem, type ProblemCode } from '../../../protocol/index.ts'

const PAUSE_MS_MIN = 100
const PAUSE_MS_MAX = 2_000

/** By the names that S3 gives them, for those whose status does not tell it. */
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
const NO_ROOM: ReadonlySet<string> = new Set(['QuotaExceeded', 'XMinioStorageFull', 'InsufficientStorage'])

export interface Failure {
  readonly isPassing: boolean
  readonly code: ProblemCode
  /** For people. Goes to senders, too: no names of hosts or buckets. */
  readonly detail: string
}

export function failureOf(error: unknown): Failure {
  const name = nameOf(error)
  const status = statusOf(error)
  if (status === 507 || NO_ROOM.has(name)) {
    return { isPassing: false, code: 'storage-full', detail: 'the S3 storage takes no more' }
  }
  if (status === null && !PASSING.has(name)) {
    return { isPassing: true, code: 'unavailable', detail: 'the S3 storage cannot be reached' }
  }
  const isPassing = PASSING.has(name) || PASSING_STATUS.has(status ?? 0) || ((status ?? 0) >= 500 && status !== 501)
  const isBroken = !isPassing || name === 'SignatureDoesNotMatch'
  const said = status === null ? name : `${status} ${name}`
  return { isPassing, code: isBroken ? 'store-failed' : 'unavailable', detail: `the S3 storage answered ${said}` }
}

/** The name that S3 gave to an error, or the system. */
export function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  // The SDK calls an answer without a name so.
  return error.name === 'UnknownError' && 'Code' in error ? String(error.Code) : error.name
}

/** The HTTP status of the answer that an error stands for; null where there was none. */
export function statusOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('$metadata' in error)) return null
  const { httpStatusCode } = error.$metadata as { httpStatusCode?: number }
  // An answer that began well and cannot be read to its end is none.
  return httpStatusCode === undefined || httpStatusCode < 300 ? null : httpStatusCode
}

export interface Patience {
  /** After so long no other try is begun. One that is under way has time-outs of its own. */
  readonly retryMs: number
  readonly signal?: AbortSignal
}

/**
 * Tries until it succeeds or there is no sense in it any more.
 *
 * @throws Problem of the table above, with the failure as its cause; Problems of `act` pass through
 */
export async function withPatience<Result>({ retryMs, signal }: Patience, act: () => Promise<Result>): Promise<Result> {
  const endsAtMs = performance.now() + retryMs
  for (let tries = 0; ; tries++) {
    try {
      return await act()
    } catch (cause) {
      if (cause instanceof Problem) throw cause
      const { isPassing, code, detail } = failureOf(cause)
      const pauseMs = Math.random() * Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** tries)
      if (!isPassing || signal?.aborted === true || performance.now() + pauseMs >= endsAtMs) {
        throw new Problem(code, { detail }, { cause })
      }
      await setTimeout(pauseMs)
    }
  }
}
