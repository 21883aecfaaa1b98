/**
 * The order of a long file list: files that need the user, active files, failed files, waiting files, finished files.
 */
import { bytesText, listText, type TreeSize } from '../../protocol/index.ts'
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
    case 'unpacking':
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

interface Sized {
  /** Null while the size of a stream is not known. */
  readonly sizeBytes: number | null
  /** Null for a file. */
  readonly tree: TreeSize | null
}

/** 1 file · 200 files */
export function filesText(count: number): string {
  return `${count.toLocaleString('en')} ${count === 1 ? 'file' : 'files'}`
}

/** 2.5 MiB · of a folder: 120 files, 2.5 MiB */
export function sizeText({ sizeBytes, tree }: Sized): string {
  if (sizeBytes === null) return 'size not known yet'
  return tree === null ? bytesText(sizeBytes) : `${filesText(tree.fileCount)}, ${bytesText(tree.contentBytes)}`
}

/** 2 files and 1 folder */
export function itemsText(all: readonly Pick<Sized, 'tree'>[]): string {
  const folderCount = all.filter(({ tree }) => tree !== null).length
  const fileCount = all.length - folderCount
  const folders = folderCount === 0 ? [] : [`${folderCount} ${folderCount === 1 ? 'folder' : 'folders'}`]
  return listText([...(fileCount > 0 || folderCount === 0 ? [filesText(fileCount)] : []), ...folders])
}

/** How many bytes of files these are together: 1.2 GiB · with a stream that has not ended: 1.2 GiB and more */
export function totalBytesText(all: readonly Sized[]): string {
  const known = all.filter(({ sizeBytes }) => sizeBytes !== null)
  if (known.length === 0 && all.length > 0) return 'size not known yet'
  const sumBytes = known.reduce((sum, { sizeBytes, tree }) => sum + (tree?.contentBytes ?? sizeBytes ?? 0), 0)
  return `${bytesText(sumBytes)}${known.length < all.length ? ' and more' : ''}`
}

/**
 * 200 files and 1 folder, 1.2 GiB: 3 on their way, 1 failed, 196 over.
 *
 * @param words the names of the groups
 */
export function totalText(
  files: readonly (Sized & { readonly group: Group })[],
  words: Readonly<Record<Group, string>>,
): string {
  const counts = groups
    .map((group) => ({ group, count: files.filter((file) => file.group === group).length }))
    .filter(({ count }) => count > 0)
    .map(({ group, count }) => `${count} ${words[group]}`)
  return `${itemsText(files)}, ${totalBytesText(files)}: ${counts.join(', ')}`
}
