/** The problem for the sender when this machine cannot write: the reason, without paths of this machine. */
import { hasCode, isNoRoom } from '../fs/index.ts'
import { Problem } from '../protocol/index.ts'
import type { Obstacle } from './inbox.ts'

/** Errors of a system that is short of memory or descriptors. Nothing is wrong with the folder or the disk. */
const SHORTAGES = ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR']

/** Whether an error means that descriptors or memory are short at the moment. The sender is not told about that. */
export function isShortage(error: unknown): error is Error {
  return hasCode(error, ...SHORTAGES)
}

/** Words for what is short. */
export function shortageOf(error: Error): Obstacle {
  if (hasCode(error, 'EMFILE')) return short('this program may open no more files (ulimit -n)')
  if (hasCode(error, 'ENFILE')) return short('the system can open no more files')
  return short(`the system is short of something (${error.message})`)
}

function short(reason: string): Obstacle {
  return { reason, isShortage: true }
}

/**
 * The problem for an error of the file system: `disk-full`, `folder-unavailable` or `write-failed`. A problem is returned
 * unchanged.
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
