/** Sealing and opening parts as a whole, by WebCrypto: the same seal as that of `node-part-cipher.ts`, in any runtime. */
import { Problem } from '../protocol/index.ts'
import type { SubtleKey } from './keys.ts'
import { additionalDataOf, nonceOf, type PartPosition } from './part-position.ts'
import { sealTagBytes } from './seal-layout.ts'

export type { PartPosition } from './part-position.ts'

/**
 * Seals one part. A key and a position are for one content only: whoever calls this sees to that.
 *
 * @returns what travels: longer than `plain` by the tag
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
 * @returns what stands in the file: shorter than `sealed` by the tag
 * @throws Problem `seal-broken` when any bit is not as it was sealed
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
