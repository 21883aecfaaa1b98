import { digestDriver } from '../digests/index.ts'
import { type DigestAlgorithm, fromHex } from '../protocol/index.ts'

/** The two digests of one part, in hex. Without a seal they are the same. */
export interface PartDigests {
  /** The digest of the part as it is sent. */
  readonly digest: string
  /** The digest of the part's content in the file. */
  readonly contentDigest: string
}

/**
 * The digest over the content of a file: over the salt, followed by the raw digests of its parts in order.
 *
 * @param salt null for a transfer that was not sealed; then the result equals its manifestDigest
 * @param partDigests of the unsealed parts, in hex, in the order of their numbers
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
