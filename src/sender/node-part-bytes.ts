/** Hashes and seals a part that lies in memory. */
import { setImmediate } from 'node:timers/promises'
import { releaseBuffer } from '../buffers/index.ts'
import { digestDriver } from '../digests/index.ts'
import type { DigestAlgorithm } from '../protocol/index.ts'
import type { PartDigests, PartSeal } from '../trust/index.ts'
import { type PartSealer, partSealer } from '../trust/node-part-cipher.ts'

/** Bytes sealed and hashed at a time: they stay in the processor's cache between the steps. */
const SEAL_BYTES = 128 * 1024
/** After so many bytes the process does other work. */
const BREAK_BYTES = 1024 * 1024

/** Replaces plain bytes by sealed ones in the same buffer. */
export function sealInPlace(sealer: PartSealer, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += SEAL_BYTES) {
    const slice = bytes.subarray(at, at + SEAL_BYTES)
    const sealed = sealer.update(slice)
    slice.set(sealed)
    releaseBuffer(sealed)
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
  const sealer = seal === null ? null : partSealer(seal.partKey, seal.position)
  const hasher = digestDriver(digestAlgorithm).create()
  const contentHasher = sealer === null ? null : digestDriver(digestAlgorithm).create()
  for (let at = 0; at < lengthBytes; at += BREAK_BYTES) {
    const bytes = target.subarray(at, Math.min(at + BREAK_BYTES, lengthBytes))
    contentHasher?.update(bytes)
    if (sealer !== null) sealInPlace(sealer, bytes)
    hasher.update(bytes)
    if (at + BREAK_BYTES < lengthBytes) await setImmediate()
  }
  if (sealer !== null) {
    const tag = sealer.finish()
    target.set(tag, lengthBytes)
    hasher.update(tag)
  }
  const digest = hasher.digest()
  return { digest, contentDigest: contentHasher?.digest() ?? digest }
}
