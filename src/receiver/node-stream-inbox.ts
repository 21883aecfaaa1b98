/**
 * The inbox that is a stream, for instance standard output: it takes one file, and writes its parts in their order.
 *
 * The promise: only verified parts are written, each once. Before a file has passed its last check, no receipt is signed. What is
 * written cannot be taken back: when that check fails, the file is refused, and the reader of the stream has to be told.
 */
import type { Readable } from 'node:stream'
import { releaseBuffer } from '../buffers/index.ts'
import type { PartSink } from '../parts/index.ts'
import { Problem, randomText } from '../protocol/index.ts'
import type { CommitRecord, Inbox, Published } from './inbox.ts'
import type { ArrivingPart, IncomingFile, PartialLayout, ReceiveLimits } from './incoming-file.ts'
import { receiveArrivingPart } from './node-arriving-part.ts'

const INSTANCE_BYTES = 18

/** Where the content goes. */
export interface Output {
  /** Whether it may still use bytes that it has accepted. Otherwise their memory is reused. */
  readonly keepsBuffers: boolean
  /** Resolves when the bytes are accepted. */
  write(bytes: Uint8Array): Promise<void>
  /** Makes what was written as durable as it can be. */
  finish(): Promise<void>
}

/** Another file came although a part of one is written. It stays at the portal. */
class OutputTakenError extends Error {
  override readonly name = 'OutputTakenError'
}

/** The output failed. The file stays at the portal. */
export class OutputFailedError extends Error {
  override readonly name = 'OutputFailedError'
}

export class StreamInbox implements Inbox<Readable> {
  readonly instanceId = randomText(INSTANCE_BYTES)
  readonly unpacksTrees = false
  /** What is written cannot be continued by another process. */
  readonly keepsParts = false
  readonly takesStreams = true
  readonly #output: Output
  readonly #onFailed: (error: Error) => void
  #file: { readonly transferId: string; readonly written: WrittenFile } | null = null
  #published: { readonly transferId: string; readonly published: Published } | null = null

  /** @param onFailed called when the output takes no more */
  constructor(output: Output, onFailed: (error: Error) => void) {
    this.#output = output
    this.#onFailed = onFailed
  }

  /** Whether a part was written. */
  get hasWritten(): boolean {
    return this.#file !== null && this.#file.written.heldBytes > 0
  }

  async tidy(): Promise<number> {
    return 0
  }

  async freeBytes(): Promise<number> {
    return Number.MAX_SAFE_INTEGER
  }

  async hasBegun(transferId: string): Promise<boolean> {
    return this.hasWritten && this.#file?.transferId === transferId
  }

  async open(transferId: string, layout: PartialLayout): Promise<IncomingFile<Readable>> {
    if (this.hasWritten && this.#file !== null) {
      if (this.#file.transferId !== transferId) throw new OutputTakenError('another file is being written')
      // Offered again after its lease was lost: it continues behind what is written.
      return this.#file.written
    }
    const written = new WrittenFile(this.#output, this.#onFailed, layout)
    this.#file = { transferId, written }
    return written
  }

  async published(transferId: string): Promise<Published | null> {
    return this.#published?.transferId === transferId ? this.#published.published : null
  }

  async commit(
    transferId: string,
    name: string,
    { manifestDigest, receipt }: Pick<CommitRecord, 'manifestDigest' | 'receipt'>,
    finished: Promise<void> = Promise.resolve(),
  ): Promise<Published> {
    await finished
    const published = { name, manifestDigest, receipt }
    this.#published = { transferId, published }
    return published
  }

  async unfinished(): Promise<string[]> {
    return []
  }

  async answered(): Promise<void> {}

  whereIs(): string {
    return '-'
  }

  async discard(): Promise<void> {}

  meaningOf(error: unknown): Problem | 'later' | null {
    if (error instanceof Problem) return error
    return error instanceof OutputTakenError || error instanceof OutputFailedError ? 'later' : null
  }

  async obstacle(): Promise<null> {
    return null
  }
}

/** The digests of a written part. */
interface WrittenPart {
  readonly digest: string
  readonly contentDigest: string
}

class WrittenFile implements IncomingFile<Readable> {
  readonly #output: Output
  readonly #onFailed: (error: Error) => void
  #layout: PartialLayout
  readonly #parts: WrittenPart[] = []
  #writtenBytes = 0
  /** Resolves when another part is written. */
  #progress = Promise.withResolvers<void>()

  constructor(output: Output, onFailed: (error: Error) => void, layout: PartialLayout) {
    this.#output = output
    this.#onFailed = onFailed
    this.#layout = layout
  }

  get held(): ReadonlyMap<number, string> {
    return new Map(this.#parts.map(({ digest }, index) => [index + 1, digest]))
  }

  get heldBytes(): number {
    return this.#writtenBytes
  }

  contentDigests(): string[] {
    return this.#parts.map(({ contentDigest }) => contentDigest)
  }

  receivePart(part: ArrivingPart<Readable>, limits: ReceiveLimits): Promise<void> {
    return receiveArrivingPart(part, limits, (contentDigest) =>
      this.#sink(part.partNumber, contentDigest, limits.signal),
    )
  }

  async sized(sizeBytes: number): Promise<void> {
    this.#layout = {
      sizeBytes,
      partSizeBytes: this.#layout.partSizeBytes,
      digestAlgorithm: this.#layout.digestAlgorithm,
    }
  }

  async startOver(): Promise<void> {
    if (this.#writtenBytes === 0) return
    throw new Problem('manifest-mismatching', { detail: 'the receiver has written parts that it cannot take back' })
  }

  async finish(): Promise<void> {
    const { sizeBytes } = this.#layout
    if (this.#writtenBytes !== sizeBytes) throw new Error(`${this.#writtenBytes} bytes were written of ${sizeBytes}`)
    await this.#guarded(() => this.#output.finish())
  }

  async close(): Promise<void> {}

  /** A part waits in memory until it is verified, and until the parts before it are written. */
  #sink(partNumber: number, contentDigest: (() => string) | undefined, signal: AbortSignal): PartSink {
    const buffers: Uint8Array[] = []
    return {
      retainsBuffers: true,
      write: async (more) => {
        buffers.push(...more)
      },
      commit: async (digest) => {
        await this.#turnOf(partNumber, signal)
        for (let bytes = buffers.shift(); bytes !== undefined; bytes = buffers.shift()) {
          const { length } = bytes
          await this.#guarded(() => this.#output.write(bytes))
          this.#writtenBytes += length
          if (!this.#output.keepsBuffers) releaseBuffer(bytes)
        }
        this.#parts.push({ digest, contentDigest: contentDigest?.() ?? digest })
        this.#progress.resolve()
        this.#progress = Promise.withResolvers()
      },
      discard: async () => {
        buffers.splice(0).forEach(releaseBuffer)
      },
    }
  }

  /** @throws the signal's reason */
  async #turnOf(partNumber: number, signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<never>()
    const abort = (): void => aborted.reject(signal.reason)
    aborted.promise.catch(() => {})
    signal.addEventListener('abort', abort, { once: true })
    try {
      signal.throwIfAborted()
      while (this.#parts.length + 1 !== partNumber) await Promise.race([this.#progress.promise, aborted.promise])
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /** Nothing more can be received once the output has failed. */
  async #guarded(act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (cause) {
      const error = new OutputFailedError(cause instanceof Error ? cause.message : String(cause), { cause })
      this.#onFailed(error)
      throw error
    }
  }
}
