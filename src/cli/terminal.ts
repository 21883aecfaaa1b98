/**
 * The rules for terminals, the same for all commands:
 *
 * - A stream that is not a terminal (a file, a pipe) gets plain lines in UTF-8.
 * - A terminal whose `TERM` is `dumb` or not set, or whose width is unknown, gets the same plain lines.
 * - A terminal whose locale is not UTF-8 gets ASCII, because an 8-bit terminal takes some bytes of UTF-8 for control codes.
 * - Colours are never used, so `NO_COLOR` has no effect.
 */

/** A stream of Node that may be a terminal. */
export interface TerminalStream {
  readonly isTTY?: boolean
  readonly columns?: number
}

type Environment = Readonly<Record<string, string | undefined>>

const WIDTH_DEFAULT = 80

/** Replacements in ASCII for the special characters of this program. */
const ASCII: Readonly<Record<string, string>> = {
  '✔': '+',
  '✘': 'x',
  '↻': '~',
  '…': '...',
  '█': '#',
  '░': '.',
  '·': '-',
}

/** Whether the cursor can be moved, so that figures can be redrawn in place. */
export function canDraw({ isTTY, columns }: TerminalStream, env: Environment = process.env): boolean {
  if (isTTY !== true || columns === undefined || columns < 1) return false
  // Terminals on Windows have no TERM, but can move the cursor.
  return process.platform === 'win32' || !/^(?:dumb|unknown|)$/.test(env.TERM ?? '')
}

/** The width of a terminal in columns; 80 when it is unknown or the stream is not a terminal. */
export function widthOf({ columns }: TerminalStream): number {
  return columns === undefined || columns < 1 ? WIDTH_DEFAULT : columns
}

/** Converts text to what the stream can show. */
export function textFor({ isTTY }: TerminalStream, text: string, env: Environment = process.env): string {
  if (isTTY !== true || isUtf8(env)) return text
  return text.replace(/[^\0-\x7F]/gu, (char) => ASCII[char] ?? escapeOf(char))
}

/** By POSIX, the first of these that is not empty counts. Without any the locale is `C`, which is ASCII. */
function isUtf8({ LC_ALL, LC_CTYPE, LANG }: Environment): boolean {
  return process.platform === 'win32' || /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '')
}

function escapeOf(char: string): string {
  return `\\u${(char.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`
}
