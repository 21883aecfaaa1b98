/** A fingerprint in two forms: text to read out, and a picture to recognise at a glance. */

/** The base32 alphabet, in order. */
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'
/** Colours that differ in lightness, so that they are distinct without colour vision. */
const SHADES = ['var(--line)', 'var(--hop-1)', 'var(--hop-2)', 'var(--ink)'] as const

/** 24 squares, one for each letter, in four shades. The text shows the whole fingerprint, the picture half of it. */
export function FingerprintPicture({ fingerprint }: { readonly fingerprint: string }) {
  const letters = [...fingerprint.replaceAll('-', '')]
  return (
    <div class="print" aria-hidden="true">
      {letters.map((letter, index) => (
        <i
          key={`${index} ${letter}`}
          style={{ background: SHADES[BASE32.indexOf(letter) % SHADES.length] ?? SHADES[0] }}
        />
      ))}
    </div>
  )
}
