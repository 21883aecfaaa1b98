/** What the sender is told when this browser cannot write. */
import { Problem } from '../../../protocol/index.ts'
import { StagingError } from './staging.ts'

/** The page is being left, or too much is open at the moment: nothing is wrong with the storage. */
const LATER: ReadonlySet<string> = new Set([
  'AbortError',
  'InvalidStateError',
  'NoModificationAllowedError',
  'RangeError',
])

/** The name of what a browser's storage says; null for an error that does not come from there. */
export function reasonOf(error: unknown): string | null {
  if (error instanceof StagingError) return error.reason
  if (error instanceof DOMException) return error.name
  // No memory for a part.
  return error instanceof RangeError ? error.name : null
}

/** Like `Inbox.meaningOf`. */
export function meaningOf(error: unknown): Problem | 'later' | null {
  if (error instanceof Problem) return error
  const reason = reasonOf(error)
  if (reason === null) return null
  if (LATER.has(reason)) return 'later'
  const cause = { cause: error }
  if (reason === 'QuotaExceededError') {
    return new Problem('disk-full', { reason, detail: 'the browser of the receiver has no more room' }, cause)
  }
  return new Problem('write-failed', { reason, detail: `the browser of the receiver said ${reason}` }, cause)
}
