/** Runs in a worker: computes one digest after another, of bytes that come in slices. */
import { type DigestDriver, digestDriver, type Hasher } from '../../digests/index.ts'
import type { DigestAlgorithm } from '../../protocol/index.ts'
import { compiledBlake3 } from './compiled-blake3.ts'

export interface DigestTask {
  readonly algorithm: DigestAlgorithm
  readonly bytes: Uint8Array
  /** Whether the part ends with these bytes. */
  readonly isLast: boolean
}

/** Each message is answered, in their order; the last one of a part with the digest. */
export interface DigestAnswer {
  readonly digest: string | null
}

const compiling = compiledBlake3()
let hasher: Hasher | null = null

self.onmessage = async ({ data: { algorithm, bytes, isLast } }: MessageEvent<DigestTask>) => {
  // Always awaited: so messages are taken in the order in which they came.
  const compiled = await compiling
  try {
    hasher ??= driverOf(algorithm, compiled).create()
    hasher.update(bytes)
    const digest = isLast ? hasher.digest() : null
    if (isLast) hasher = null
    self.postMessage({ digest } satisfies DigestAnswer)
  } catch (error) {
    // What is thrown after an `await`, whoever started the worker does not hear of.
    self.reportError(error)
  }
}

function driverOf(algorithm: DigestAlgorithm, compiled: DigestDriver | null): DigestDriver {
  return compiled !== null && compiled.name === algorithm ? compiled : digestDriver(algorithm)
}
