/**
 * Computing digests: the registry of algorithms, one file each. Every algorithm that is known can be computed, if not fast. What
 * computes them differs between Node and browsers: there `X.browser.ts` takes the place of `X.ts`.
 */
import { type DigestAlgorithm, fromHex, isDigestAlgorithm, knownDigestAlgorithms, Problem } from '../protocol/index.ts'
import { blake3, nativeBlake3 } from './blake3.ts'
import type { DigestDriver } from './driver.ts'
import { sha256 } from './sha-256.ts'

export type { DigestDriver, Hasher } from './driver.ts'

const drivers: Readonly<Record<DigestAlgorithm, DigestDriver>> = { blake3, 'sha-256': sha256 }

/** The algorithms that this machine computes fast, fastest first: what a sender chooses from, and a portal offers. */
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
 * This holds for a file of one part too; an empty file's is the digest of nothing.
 *
 * @param partDigests hex, in the order of part numbers
 */
export function manifestDigestOf(algorithm: DigestAlgorithm, partDigests: Iterable<string>): string {
  const hasher = drivers[algorithm].create()
  for (const digest of partDigests) hasher.update(fromHex(digest))
  return hasher.digest()
}
