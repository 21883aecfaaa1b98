/** The contract of the cryptography that this folder uses. Node and browsers have one driver each, and one suite tests both. */
import type { SubtleKey } from './keys.ts'

/** Node's driver returns values, the browser's returns promises. */
type Awaitable<Value> = Value | Promise<Value>

/** Data that an HPKE message is bound to, besides its receiver's key. */
export interface HpkeBinding {
  readonly info: Uint8Array
  /** Empty by default. */
  readonly aad?: Uint8Array
}

export interface CryptoDriver {
  /** Ed25519 (RFC 8032). @returns 64 bytes */
  sign(key: SubtleKey, message: Uint8Array): Awaitable<Uint8Array>
  /** @param publicKey 32 raw bytes. @throws Error when they are not a valid key */
  verify(publicKey: Uint8Array, signature: Uint8Array, message: Uint8Array): Awaitable<boolean>
  /**
   * Seals one message by HPKE (RFC 9180): base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
   *
   * @param publicKey 32 raw bytes
   * @returns the encapsulated key, 32 bytes, then the ciphertext
   * @throws Error when the public key is not valid
   */
  hpkeSeal(publicKey: Uint8Array, binding: HpkeBinding, plain: Uint8Array): Awaitable<Uint8Array>
  /** Opens the result of `hpkeSeal`. @throws Error when it was not sealed for this key pair and this binding */
  hpkeOpen(
    pair: { readonly publicKey: Uint8Array; readonly decryptionKey: SubtleKey },
    binding: HpkeBinding,
    sealed: Uint8Array,
  ): Awaitable<Uint8Array>
  /** HKDF-SHA256 (RFC 5869). @returns 32 bytes for each info */
  hkdf(secret: Uint8Array, salt: Uint8Array, infos: readonly string[]): Awaitable<Uint8Array[]>
  /** scrypt (RFC 7914) with N = 2^17, r = 8, p = 1: 128 MiB of memory and about half a second, so that guessing is dear. @returns 32 bytes */
  scrypt(passphrase: Uint8Array, salt: Uint8Array): Promise<Uint8Array>
  /** AES-256-GCM with a tag of 16 bytes. @returns the ciphertext, then the tag */
  encrypt(cipher: GcmKey, plain: Uint8Array): Awaitable<Uint8Array>
  /** @throws Error when any bit differs from what was encrypted */
  decrypt(cipher: GcmKey, sealed: Uint8Array): Awaitable<Uint8Array>
}

/** The caller uses a key and a nonce for one content only. */
export interface GcmKey {
  readonly key: Uint8Array
  readonly nonce: Uint8Array
  readonly aad: Uint8Array
}

/** Length of the ephemeral public key that HPKE sends along. */
export const encapsulatedBytes = 32
export const gcmTagBytes = 16
export const scryptCost = { N: 2 ** 17, r: 8, p: 1 } as const
