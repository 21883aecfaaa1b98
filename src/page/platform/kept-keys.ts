/**
 * The keys of this browser in its database. Most browsers can store a CryptoKey, which even the page cannot read.
 * WebKitGTK 2.50 stores an X25519 key without an error and returns null, as it does for any object that contains one.
 * There the database holds the key as bytes, encrypted by another key that cannot be exported. The page uses unwrapped
 * keys that cannot be exported either, but a malicious script in the page could unwrap the bytes as extractable and
 * read them.
 */
import { AccountKeys, type HeldKeys } from '../../trust/index.ts'

const IV_BYTES = 12
const FORMAT = 'pkcs8'

/** How the decryption key is stored. */
export type KeyKeeping = 'as-key' | 'wrapped'

interface WrappedKey {
  /** PKCS #8, encrypted by AES-GCM (RFC 5116). */
  readonly wrapped: Uint8Array<ArrayBuffer>
  readonly iv: Uint8Array<ArrayBuffer>
  readonly wrappingKey: CryptoKey
}

export interface KeptKeys {
  readonly publicKeys: HeldKeys['publicKeys']
  readonly signingKey: HeldKeys['signingKey']
  readonly decryptionKey: HeldKeys['decryptionKey'] | WrappedKey
}

/** Makes new keys, in the form that the database stores. */
export async function makeKeptKeys(keeping: KeyKeeping): Promise<KeptKeys> {
  if (keeping === 'as-key') {
    const { publicKeys, signingKey, decryptionKey } = await AccountKeys.generateHeld()
    return { publicKeys, signingKey, decryptionKey }
  }
  const { publicKeys, signingKey, decryptionKey } = await AccountKeys.generateWrappable()
  const usages = ['wrapKey', 'unwrapKey'] as const
  const wrappingKey = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, usages)
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  const wrapped = await crypto.subtle.wrapKey(FORMAT, decryptionKey, wrappingKey, { name: 'AES-GCM', iv })
  return { publicKeys, signingKey, decryptionKey: { wrapped: new Uint8Array(wrapped), iv, wrappingKey } }
}

/** The usable keys; none of them can be exported. */
export async function openKeptKeys({ publicKeys, signingKey, decryptionKey: kept }: KeptKeys): Promise<AccountKeys> {
  const decryptionKey = 'wrapped' in kept ? await unwrap(kept) : kept
  return AccountKeys.fromHeld({ publicKeys, signingKey, decryptionKey })
}

function unwrap({ wrapped, iv, wrappingKey }: WrappedKey): Promise<CryptoKey> {
  const cipher = { name: 'AES-GCM', iv }
  return crypto.subtle.unwrapKey(FORMAT, wrapped, wrappingKey, cipher, { name: 'X25519' }, false, ['deriveBits'])
}
