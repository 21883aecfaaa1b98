/**
 * Makes the name under which a file is written from the name that the sender gave.
 *
 * The promise: whatever name the sender gave, the result is one plain entry of the receiver's folder on any common system. It
 * has no invisible characters and none that change the direction of text, is not hidden, and is not a name that the receiver
 * uses itself. Unsafe characters are replaced visibly by `_`. A name that would need guessing is refused.
 */
import {
  numberedName,
  Problem,
  replaceUnsafe,
  sameNamesMax,
  shortenedText,
  stemAndExtension,
  utf8Length,
  withoutOpenEnd,
} from '../protocol/index.ts'

/** The receiver's own folder inside the folder that it delivers to. */
export const inboxFolderName = '.golooader'

/** Shorter limits to try: 143 bytes fit on encrypting file systems, and 60 on any. */
const SHORTER_NAME_BYTES = [143, 60]
/** Shows where a name was cut. */
const CUT_MARK = '~'
/** Length of such a number with its brackets and the blank. */
const NUMBER_BYTES_MAX = ` (${sameNamesMax})`.length

/** Characters that Windows allows in no name. */
const RESERVED_OF_WINDOWS = /[<>:"|?*]/g
/** Names of Windows devices, with or without an ending. */
const DEVICE_OF_WINDOWS = /^(?:con|prn|aux|nul|clock\$|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)/i

/**
 * The rules for names beyond the single characters of {@link unsafeCharacters}, in the order in which they apply. `_` replaces
 * characters. PROTOCOL.md has the same list; a test compares the two.
 */
export const nameRules: readonly { readonly name: string; apply(name: string): string }[] = [
  { name: 'letters with their marks', apply: (name) => name.normalize('NFC') },
  { name: 'unsafe characters', apply: (name) => replaceUnsafe(name, () => '_') },
  { name: 'characters that Windows reserves', apply: (name) => name.replace(RESERVED_OF_WINDOWS, '_') },
  // Windows drops dots and blanks at the end, so that two names would become one.
  { name: 'dots and blanks at the end', apply: withoutOpenEnd },
  // A sender must not be able to drop a hidden file such as .bashrc.
  { name: 'a dot at the start', apply: (name) => name.replace(/^\./, '_') },
  // For `rm *`, a name such as -rf would be an option.
  { name: '`-` at the start', apply: (name) => name.replace(/^-/, '_') },
  { name: 'names of devices', apply: (name) => (DEVICE_OF_WINDOWS.test(name) ? `_${name}` : name) },
  { name: 'more than 255 bytes', apply: (name) => numberedName(name, 0) },
]

/**
 * A name that is safe to write, and whether it differs from the one given.
 *
 * @throws Problem `name-refused` for a path, a drive, an empty name, or the name of the receiver's own folder
 */
export function safeName(name: string): { readonly name: string; readonly isChanged: boolean } {
  refuseUnsafe(name)
  const safe = nameRules.reduce((changed, rule) => rule.apply(changed), name)
  return { name: safe, isChanged: safe !== name }
}

/** The rule that does not hold inside of a folder that is received: such a name hides nothing that was there. */
const DOT_RULE = 'a dot at the start'

/**
 * A name that is safe to write inside of a folder that is received. Unlike {@link safeName} it refuses none, because one name should not
 * keep the whole folder from arriving.
 */
export function safeNameInTree(name: string): string {
  const rules = nameRules.filter((rule) => rule.name !== DOT_RULE)
  const safe = rules.reduce((changed, rule) => rule.apply(changed), name.replace(/\\/g, '_'))
  return safe.toLowerCase() === inboxFolderName ? `_${safe.slice(1)}` : safe
}

/**
 * A name, followed by the names to try when the file system does not accept it: shorter ones, then ASCII ones. Each keeps the
 * ending and shows where it was cut.
 *
 * @param name from {@link safeName}
 */
export function nameVariants(name: string): string[] {
  const variants = SHORTER_NAME_BYTES.flatMap((bytesMax) => [cut(name, bytesMax), cut(plain(name), bytesMax)])
  return [...new Set([name, ...variants])]
}

function cut(name: string, bytesMax: number): string {
  const [stem, extension] = stemAndExtension(name)
  if (utf8Length(name) + NUMBER_BYTES_MAX <= bytesMax) return name
  return withoutOpenEnd(
    shortenedText(stem, bytesMax - NUMBER_BYTES_MAX - utf8Length(CUT_MARK + extension)) + CUT_MARK + extension,
  )
}

function plain(name: string): string {
  return name.replace(/[^\x20-\x7e]/gu, '_')
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
