import { digestDriver } from '../digests/index.ts'
import { type DigestAlgorithm, fromHex } from '../protocol/index.ts'

/**
 * The digest over what a file itself holds: of the salt, then of the raw digests of its parts, one after another.
 *
 * @param salt null for a transfer that was not sealed; then this is its manifestDigest
 * @param partDigests of the parts as they stand in the file, in hex, in the order of their numbers
 * @returns hex
 */
export function contentDigestOf(
  algorithm: DigestAlgorithm,
  salt: Uint8Array | null,
  partDigests: Iterable<string>,
): string {
  const hasher = digestDriver(algorithm).create()
  if (salt !== null) hasher.update(salt)
  for (const digest of partDigests) hasher.update(fromHex(digest))
  return hasher.digest()
}
