/** Names beside names that are taken: `report.pdf`, `report (1).pdf`, `report (2).pdf`… */
import { withoutDependentEnd } from './characters.ts'

/** Longest name that every common file system takes, in bytes of UTF-8. */
export const fileNameBytesMax = 255
/** A longer ending does not count as a file type. */
const EXTENSION_BYTES_MAX = 32
/** How many files of the same name can be distinguished by a number. */
export const sameNamesMax = 999
const encoder = new TextEncoder()

/**
 * The name for the `number`th file of the same name: `report.pdf`, `report (1).pdf`, `report (2).pdf`… The stem is
 * shortened where the whole would be too long.
 *
 * @param number or another text that distinguishes it
 * @param isFolder the number of a folder stands at the end of its name: `photos (1)`
 * @param bytesMax room for the whole, in bytes of UTF-8
 */
export function numberedName(
  name: string,
  number: number | string,
  { isFolder = false, bytesMax = fileNameBytesMax } = {},
): string {
  const [stem, extension] = isFolder ? [name, ''] : stemAndExtension(name)
  const ending = (number === 0 ? '' : ` (${number})`) + extension
  return withoutOpenEnd(shortenedText(stem, bytesMax - utf8Length(ending)) + ending)
}

export function stemAndExtension(name: string): [stem: string, extension: string] {
  const dot = name.lastIndexOf('.')
  const hasExtension = dot > 0 && utf8Length(name.slice(dot)) <= EXTENSION_BYTES_MAX
  return hasExtension ? [name.slice(0, dot), name.slice(dot)] : [name, '']
}

/** Replaces dots and blanks at the end: Windows drops them, so that two names would become one. */
export function withoutOpenEnd(name: string): string {
  return name.replace(/[.\p{Zs}\u2800]+$/u, (end) => '_'.repeat(end.length))
}

/** Cuts at the end, between code points, and removes characters that depend on the cut part. */
export function shortenedText(text: string, bytesMax: number): string {
  if (utf8Length(text) <= bytesMax) return text
  let short = ''
  let bytes = 0
  for (const character of text) {
    bytes += utf8Length(character)
    if (bytes > bytesMax) break
    short += character
  }
  return withoutDependentEnd(short)
}

/** The length of a text in UTF-8, in bytes. */
export function utf8Length(text: string): number {
  return encoder.encode(text).length
}
