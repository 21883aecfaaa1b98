/** Runs in a worker: computes one digest after another, of parts that are lent to it. */
import { type DigestDriver, digestDriver } from '../../digests/index.ts'
import type { DigestAlgorithm } from '../../protocol/index.ts'
import { compiledBlake3 } from './compiled-blake3.ts'

/** The memory of the bytes comes with it. */
export interface DigestTask {
  readonly algorithm: DigestAlgorithm
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** It goes back with the answer. */
export interface DigestAnswer {
  readonly digest: string
  readonly bytes: Uint8Array<ArrayBuffer>
}

const compiling = compiledBlake3()

self.onmessage = async ({ data: { algorithm, bytes } }: MessageEvent<DigestTask>) => {
  const compiled = await compiling
  try {
    const hasher = driverOf(algorithm, compiled).create()
    hasher.update(bytes)
    const answer: DigestAnswer = { digest: hasher.digest(), bytes }
    self.postMessage(answer, { transfer: [bytes.buffer] })
  } catch (error) {
    // What is thrown after an `await`, whoever started the worker does not hear of.
    self.reportError(error)
  }
}

function driverOf(algorithm: DigestAlgorithm, compiled: DigestDriver | null): DigestDriver {
  return compiled !== null && compiled.name === algorithm ? compiled : digestDriver(algorithm)
}
