/** Runs in a worker: computes one digest after another, of bytes that come in slices. */
import { digestDriver, type Hasher } from '../../digests/index.ts'
import type { DigestAlgorithm } from '../../protocol/index.ts'

/** The last message of a digest has no bytes. */
export interface DigestTask {
  readonly algorithm: DigestAlgorithm
  readonly bytes: Uint8Array | null
}

/** Each message is answered; the last one with the digest. */
export interface DigestAnswer {
  readonly digest: string | null
}

let hasher: Hasher | null = null

self.onmessage = ({ data: { algorithm, bytes } }: MessageEvent<DigestTask>) => {
  hasher ??= digestDriver(algorithm).create()
  let digest: string | null = null
  if (bytes === null) {
    digest = hasher.digest()
    hasher = null
  } else {
    hasher.update(bytes)
  }
  self.postMessage({ digest } satisfies DigestAnswer)
}
