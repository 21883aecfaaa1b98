/** Seals and opens whole parts with WebCrypto: the same seal as that of `node-part-cipher.ts`, in any runtime. */
import { Problem } from '../protocol/index.ts'
import type { SubtleKey } from './keys.ts'
import { additionalDataOf, nonceOf, type PartPosition, sealTagBytes } from './part-position.ts'

export type { PartPosition, PartSeal } from './part-position.ts'

/**
 * Seals one part. The caller uses a key and a position for one content only.
 *
 * @returns the sealed part, longer than `plain` by the tag
 */
export async function sealPart(
  partKey: Uint8Array,
  position: PartPosition,
  plain: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const key = await importKey(partKey, 'encrypt')
  return new Uint8Array(await crypto.subtle.encrypt(cipherOf(position), key, plain as Uint8Array<ArrayBuffer>))
}

/**
 * Opens one part.
 *
 * @returns the content of the part, shorter than `sealed` by the tag
 * @throws Problem `seal-broken` when any bit differs from what was sealed
 */
export async function openPart(
  partKey: Uint8Array,
  position: PartPosition,
  sealed: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const key = await importKey(partKey, 'decrypt')
  try {
    return new Uint8Array(await crypto.subtle.decrypt(cipherOf(position), key, sealed as Uint8Array<ArrayBuffer>))
  } catch (cause) {
    throw new Problem('seal-broken', { partNumber: position.partNumber }, { cause })
  }
}

function cipherOf(position: PartPosition) {
  return {
    name: 'AES-GCM',
    iv: nonceOf(position),
    additionalData: additionalDataOf(position),
    tagLength: sealTagBytes * 8,
  }
}

function importKey(partKey: Uint8Array, usage: 'encrypt' | 'decrypt'): Promise<SubtleKey> {
  return crypto.subtle.importKey('raw', partKey as Uint8Array<ArrayBuffer>, 'AES-GCM', false, [usage])
}
