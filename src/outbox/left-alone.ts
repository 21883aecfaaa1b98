/** What stays in a drop folder. docs/drop-folders.md has the same list of names. */
import { type BigIntStats, existsSync } from 'node:fs'
import { join } from 'node:path'

/** This program's own folders in a drop folder. */
export const sendingFolderName = '.sending'
export const sentFolderName = 'sent'
export const failedFolderName = 'failed'

/** Names that programs give to files which are not complete yet, and to their notes beside a file. */
export const unfinishedNames: readonly string[] = [
  '.*',
  '*.part',
  '*.partial',
  '*.filepart',
  '*.tmp',
  '*.temp',
  '*.crdownload',
  '*.download',
  '*.swp',
  '*~',
  '~$*',
]

const unfinished = new RegExp(`^(?:${unfinishedNames.map(patternOf).join('|')})$`, 'is')

/** Whether a file of this name is left alone without a word. */
export function isUnfinishedName(name: string): boolean {
  return unfinished.test(name)
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
