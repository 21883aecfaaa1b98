/** Digests of parts as the page computes them. */
import { digestOf } from '../../../src/digests/index.ts'
import { digestLent, digestPart } from '../../../src/page/platform/part-digests.ts'
import type { DigestAlgorithm } from '../../../src/protocol/index.ts'
import { someByte, someBytes } from './some-bytes.ts'

const MIB = 1024 * 1024
const ROUNDS = 5

/** Several at a time, each kept and lent. @returns the digests, in the order of the sizes; otherwise what is wrong */
export function digestsOf(algorithm: DigestAlgorithm, sizes: readonly number[]): Promise<string[]> {
  const found = sizes.map(async (size) => {
    const bytes = someBytes(size)
    const digest = await digestPart(algorithm, bytes)
    if (bytes.length !== size) return 'the buffer is gone'
    const lent = await digestLent(algorithm, bytes)
    if (lent.digest !== digest) return `${digest}, and lent ${lent.digest}`
    const isSame = lent.bytes.length === size && lent.bytes.every((byte, index) => byte === someByte(index))
    return isSame ? digest : 'other bytes came back'
  })
  return Promise.all(found)
}

/** @returns how many times as fast as in JavaScript one part after another is hashed, at best */
export async function gain(algorithm: DigestAlgorithm): Promise<number> {
  let bytes = someBytes(4 * MIB)
  // Not the first time: workers start, and code gets fast.
  digestOf(algorithm, bytes)
  await digestPart(algorithm, bytes)
  const partMs: number[] = []
  const scriptMs: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const beginMs = performance.now()
    bytes = (await digestLent(algorithm, bytes)).bytes
    const betweenMs = performance.now()
    digestOf(algorithm, bytes)
    partMs.push(betweenMs - beginMs)
    scriptMs.push(performance.now() - betweenMs)
  }
  return Math.min(...scriptMs) / Math.min(...partMs)
}
