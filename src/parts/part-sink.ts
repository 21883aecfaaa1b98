import type { DigestAlgorithm } from '../protocol/index.ts'

/** Where the bytes of one part go. Exactly one of `commit`, `keep` and `discard` is called, once, as the last call. */
export interface PartSink {
  /** True when the sink keeps the written buffers and frees their memory itself. */
  readonly retainsBuffers?: boolean
  /** Appends. The buffers belong to the sink until the promise resolves. */
  write(buffers: readonly Uint8Array[]): Promise<void>
  /** Makes the part durable, then visible under its number. @param digest of all that was written, in hex */
  commit(digest: string): Promise<void>
  /**
   * Called instead of `discard` when the source of the part broke off, if it is there: makes what was written durable, so that a later
   * request can continue the part. @param digest of all that was written, in hex
   */
  keep?(digest: string): Promise<void>
  /** Leaves no trace of the part. Never throws for a part that is already gone. */
  discard(): Promise<void>
}

/** The expected part. */
export interface PartExpectation {
  readonly partNumber: number
  readonly lengthBytes: number
  readonly digestAlgorithm: DigestAlgorithm
  /** hex */
  readonly digest: string
}
