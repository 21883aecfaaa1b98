/** What stays in a drop folder. docs/drop-folders.md has the same list of names. */
import { type BigIntStats, existsSync } from 'node:fs'
import { join } from 'node:path'

/** This program's own folders in a drop folder. */
export const sendingFolderName = '.sending'
export const sentFolderName = 'sent'
export const failedFolderName = 'failed'

/** What browsers, downloaders and copiers add to the name of a file that is not complete yet. */
const partialEnds: readonly string[] = [
  '.part',
  '.partial',
  '.filepart',
  '.crdownload',
  '.opdownload',
  '.download',
  '.aria2',
  '.!qB',
  '.!ut',
]

/** Names that programs give to files which are not complete yet, and to their notes beside a file; and the notes of file managers. */
export const unfinishedNames: readonly string[] = [
  '.*',
  ...partialEnds.map((end) => `*${end}`),
  '*.tmp',
  '*.temp',
  '*.swp',
  '*~',
  '~$*',
  '#*#',
  'Thumbs.db',
  'desktop.ini',
  '$RECYCLE.BIN',
  'System Volume Information',
]

const unfinished = new RegExp(`^(?:${unfinishedNames.map(patternOf).join('|')})$`, 'is')
const partial = new RegExp(`^(.+)(?:${partialEnds.map(patternOf).join('|')})$`, 'is')
/** Firefox puts eight characters before the last ending: `disk.Xk3d9aQ1.iso.part`. */
const FIREFOX = /^(.+)\.[\w-]{8}(\.[^.]+)?$/

/** Whether a file of this name is left alone without a word. */
export function isUnfinishedName(name: string): boolean {
  return unfinished.test(name)
}

/** Whether a program will rename a file of this name once it is complete, or notes what is missing of another one in it. */
export function isPartialName(name: string): boolean {
  return partial.test(name)
}

/**
 * The names of the files that a file of this name will become, or is a note about. Some programs make the other file first, empty or at its
 * full size.
 */
export function wholeNamesOf(name: string): string[] {
  const [, whole] = partial.exec(name) ?? []
  if (whole === undefined) return []
  const [, start, end = ''] = FIREFOX.exec(whole) ?? []
  return start === undefined ? [whole] : [whole, start + end]
}

/** Whether a file is not complete, by the name of the one beside it: an empty one waits for any, and aria2 allocates all of it before. */
export function isIncompleteBeside(partialName: string, sizeBytes: bigint): boolean {
  return sizeBytes === 0n || /\.aria2$/i.test(partialName)
}

export function isOwnName(name: string): boolean {
  return name === sentFolderName || name === failedFolderName || name === sendingFolderName
}

/** Where a process that receives, or another one that watches, has its own things in a folder. */
const MARKS = [
  { path: join(sendingFolderName, 'lock'), what: 'a drop folder' },
  { path: join('.golooader', 'instance'), what: 'a folder that is received into' },
] as const

/** What another process uses a folder for; null when there is no sign of one. */
export function usedAs(folder: string): string | null {
  return MARKS.find(({ path }) => existsSync(join(folder, path)))?.what ?? null
}

/** Why an entry cannot be sent; null for a file or folder. */
export function unfitReason(path: string, stats: BigIntStats): string | null {
  if (stats.isSymbolicLink()) return 'it is a symbolic link. Put a copy of the file here'
  if (!stats.isFile() && !stats.isDirectory()) return 'it is neither a file nor a folder'
  const use = stats.isDirectory() ? usedAs(path) : null
  return use === null ? null : `it is ${use} itself`
}

function patternOf(name: string): string {
  return name.replace(/[.$]/g, '\\$&').replace(/\*/g, '.*')
}
