/** Whether a file system has hard links. */
import { hasCode } from './error-code.ts'

/**
 * Errors of `link` with another meaning than "no hard links". For that, file systems answer EPERM, ENOTSUP, ENOSYS, EXDEV, EIO or
 * EMLINK, and CryFS answers ERANGE.
 */
const OTHER_LINK_CODES = [
  'EEXIST',
  'ENOENT',
  'ENOTDIR',
  'ENAMETOOLONG',
  'ENOSPC',
  'EDQUOT',
  'EROFS',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
]

/** Whether an error of `link` means that the file system has no hard links. */
export function isWithoutLinks(error: unknown): boolean {
  return error instanceof Error && 'code' in error && !hasCode(error, ...OTHER_LINK_CODES)
}
