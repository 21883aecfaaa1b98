/** Hashes and seals a part that lies in memory. */
import { setImmediate } from 'node:timers/promises'
import { digestDriver, type Hasher } from '../digests/index.ts'
import { replaceInPlace } from '../parts/node-in-place.ts'
import type { DigestAlgorithm } from '../protocol/index.ts'
import type { PartDigests, PartSeal } from '../trust/index.ts'
import { type PartSealer, partSealer } from '../trust/node-part-cipher.ts'

/** After so many bytes the process does other work. */
const BREAK_BYTES = 1024 * 1024

/** The digests of a part, and its seal, taken over the bytes in their order. */
export class PartBytes {
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
 * Turns a part into what travels.
 *
 * @param target begins with the plain part. With a seal, the tag follows it
 */
export async function digestsInPlace(
  target: Uint8Array,
  lengthBytes: number,
  digestAlgorithm: DigestAlgorithm,
  seal: PartSeal | null,
): Promise<PartDigests> {
  const part = new PartBytes(digestAlgorithm, seal)
  for (let at = 0; at < lengthBytes; at += BREAK_BYTES) {
    part.add(target.subarray(at, Math.min(at + BREAK_BYTES, lengthBytes)))
    if (at + BREAK_BYTES < lengthBytes) await setImmediate()
  }
  return part.finish(target, lengthBytes)
}
