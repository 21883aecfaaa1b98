/** Words and figures for people, on whichever side of the wire they are written. */
import type { ProblemJson } from './problems.ts'

/** Makes text from elsewhere safe for a terminal: what could steer it, or turn its direction, is made visible. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  )
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

/**
 * What a problem says, without its code. It may come from elsewhere: what shows it makes it {@link printable}, and a member that is
 * not what it is in a problem of our own says nothing.
 */
export function problemSentence(problem: ProblemJson): string {
  const { title, detail, neededBytes, freeBytes, receivers } = problem
  const room =
    typeof neededBytes === 'number' && typeof freeBytes === 'number'
      ? `: it needs ${bytesText(neededBytes)}, free are ${bytesText(freeBytes)}`
      : ''
  const names: unknown[] = Array.isArray(receivers) ? receivers : []
  const whom = names.length > 0 && names.every((name) => typeof name === 'string') ? `: ${names.join(', ')}` : ''
  return `${title}${detail === undefined ? '' : `: ${detail}`}${room}${whom}`
}
