/** Maps storage errors of the browser to problems for the sender. */
import { Problem } from '../../../protocol/index.ts'
import { StagingError } from './staging.ts'

/** Errors that pass: the page is closing, or too many files are open. */
const LATER: ReadonlySet<string> = new Set([
  'AbortError',
  'InvalidStateError',
  'NoModificationAllowedError',
  'RangeError',
])

/** The name of a storage error; null for any other error. */
export function storageReasonOf(error: unknown): string | null {
  if (error instanceof StagingError) return error.reason
  if (error instanceof DOMException) return error.name
  // The browser has no memory for a part.
  return error instanceof RangeError ? error.name : null
}

/** Like `Inbox.meaningOf`. */
export function meaningOf(error: unknown): Problem | 'later' | null {
  if (error instanceof Problem) return error
  const reason = storageReasonOf(error)
  if (reason === null) return null
  if (LATER.has(reason)) return 'later'
  const cause = { cause: error }
  if (reason === 'QuotaExceededError') {
    return new Problem('disk-full', { reason, detail: 'the browser of the receiver has no space left' }, cause)
  }
  return new Problem('write-failed', { reason, detail: `the browser of the receiver said ${reason}` }, cause)
}
