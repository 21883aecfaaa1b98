/** What the sender says of a file besides its name and content: its media type, its time, and whether it is a program. */
import type { BigIntStats } from 'node:fs'
import otherTypes from 'mime/types/other.js'
import standardTypes from 'mime/types/standard.js'
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
    mediaType: typeByExtension(name),
    mtimeNs: stats !== null && withTimes ? stats.mtimeNs : null,
    // Windows has no such bit, and Node shows it for every file.
    isExecutable: stats !== null && process.platform !== 'win32' && (stats.mode & EXECUTABLE) !== 0n,
  })
}

/** Extension -> media type. Made when the first file needs it: the package's own lookup takes longer to make than to send a file. */
let byExtension: Map<string, string> | null = null

/** The media type by the end of a name, as `getType` of the package `mime` gives it; null for an unknown one. */
export function typeByExtension(name: string): string | null {
  byExtension ??= extensionsOf(standardTypes, otherTypes)
  return byExtension.get(name.slice(name.lastIndexOf('.') + 1).toLowerCase()) ?? null
}

function extensionsOf(...tables: readonly Readonly<Record<string, string[]>>[]): Map<string, string> {
  const types = new Map<string, string>()
  for (const table of tables) {
    for (const type in table) {
      // A star marks an extension that belongs to another type.
      for (const extension of table[type] ?? []) if (!extension.startsWith('*')) types.set(extension, type)
    }
  }
  return types
}
