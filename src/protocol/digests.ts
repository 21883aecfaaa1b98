/**
 * How digests are written: lower-case hex in JSON (comparable with `sha256sum`), and RFC 9530 structured
 * fields in headers (`Content-Digest: sha-256=:base64:`). `src/digests/` computes them.
 */
import { Problem } from './problems.ts'

/**
 * Length of an algorithm's digest in bytes. The names are those of the IANA registry "Hash Algorithms for HTTP Digest
 * Fields", except for `blake3`, which is not in the registry.
 */
export const digestLengthsBytes = { blake3: 32, 'sha-256': 32 } as const

/** A digest algorithm that this version knows. */
export type DigestAlgorithm = keyof typeof digestLengthsBytes

/** All known algorithms. Senders prefer, and portals offer, those that they compute fast. */
export const knownDigestAlgorithms: readonly DigestAlgorithm[] =
  Object.keys(digestLengthsBytes).filter(isDigestAlgorithm)

/** The algorithm that every portal, sender and receiver has. */
export const defaultDigestAlgorithm: DigestAlgorithm = 'sha-256'

/** Whether a name is the name of a known algorithm. */
export function isDigestAlgorithm(name: string): name is DigestAlgorithm {
  return Object.hasOwn(digestLengthsBytes, name)
}

/** Bytes to lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  let hex = ''
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0')
  return hex
}

/** Hex to bytes. The input must match {@link isDigestHex}. */
export function fromHex(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

/** Whether a text is a digest of that algorithm in lower-case hex. */
export function isDigestHex(algorithm: DigestAlgorithm, text: string): boolean {
  return text.length === 2 * digestLengthsBytes[algorithm] && /^[0-9a-f]+$/.test(text)
}

/** A `Content-Digest` field value (RFC 9530 section 2) for one digest in hex. */
export function formatContentDigest(algorithm: DigestAlgorithm, hex: string): string {
  return `${algorithm}=:${btoa(String.fromCharCode(...fromHex(hex)))}:`
}

/**
 * Reads the digest of one algorithm out of a `Content-Digest` field value; other algorithms beside it are ignored,
 * as RFC 9530 section 2 allows, and so are parameters. Of several values the last counts (RFC 8941 section 4.2.2).
 *
 * @returns the digest in hex
 * @throws Problem `digest-required` when the field is absent, `digest-unsupported-algorithm` when it has no digest of
 *   that algorithm, `digest-invalid-value` when the value is not a byte sequence of the right length
 */
export function parseContentDigest(algorithm: DigestAlgorithm, field: string | undefined): string {
  if (field === undefined) throw new Problem('digest-required', { algorithm })
  for (const member of field.split(',').reverse()) {
    const equals = member.indexOf('=')
    if (equals < 0 || member.slice(0, equals).trim() !== algorithm) continue
    const value = /^:([A-Za-z0-9+/]*={0,2}):(?:;.*)?$/.exec(member.slice(equals + 1).trim())?.[1]
    const bytes = value === undefined ? null : decodeBase64(value)
    if (bytes?.length !== digestLengthsBytes[algorithm]) throw new Problem('digest-invalid-value', { algorithm })
    return toHex(bytes)
  }
  throw new Problem('digest-unsupported-algorithm', { wanted: [algorithm] })
}

function decodeBase64(text: string): Uint8Array | null {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0))
  } catch {
    // atob throws only on malformed input, which the caller reports with its own code.
    return null
  }
}
