/**
 * Computing digests: the registry of algorithms, one file each. Every known algorithm can be computed everywhere, but not always
 * fast. In the page, `X.browser.ts` replaces `X.ts`.
 */
import { type DigestAlgorithm, fromHex, isDigestAlgorithm, knownDigestAlgorithms, Problem } from '../protocol/index.ts'
import { blake3, nativeBlake3 } from './blake3.ts'
import type { DigestDriver } from './driver.ts'
import { sha256 } from './sha-256.ts'

export type { DigestDriver, Hasher } from './driver.ts'

const drivers: Readonly<Record<DigestAlgorithm, DigestDriver>> = { blake3, 'sha-256': sha256 }

/** The algorithms that this machine computes fast, fastest first. A sender chooses from them, and a portal offers them. */
export const fastDigestAlgorithms: readonly DigestAlgorithm[] =
  nativeBlake3 === null ? ['sha-256'] : ['blake3', 'sha-256']

/** @throws Problem `digest-unsupported-algorithm` for a name that is not known here */
export function digestDriver(name: string): DigestDriver {
  if (!isDigestAlgorithm(name)) throw new Problem('digest-unsupported-algorithm', { wanted: knownDigestAlgorithms })
  return drivers[name]
}

/** The digest of one buffer, in hex. */
export function digestOf(algorithm: DigestAlgorithm, bytes: Uint8Array): string {
  const hasher = drivers[algorithm].create()
  hasher.update(bytes)
  return hasher.digest()
}

/**
 * The manifestDigest: the digest over the raw part digests, one after another in the order of their part numbers.
 * This is so for a file of one part, too. That of an empty file is the digest of no bytes.
 *
 * @param partDigests hex, in the order of part numbers
 */
export function manifestDigestOf(algorithm: DigestAlgorithm, partDigests: Iterable<string>): string {
  const hasher = drivers[algorithm].create()
  for (const digest of partDigests) hasher.update(fromHex(digest))
  return hasher.digest()
}
