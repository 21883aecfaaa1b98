/** A fingerprint in two forms: as text to be read out, and as a picture that is recognised at a glance. */

/** Letters of base32, in their order. */
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'
/** Colours that are told apart without colours, too: by how light they are. */
const SHADES = ['var(--line)', 'var(--hop-1)', 'var(--hop-2)', 'var(--ink)'] as const

/** 24 squares, one a letter: each has one of four shades. The text says all of it, the picture half. */
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
