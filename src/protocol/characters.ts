/**
 * Characters that are unsafe in text from a peer, above all in names of files, in one table. A program that shows a text prints them
 * as escapes (`printable`); a receiver replaces them by `_` in names (`safeName`). Both use this table, so that they agree about which
 * characters are unsafe.
 */

/** Characters that are unsafe for one reason. */
export interface CharacterClass {
  readonly name: string
  /** The inside of a class of a regular expression with the flag `u`. */
  readonly members: string
}

export const unsafeCharacters: readonly CharacterClass[] = [
  { name: 'control characters', members: '\\p{Cc}' },
  { name: 'separators of lines and paragraphs', members: '\\p{Zl}\\p{Zp}' },
  { name: 'bidirectional controls', members: '\\p{Bidi_Control}' },
  { name: 'invisible characters', members: '\\p{Default_Ignorable_Code_Point}\\p{Cf}' },
  { name: 'lone surrogates', members: '\\p{Surrogate}' },
  { name: 'noncharacters', members: '\\p{Noncharacter_Code_Point}' },
]

/** Scripts whose words are written with U+200C and U+200D between letters. */
const JOINING = ['Arab', 'Syrc', 'Deva', 'Beng', 'Guru', 'Gujr', 'Orya', 'Taml', 'Telu', 'Knda', 'Mlym', 'Sinh']
  .map((script) => `\\p{scx=${script}}`)
  .join('')

const JOINER = '\\u200d'
const PICTURE = '\\p{Extended_Pictographic}'

/** Places where an invisible character is part of a visible one. Each is a regular expression with the flag `u`. */
export const visibleInPlace: readonly { readonly name: string; readonly pattern: string }[] = [
  {
    name: 'the joiner between two emoji',
    pattern: `(?<=${PICTURE}(?:\\ufe0f|\\p{Emoji_Modifier})?)${JOINER}(?=${PICTURE})`,
  },
  { name: 'the choice between emoji and text', pattern: `(?<=${PICTURE})[\\ufe0e\\ufe0f]` },
  { name: 'keycaps', pattern: '(?<=[0-9#*])\\ufe0f(?=\\u20e3)' },
  {
    name: 'flags of regions',
    pattern: '(?<=\\u{1f3f4})[\\u{e0030}-\\u{e0039}\\u{e0061}-\\u{e007a}]{3,6}\\u{e007f}',
  },
  {
    name: 'joiners between letters of scripts that need them',
    pattern: `(?<=[${JOINING}])[\\u200c\\u200d](?=[${JOINING}])`,
  },
  { name: 'variants of ideographs', pattern: '(?<=\\p{Ideographic})[\\u{e0100}-\\u{e01ef}]' },
  { name: 'variants of Mongolian letters', pattern: '(?<=\\p{Script=Mongolian})[\\u180b-\\u180f]' },
  {
    name: 'signs that enclose a number',
    pattern: '[\\u0600-\\u0605\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u{110bd}\\u{110cd}]',
  },
]

/** Texts without any unsafe character. Most are such, and the large expression takes milliseconds to compile. */
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/
/** Made when the first text needs it. */
let unsafe: RegExp | null = null

function unsafeExpression(): RegExp {
  unsafe ??= new RegExp(
    `(${visibleInPlace.map(({ pattern }) => pattern).join('|')})|[${unsafeCharacters.map(({ members }) => members).join('')}]`,
    'gu',
  )
  return unsafe
}

/** Joiners, selectors and tags at the end of a text that was cut: the rest of their character may be missing. */
const DEPENDENT_AT_END =
  /(?:[\u200c\u200d]|[\ufe0e\ufe0f]|[\u180b-\u180f]|[\u{e0030}-\u{e007f}]|[\u{e0100}-\u{e01ef}])+$/u

/** Replaces each character that is unsafe where it stands. */
export function replaceUnsafe(text: string, replacement: (character: string) => string): string {
  if (PRINTABLE_ASCII.test(text)) return text
  return text.replace(unsafeExpression(), (found, visible: string | undefined) => visible ?? replacement(found))
}

/** A text that was cut at its end, without the characters that belonged to the cut part. */
export function withoutDependentEnd(text: string): string {
  return text.replace(DEPENDENT_AT_END, '')
}
