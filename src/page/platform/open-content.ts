/**
 * Content that a person has chosen in the browser, and that is read part by part.
 *
 * Chromium refuses to read a file that has changed since it was chosen. Firefox reads what the file holds now, and keeps telling the
 * old size and time. So in every other browser than Chromium the page reads the whole content a second time after the last part, and
 * compares. This costs one more reading and hashing of it, and no traffic.
 */
import { type DigestAlgorithm, Problem } from '../../protocol/index.ts'
import { type OpenSource, PartsRead, type ReadPart, type Source, type SourceIdentity } from '../../sender/index.ts'
import { type PartDigests, type PartSeal, sealTagBytes } from '../../trust/index.ts'
import { refusesChangedFiles } from './browser.ts'
import { digestLent, readPart } from './part-workers.ts'

const WRITTEN = 'it was changed'
export const gone = 'it was changed, moved or removed'
/** The error names for a file that became unreadable. Firefox uses `AbortError`. */
const GONE: ReadonlySet<string> = new Set(['NotReadableError', 'NotFoundError', 'AbortError'])

export abstract class OpenPageContent implements OpenSource {
  readonly source: Source
  readonly identity: SourceIdentity
  readonly mediaType: string | undefined
  readonly isIdentityProof = false
  readonly #parts = new PartsRead()

  constructor(source: Source, identity: SourceIdentity, mediaType: string | undefined) {
    this.source = source
    this.identity = identity
    this.mediaType = mediaType
  }

  /** Fails where a file has changed, as far as the browser notices it without reading all of it. */
  abstract look(): Promise<void>
  protected abstract slice(offsetBytes: number, lengthBytes: number): Blob
  /** All of it as it is now, which may be longer or shorter than it was. */
  protected abstract stream(): AsyncGenerator<Uint8Array, void, undefined>
  /** The path of the file in a part that cannot be read any more. */
  protected abstract changedPath(offsetBytes: number, lengthBytes: number): Promise<string>

  async readPart(
    target: Uint8Array,
    offsetBytes: number,
    digestAlgorithm: DigestAlgorithm,
    seal: PartSeal | null,
  ): Promise<PartDigests> {
    const lengthBytes = target.length - (seal === null ? 0 : sealTagBytes)
    const content = this.slice(offsetBytes, lengthBytes)
    const read = await readPart(content, digestAlgorithm, seal).catch(async (error: unknown) => {
      throw failed(error, await this.changedPath(offsetBytes, lengthBytes))
    })
    const { digest, contentDigest, bytes } = read
    if (bytes.length !== target.length) {
      throw changed(await this.changedPath(offsetBytes, lengthBytes), 'it is shorter than it was')
    }
    // A write between two reads of a part is detected at once.
    if (!this.#parts.note({ offsetBytes, lengthBytes, digestAlgorithm, contentDigest })) throw this.changed(WRITTEN)
    target.set(bytes)
    return { digest, contentDigest }
  }

  /** Detects a write between two parts: one of them now has other content. */
  async assertUnchanged(onRead?: () => Promise<void>): Promise<void> {
    try {
      await this.look()
      if (!refusesChangedFiles && !this.#parts.isEmpty) await this.#readAgain(onRead)
    } catch (error) {
      throw failed(error, this.source.path)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  changed(how: string, cause?: unknown): Problem {
    return changed(this.source.path, how, cause)
  }

  /** Compares the digests of the parts with the present content. It ends where the files end now, so that appended bytes are detected. */
  async #readAgain(onRead: (() => Promise<void>) | undefined): Promise<void> {
    const content = new ContentReader(this.stream())
    let spare: Uint8Array<ArrayBuffer> = new Uint8Array()
    const digestOf = async ({ lengthBytes, digestAlgorithm }: ReadPart): Promise<string | null> => {
      const bytes = spare.length === lengthBytes ? spare : new Uint8Array(lengthBytes)
      if ((await content.fill(bytes)) < lengthBytes) return null
      const lent = await digestLent(digestAlgorithm, bytes)
      spare = lent.bytes
      return lent.digest
    }
    try {
      if (!(await this.#parts.isSame(this.identity.sizeBytes, digestOf, onRead))) throw this.changed(WRITTEN)
      if ((await content.fill(new Uint8Array(1))) > 0) throw this.changed('it is longer than it was')
    } catch (error) {
      // Firefox reports this error where the file was removed.
      throw error instanceof TypeError ? this.changed('it cannot be read any more', error) : error
    } finally {
      content.close()
    }
  }
}

/** What an error of reading means. @param path of the file */
export function failed(error: unknown, path: string): unknown {
  if (!(error instanceof DOMException)) return error
  if (GONE.has(error.name)) return changed(path, gone, error)
  return new Problem('source-unreadable', { path, detail: `${path}: ${error.message}` }, { cause: error })
}

export function changed(path: string, how: string, cause?: unknown): Problem {
  const detail = `${path}: ${how}. Choose it again once nothing writes to it.`
  return new Problem('source-changed', { path, detail }, { cause })
}

/** Reads one byte. Chromium refuses that where the file has changed, and every browser where it was removed. */
export async function lookAt(file: File): Promise<void> {
  const last = lastOf(file)
  const { byteLength } = await last.arrayBuffer()
  if (byteLength !== last.size) throw new DOMException('it is not as long as it was', 'NotReadableError')
}

/** The end of a file. A browser does not read an empty slice, so an empty file is taken as a whole. */
export function lastOf(file: File): Blob {
  return file.size === 0 ? file : file.slice(file.size - 1)
}

/** A file as it is now. */
export async function* streamOf(file: File): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = file.stream().getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    // The stream may have failed already.
    reader.cancel().catch(() => {})
  }
}

/** Reads a stream in blocks of a given size. */
class ContentReader {
  readonly #stream: AsyncGenerator<Uint8Array, void, undefined>
  #rest: Uint8Array = new Uint8Array()

  constructor(stream: AsyncGenerator<Uint8Array, void, undefined>) {
    this.#stream = stream
  }

  /** @returns the bytes read; fewer than requested only at the end */
  async fill(target: Uint8Array): Promise<number> {
    let filledBytes = 0
    while (filledBytes < target.length) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#stream.next()
        if (done === true) break
        this.#rest = value
      }
      const bytes = this.#rest.subarray(0, target.length - filledBytes)
      target.set(bytes, filledBytes)
      filledBytes += bytes.length
      this.#rest = this.#rest.subarray(bytes.length)
    }
    return filledBytes
  }

  close(): void {
    this.#stream.return().catch(() => {})
  }
}
