/**
 * The name under which a file is written, made from the one that the sender gave.
 *
 * The promise: whatever the sender said, the name is one plain entry of the receiver's folder on any common system,
 * shows what it is (nothing invisible, nothing that turns the text around), hides nothing, and is none of our own.
 * What cannot be made harmless without guessing what was meant is refused; the rest is replaced visibly by `_`.
 */
import { Problem } from '../protocol/index.ts'

/** What the receiver keeps for itself inside the folder that it delivers to. */
export const inboxFolderName = '.golooader'

/** Longest name that every common file system takes, in bytes of UTF-8. */
const NAME_BYTES_MAX = 255
/** A longer ending is no file type, but part of the name. */
const EXTENSION_BYTES_MAX = 32
/** So many files of one name are told apart by a number. */
export const sameNamesMax = 999

/** Control characters, bidirectional controls, zero-width characters, separators, lone surrogates, `<>:"|?*`. */
const UNSAFE = /[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff<>:"|?*]|\p{Surrogate}/gu
const encoder = new TextEncoder()
const DEVICE_OF_WINDOWS = /^(?:con|prn|aux|nul|com[1-9¹²³]|lpt[1-9¹²³]) *(?:\.|$)/i

/**
 * A name that is safe to write, and whether it differs from the one given.
 *
 * @throws Problem `name-refused` for a name that is a path, a drive, nothing at all, or the receiver's own folder
 */
export function safeName(name: string): { readonly name: string; readonly isChanged: boolean } {
  refuseUnsafe(name)
  let safe = name.normalize('NFC').replace(UNSAFE, '_')
  // Windows drops dots and spaces at the end, so that two names would become one.
  safe = withoutOpenEnd(safe)
  // A sender must not be able to drop a hidden file such as .bashrc.
  if (safe.startsWith('.')) safe = `_${safe.slice(1)}`
  if (DEVICE_OF_WINDOWS.test(safe)) safe = `_${safe}`
  safe = numberedName(safe, 0)
  return { name: safe, isChanged: safe !== name }
}

/**
 * The name for the `number`th file of the same name: `report.pdf`, `report (1).pdf`, `report (2).pdf`… The stem is
 * shortened where the whole would be too long.
 *
 * @param name what {@link safeName} gave
 */
export function numberedName(name: string, number: number): string {
  const dot = name.lastIndexOf('.')
  const hasExtension = dot > 0 && byteLength(name.slice(dot)) <= EXTENSION_BYTES_MAX
  const stem = hasExtension ? name.slice(0, dot) : name
  const ending = (number === 0 ? '' : ` (${number})`) + (hasExtension ? name.slice(dot) : '')
  return withoutOpenEnd(shortened(stem, NAME_BYTES_MAX - byteLength(ending)) + ending)
}

function refuseUnsafe(name: string): void {
  const refuse = (detail: string): never => {
    throw new Problem('name-refused', { detail })
  }
  if (name.trim() === '') refuse('the name is empty')
  if (name === '.' || name === '..') refuse('the name stands for a folder')
  if (/[/\\]/.test(name)) refuse('the name contains a path separator')
  if (name.includes('\0')) refuse('the name contains a NUL character')
  if (/^[a-z]:/i.test(name)) refuse('the name begins with a drive letter')
  if (name.toLowerCase().startsWith(inboxFolderName)) refuse('the name is reserved for the receiver itself')
}

function withoutOpenEnd(name: string): string {
  return name.replace(/[. ]+$/, (end) => '_'.repeat(end.length))
}

/** Cuts at the end, between code points. */
function shortened(text: string, bytesMax: number): string {
  if (byteLength(text) <= bytesMax) return text
  let short = ''
  let bytes = 0
  for (const character of text) {
    bytes += byteLength(character)
    if (bytes > bytesMax) break
    short += character
  }
  return short
}

function byteLength(text: string): number {
  return encoder.encode(text).length
}
