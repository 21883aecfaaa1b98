/** Digests of parts as the page computes them, held against those that are computed at once. */
import { digestOf } from '../../../src/digests/index.ts'
import { digestPart } from '../../../src/page/platform/part-digests.ts'
import type { DigestAlgorithm } from '../../../src/protocol/index.ts'

function someBytes(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, index) => (index * 7 + (index >> 8)) & 255)
}

/** Several at a time. @returns what is wrong */
export async function differences(algorithm: DigestAlgorithm, sizes: readonly number[]): Promise<string[]> {
  const found = sizes.map(async (size) => {
    const bytes = someBytes(size)
    const digest = await digestPart(algorithm, bytes)
    if (bytes.length !== size) return `${size}: the buffer is gone`
    return digest === digestOf(algorithm, bytes) ? '' : `${size}: ${digest}`
  })
  return (await Promise.all(found)).filter((text) => text !== '')
}

/** @returns MiB a second for so many parts of that size, several at a time */
export async function pace(algorithm: DigestAlgorithm, sizeBytes: number, count: number): Promise<number> {
  const bytes = someBytes(sizeBytes)
  await digestPart(algorithm, bytes)
  const begunAtMs = performance.now()
  await Promise.all(Array.from({ length: count }, () => digestPart(algorithm, bytes)))
  return (sizeBytes * count) / 1024 / 1024 / ((performance.now() - begunAtMs) / 1000)
}
