/** The fingerprint of an account's public keys, as text: six groups of four letters and digits. */

const GROUP_LENGTH = 4

/** `abcdefgh…` -> `abcd-efgh-…` */
export function groupedFingerprint(plain: string): string {
  return plain.match(new RegExp(`.{${GROUP_LENGTH}}`, 'g'))?.join('-') ?? ''
}

/** `abcd-efgh-…` -> `abcdefgh…`, as links and names of guests have it. */
export function plainFingerprint(fingerprint: string): string {
  return fingerprint.replaceAll('-', '')
}

/** Reads a fingerprint as people write it: in capitals, with blanks, without dashes. @returns null for other text */
export function parseFingerprint(text: string): string | null {
  // Checked before the case is changed, because some other letters become one of these in lower case.
  const plain = text.replace(/[\s-]/g, '')
  return /^[A-Za-z2-7]{24}$/.test(plain) ? groupedFingerprint(plain.toLowerCase()) : null
}
