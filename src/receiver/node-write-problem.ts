/** What the sender is told when this machine cannot write: the reason, and nothing about the machine's paths. */
import { hasCode, isNoRoom } from '../hop/node.ts'
import { Problem } from '../protocol/index.ts'

/** What the system says when it is only too busy: nothing is wrong with the folder or the disk. */
const SHORTAGES = ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR']

/** Whether an error means "later": files or memory are short at the moment. Not something to tell the sender. */
export function isShortage(error: unknown): error is Error {
  return hasCode(error, ...SHORTAGES)
}

/**
 * The problem that an error of the file system stands for: `disk-full`, `folder-unavailable` or `write-failed`.
 * A problem stays as it is.
 *
 * @returns null for an error that does not come from the file system: a mistake in the program
 */
export function writeProblem(cause: unknown): Problem | null {
  if (cause instanceof Problem) return cause
  if (!(cause instanceof Error) || !('syscall' in cause)) return null
  const errno = 'code' in cause ? String(cause.code) : 'unknown'
  if (isNoRoom(cause)) {
    return new Problem('disk-full', { errno, detail: 'the disk or the quota of the receiver is full' }, { cause })
  }
  if (hasCode(cause, 'ENOENT', 'ENOTDIR')) {
    return new Problem('folder-unavailable', { errno, detail: 'the folder is not there' }, { cause })
  }
  if (hasCode(cause, 'EACCES', 'EROFS', 'EPERM')) {
    return new Problem('folder-unavailable', { errno, detail: 'the receiver may not write there' }, { cause })
  }
  return new Problem('write-failed', { errno, detail: `the system said ${errno}` }, { cause })
}
