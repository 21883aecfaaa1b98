/** Strict encodings of bytes as text: a decoder accepts only text that the encoder can produce. */
import { decodeBase64, encodeBase64 } from './base64.ts'

/** Base64url without padding (RFC 4648 section 5). */
export function toBase64Url(bytes: Uint8Array): string {
  return encodeBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** @returns null for any text that {@link toBase64Url} cannot produce, for instance one with set bits behind the last byte */
export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> | null {
  const bitsBehind = BITS_BEHIND[text.length % 4]
  if (bitsBehind === undefined || !/^[A-Za-z0-9_-]*$/.test(text)) return null
  const last = text.length === 0 ? 0 : BASE64URL.indexOf(text.at(-1) ?? '')
  if ((last & ((1 << bitsBehind) - 1)) !== 0) return null
  return decodeBase64(text.replaceAll('-', '+').replaceAll('_', '/'))
}

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
/** The unused bits of the last character, by the length of the text modulo 4. No text has a remainder of 1. */
const BITS_BEHIND: readonly (number | undefined)[] = [0, undefined, 4, 2]

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'
const BASE32_BITS = 5
const BYTE_BITS = 8

/** Lower-case base32 (RFC 4648 section 6). The length in bytes must be a multiple of 5. */
export function toBase32(bytes: Uint8Array): string {
  let text = ''
  let bits = 0
  let value = 0
  for (const byte of bytes) {
    value = (value << BYTE_BITS) | byte
    bits += BYTE_BITS
    while (bits >= BASE32_BITS) {
      bits -= BASE32_BITS
      text += BASE32[(value >>> bits) & 31]
    }
    value &= (1 << bits) - 1
  }
  return text
}

export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text)
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** The 16 bytes of a UUID. @param transferId must be validated */
export function transferIdBytes(transferId: string): Uint8Array<ArrayBuffer> {
  const hex = transferId.replaceAll('-', '')
  return Uint8Array.from({ length: hex.length / 2 }, (_, index) =>
    Number.parseInt(hex.slice(2 * index, 2 * index + 2), 16),
  )
}

/** Compares secrets in constant time. */
export function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false
  let difference = 0
  for (const [index, byte] of one.entries()) difference |= byte ^ (other[index] ?? 0)
  return difference === 0
}
