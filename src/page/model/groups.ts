/**
 * The order of a long file list: files that need the user, active files, failed files, waiting files, finished files.
 */
import { bytesText } from '../../protocol/index.ts'
import type { IncomingProgress, OutgoingProgress } from './types.ts'

export const groups = ['asking', 'moving', 'failed', 'waiting', 'stored', 'over'] as const
export type Group = (typeof groups)[number]

export function groupOfOutgoing(progress: OutgoingProgress): Group {
  switch (progress.phase) {
    case 'queued':
      return 'waiting'
    case 'reading':
    case 'sending':
    case 'paused':
    case 'silent':
      return 'moving'
    case 'stored':
      return 'stored'
    case 'refused':
      return 'failed'
    case 'ended':
      // The user who cancelled a file needs no reminder of it.
      return progress.failures.some(({ problem }) => problem.code !== 'cancelled') ? 'failed' : 'over'
  }
}

export function groupOfIncoming(progress: IncomingProgress): Group {
  switch (progress.phase) {
    case 'asking':
      return 'asking'
    case 'fetching':
      return 'moving'
    case 'waiting':
      return 'waiting'
    case 'withdrawn':
      return 'failed'
    case 'declined':
      return progress.problem.code === 'declined' ? 'over' : 'failed'
    case 'received':
      return 'over'
  }
}

/**
 * 200 files, 1.2 GiB: 3 on their way, 1 failed, 196 over.
 *
 * @param words the names of the groups
 */
export function totalText(
  files: readonly { readonly group: Group; readonly sizeBytes: number }[],
  words: Readonly<Record<Group, string>>,
): string {
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0)
  const counts = groups
    .map((group) => ({ group, count: files.filter((file) => file.group === group).length }))
    .filter(({ count }) => count > 0)
    .map(({ group, count }) => `${count} ${words[group]}`)
  return `${files.length} files, ${bytesText(sizeBytes)}: ${counts.join(', ')}`
}
