/** What the sender says of a file besides its name and content: its media type, its time, and whether it is a program. */
import type { BigIntStats } from 'node:fs'
import mime from 'mime'
import { fileMediaType } from '../protocol/index.ts'

const EXECUTABLE = 0o111n

/**
 * The media type for the metadata of a file.
 *
 * @param stats null where the system's look at the file says nothing, as for one of /proc
 */
export function mediaTypeOfFile(
  name: string,
  stats: Pick<BigIntStats, 'mode' | 'mtimeNs'> | null,
  { withTimes }: { readonly withTimes: boolean },
): string | undefined {
  return fileMediaType({
    mediaType: mime.getType(name),
    mtimeNs: stats !== null && withTimes ? stats.mtimeNs : null,
    // Windows has no such bit, and Node shows it for every file.
    isExecutable: stats !== null && process.platform !== 'win32' && (stats.mode & EXECUTABLE) !== 0n,
  })
}
