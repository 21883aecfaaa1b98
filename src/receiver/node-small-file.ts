/**
 * A small file that is being received: it is held in memory and written once it is whole. After a crash it is fetched again.
 */
import type { Readable } from 'node:stream'
import { hasCode, removeFile, type WriteOptions, writeNewFile } from '../fs/index.ts'
import type { PartSink } from '../parts/index.ts'
import { type FileTraits, isWhole, secondsText, wholeSizeBytesMax } from '../protocol/index.ts'
import type { CommitRecord } from './inbox.ts'
import type { ArrivingPart, IncomingFile, PartialLayout, ReceiveLimits } from './incoming-file.ts'
import { receiveArrivingPart } from './node-arriving-part.ts'
import { modeOf, type TransferPaths } from './node-partial-file.ts'

/** Whether a file is small enough to be held in memory until it is whole. */
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
  readonly #traits: FileTraits
  readonly #isLogged: boolean
  #content: HeldContent | null = null

  /** @param isLogged whether it goes through the log of small files, so that `finish` need not write it */
  constructor(paths: TransferPaths, { sizeBytes }: PartialLayout, traits: FileTraits, isLogged: boolean) {
    this.#paths = paths
    this.#sizeBytes = sizeBytes
    this.#traits = traits
    this.#isLogged = isLogged
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

  receivePart(part: ArrivingPart<Readable>, limits: ReceiveLimits): Promise<void> {
    return receiveArrivingPart(part, limits, (contentDigest) => this.#sink(contentDigest))
  }

  async startOver(): Promise<void> {
    this.#content = null
  }

  async finish(): Promise<void> {
    // Logged, it becomes durable with others, when it gets its name.
    if (!this.#isLogged) await this.write({ isSynced: true })
  }

  /** The whole content. */
  get buffers(): readonly Uint8Array[] {
    const buffers = this.#content?.buffers ?? []
    const heldBytes = buffers.reduce((sum, { length }) => sum + length, 0)
    // The verified bytes must still be there: their memory is lent, and a mistake elsewhere may have detached it.
    if (heldBytes !== this.#sizeBytes) throw new Error(`${heldBytes} bytes are held of ${this.#sizeBytes}`)
    return buffers
  }

  /** The traits for the record in the log. */
  get recordTraits(): Pick<CommitRecord, 'mtime' | 'isExecutable'> {
    const { mtimeNs, isExecutable } = this.#traits
    return {
      ...(mtimeNs === null ? {} : { mtime: secondsText(mtimeNs) }),
      ...(isExecutable ? { isExecutable } : {}),
    }
  }

  /** Writes it beside the other unfinished content. */
  async write(how: Pick<WriteOptions, 'isSynced'>): Promise<void> {
    const { partial } = this.#paths
    const { buffers } = this
    const write = () => writeNewFile(partial, buffers, modeOf(this.#traits), { ...how, mtimeNs: this.#traits.mtimeNs })
    try {
      await write()
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error
      // Removed, not truncated: after a crash it may be the old name of a file that is published already.
      await removeFile(partial)
      await write()
    }
  }

  async close(): Promise<void> {}

  #sink(contentDigest?: () => string): PartSink {
    const buffers: Uint8Array[] = []
    return {
      retainsBuffers: true,
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
