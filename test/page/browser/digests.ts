/** Digests of parts as the page computes them. */
import { digestOf } from '../../../src/digests/index.ts'
import { digestLent } from '../../../src/page/platform/part-workers.ts'
import type { DigestAlgorithm } from '../../../src/protocol/index.ts'
import { someByte, someBytes } from './some-bytes.ts'

const MIB = 1024 * 1024
const ROUNDS = 5

/**
 * Computes several digests at a time.
 *
 * @returns the digests, in the order of the sizes; otherwise a description of the failure
 */
export function digestsOf(algorithm: DigestAlgorithm, sizes: readonly number[]): Promise<string[]> {
  const found = sizes.map(async (size) => {
    const lent = await digestLent(algorithm, someBytes(size))
    const isSame = lent.bytes.length === size && lent.bytes.every((byte, index) => byte === someByte(index))
    return isSame ? lent.digest : 'other bytes came back'
  })
  return Promise.all(found)
}

/** @returns the best speed of hashing parts in sequence, as a multiple of the JavaScript speed */
export async function gain(algorithm: DigestAlgorithm): Promise<number> {
  let bytes = someBytes(4 * MIB)
  // The first run is a warm-up: workers start, and the engine optimises the code.
  digestOf(algorithm, bytes)
  bytes = (await digestLent(algorithm, bytes)).bytes
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
