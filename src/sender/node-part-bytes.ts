/** Hashes and seals a part in the memory in which it lies. */
import { digestDriver, type Hasher } from '../digests/index.ts'
import { replaceInPlace } from '../parts/node-in-place.ts'
import type { DigestAlgorithm } from '../protocol/index.ts'
import { type PartDigests, type PartSeal, sealTagBytes } from '../trust/index.ts'
import { type PartSealer, partSealer } from '../trust/node-part-cipher.ts'

/** The digests of a part, and its seal, taken over the bytes in their order. */
class PartBytes {
  readonly #hasher: Hasher
  readonly #contentHasher: Hasher | null
  readonly #sealer: PartSealer | null

  constructor(digestAlgorithm: DigestAlgorithm, seal: PartSeal | null) {
    this.#sealer = seal === null ? null : partSealer(seal.partKey, seal.position)
    this.#hasher = digestDriver(digestAlgorithm).create()
    this.#contentHasher = seal === null ? null : digestDriver(digestAlgorithm).create()
  }

  /** Takes the next bytes. With a seal, the sealed ones replace them. */
  add(bytes: Uint8Array): void {
    const sealer = this.#sealer
    if (sealer === null) this.#hasher.update(bytes)
    else
      replaceInPlace(bytes, (slice) => {
        this.#contentHasher?.update(slice)
        const sealed = sealer.update(slice)
        this.#hasher.update(sealed)
        return sealed
      })
  }

  /** Ends the part. @param target gets the tag behind the content, where there is a seal */
  finish(target: Uint8Array, lengthBytes: number): PartDigests {
    if (this.#sealer !== null) {
      const tag = this.#sealer.finish()
      target.set(tag, lengthBytes)
      this.#hasher.update(tag)
    }
    const digest = this.#hasher.digest()
    return { digest, contentDigest: this.#contentHasher?.digest() ?? digest }
  }
}

/**
 * Turns a part into what travels, while its bytes come.
 *
 * @param target gets the plain part. With a seal, it has room for the tag behind that
 * @param read puts the next bytes into `target`, from `at` on. @returns how many; it throws at an early end
 */
export async function sealInPlace(
  target: Uint8Array,
  digestAlgorithm: DigestAlgorithm,
  seal: PartSeal | null,
  read: (at: number) => Promise<number>,
): Promise<PartDigests> {
  const part = new PartBytes(digestAlgorithm, seal)
  const lengthBytes = target.length - (seal === null ? 0 : sealTagBytes)
  for (let at = 0; at < lengthBytes; ) {
    const byteCount = await read(at)
    part.add(target.subarray(at, at + byteCount))
    at += byteCount
  }
  return part.finish(target, lengthBytes)
}
