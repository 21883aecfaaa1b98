/** scrypt (RFC 7914) for browsers. It gives way to the page every few milliseconds. */
import { scryptAsync } from '@noble/hashes/scrypt.js'

/** @returns 32 bytes */
export function scrypt(
  passphrase: Uint8Array,
  salt: Uint8Array,
  cost: { readonly N: number; readonly r: number; readonly p: number },
): Promise<Uint8Array> {
  return scryptAsync(passphrase, salt, { ...cost, dkLen: 32 })
}
