/**
 * The time of the last modification of a file, as another machine had it.
 *
 * Node passes times to the system as seconds in a double: today's times are kept to a quarter of a microsecond, and those at full
 * or half seconds exactly. Some file systems keep less: two seconds on FAT.
 */
import { futimesSync, lutimesSync } from 'node:fs'
import { secondsText } from '../protocol/index.ts'
import { hasCode } from './error-code.ts'

const MS_PER_SECOND = 1000
/** A file system that does not set times, or not this one. The file is as good without. */
const UNSETTABLE = ['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'ERANGE', 'EOVERFLOW']

/** Sets the time of an open file. Where the file system does not set it, the file keeps the present time. */
export function setModified(descriptor: number, mtimeNs: bigint): void {
  // As text, because Node interprets a negative number as the present time.
  settable(() => futimesSync(descriptor, Date.now() / MS_PER_SECOND, secondsText(mtimeNs)))
}

/** {@link setModified} by the path; of a symbolic link itself, and not of what it leads to. */
export function setModifiedAt(path: string, mtimeNs: bigint): void {
  settable(() => lutimesSync(path, Date.now() / MS_PER_SECOND, secondsText(mtimeNs)))
}

function settable(set: () => void): void {
  try {
    set()
  } catch (error) {
    if (!hasCode(error, ...UNSETTABLE)) throw error
  }
}
