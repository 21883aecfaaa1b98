/** Text and figures for people. Sender, portal and receiver write them alike. */
import { replaceUnsafe } from './characters.ts'
import type { TreeSize } from './media-type.ts'
import type { ProblemJson } from './problems.ts'

/** Makes text from a peer safe for a terminal: control, direction and invisible characters become escapes. */
export function printable(text: string): string {
  return replaceUnsafe(text, (char) => `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`)
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** 1536 -> '1.5 KiB' */
export function bytesText(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1
  return `${value.toFixed(digits)} ${UNITS[unit]}`
}

/** 1 file, 3 B; 20000 files, 78.1 MiB */
export function treeText({ fileCount, contentBytes }: TreeSize): string {
  return `${fileCount} ${fileCount === 1 ? 'file' : 'files'}, ${bytesText(contentBytes)}`
}

/** bob; bob and carol; bob, carol and dave */
export function listText(names: readonly string[]): string {
  if (names.length < 2) return names.join('')
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

/**
 * The sentence of a problem, without its code. The problem may come from a peer: the caller makes the text {@link printable} before
 * it shows it, and members of an unexpected type are ignored.
 */
export function problemSentence(problem: ProblemJson): string {
  const { title, detail, receivers } = problem
  const room = roomText(problem)
  const names: unknown[] = Array.isArray(receivers) ? receivers : []
  const whom = names.length > 0 && names.every((name) => typeof name === 'string') ? `: ${names.join(', ')}` : ''
  return `${title}${detail === undefined ? '' : `: ${detail}`}${room}${whom}`
}

function roomText({ neededBytes, freeBytes, limitBytes }: ProblemJson): string {
  const needed = typeof neededBytes === 'number' ? `it needs ${bytesText(neededBytes)}, ` : ''
  if (typeof limitBytes === 'number') return `: ${needed}the limit is ${bytesText(limitBytes)}`
  return needed !== '' && typeof freeBytes === 'number' ? `: ${needed}free are ${bytesText(freeBytes)}` : ''
}

/** 93_000 -> '1 min 33 s' */
export function durationText(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}
