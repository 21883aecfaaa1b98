import type { DigestAlgorithm } from '../protocol/index.ts'

/** A running digest. `digest` may be called once. */
export interface Hasher {
  update(bytes: Uint8Array): void
  /** @returns lower-case hex */
  digest(): string
}

/** One algorithm. */
export interface DigestDriver {
  readonly name: DigestAlgorithm
  create(): Hasher
}
