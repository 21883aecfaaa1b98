/**
 * A small file on its way in: it is fetched in one go and written in one go. What a crash leaves of it is nothing, and it is
 * fetched again.
 */
import type { Readable } from 'node:stream'
import type { PartSink } from '../hop/index.ts'
import { createFile, removeFile } from '../hop/node.ts'
import { isWhole, wholeSizeBytesMax } from '../protocol/index.ts'
import type { ArrivingPart, IncomingFile, PartialLayout, TakeLimits } from './incoming-file.ts'
import { FILE_MODE } from './node-partial-file.ts'
import type { TransferPaths } from './node-paths.ts'
import { takeIn } from './node-take-in.ts'

/** Whether a file is one to be held in memory until it is whole. */
export function isSmall(layout: PartialLayout): boolean {
  return isWhole(layout, wholeSizeBytesMax)
}

interface HeldContent {
  readonly buffers: readonly Uint8Array[]
  readonly digest: string
  readonly contentDigest: string
}

export class SmallFile implements IncomingFile<Readable> {
  readonly #paths: TransferPaths
  readonly #sizeBytes: number
  #content: HeldContent | null = null

  constructor(paths: TransferPaths, { sizeBytes }: PartialLayout) {
    this.#paths = paths
    this.#sizeBytes = sizeBytes
  }

  get held(): ReadonlyMap<number, string> {
    return new Map(this.#content === null ? [] : [[1, this.#content.digest]])
  }

  get heldBytes(): number {
    return this.#content === null ? 0 : this.#sizeBytes
  }

  contentDigests(): string[] {
    return this.#content === null ? [] : [this.#content.contentDigest]
  }

  takePart(part: ArrivingPart<Readable>, limits: TakeLimits): Promise<void> {
    return takeIn(part, limits, (contentDigest) => this.#sink(contentDigest))
  }

  async startOver(): Promise<void> {
    this.#content = null
  }

  async finish(): Promise<void> {
    const buffers = this.#content?.buffers ?? []
    const heldBytes = buffers.reduce((sum, { length }) => sum + length, 0)
    // What was verified has to be still there: its memory is lent, and somebody may have given it back.
    if (heldBytes !== this.#sizeBytes) throw new Error(`${heldBytes} bytes are held of ${this.#sizeBytes}`)
    const { partial } = this.#paths
    // Never truncated: after a crash the old one may be a second name of a file that is published already.
    await removeFile(partial)
    await createFile(partial, buffers, FILE_MODE)
  }

  async close(): Promise<void> {}

  #sink(contentDigest?: () => string): PartSink {
    const buffers: Uint8Array[] = []
    return {
      isKeeping: true,
      write: async (more) => {
        buffers.push(...more)
      },
      commit: async (digest) => {
        this.#content = { buffers, digest, contentDigest: contentDigest?.() ?? digest }
      },
      discard: async () => {},
    }
  }
}
