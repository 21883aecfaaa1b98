/**
 * A file that a person has chosen in the browser. The page reads it part by part.
 *
 * A browser shows the name, the size and the time of a file, and no path. After a reload the person chooses the same file again, and
 * the page recognises it by these three. They do not prove its content; the seal record and the signed manifest do. A file of
 * `/proc` has the size 0, and a browser reads it as empty.
 *
 * Chromium refuses to read a file that has changed since it was chosen. Firefox reads what the file holds now, and keeps telling the
 * old size and time. So in every other browser than Chromium the page reads the whole file a second time after the last part, and
 * compares. This costs one more reading and hashing of the file, and no traffic.
 */
import { type DigestAlgorithm, fileMediaType, fileTraitsOf, Problem } from '../../protocol/index.ts'
import type { OpenSource, Source, SourceIdentity } from '../../sender/index.ts'
import { type PartDigests, type PartSeal, sealTagBytes } from '../../trust/index.ts'
import { refusesChangedFiles } from './browser.ts'
import { digestLent, readPart } from './part-workers.ts'

/** One part that was read. */
interface ReadPart {
  readonly lengthBytes: number
  readonly digestAlgorithm: DigestAlgorithm
  /** Of what the file held, in hex. */
  readonly contentDigest: string
}

const NS_PER_MS = 1_000_000n
const WRITTEN = 'it was changed'
/** The error names for a file that became unreadable. Firefox uses `AbortError`. */
const GONE: ReadonlySet<string> = new Set(['NotReadableError', 'NotFoundError', 'AbortError'])

export class BrowserFileSource implements Source {
  readonly path: string
  readonly name: string
  readonly place: string
  readonly sizeBytes: number
  readonly #file: File

  /** @param name the name that receivers see; a file of a chosen folder includes the path */
  constructor(file: File, name = file.name) {
    this.path = name
    this.name = name
    this.place = `${file.size} bytes, of ${file.lastModified}`
    this.sizeBytes = file.size
    this.#file = file
  }

  async open(): Promise<OpenSource> {
    const open = new OpenPageFile(this, this.#file)
    try {
      await open.look()
    } catch (cause) {
      const detail = `${this.path} cannot be read. A folder has to be packed first; a file may have been moved: choose it again.`
      throw new Problem('source-unreadable', { path: this.path, detail }, { cause })
    }
    return open
  }
}

class OpenPageFile implements OpenSource {
  readonly source: BrowserFileSource
  readonly identity: SourceIdentity
  readonly mediaType: string | undefined
  readonly isIdentityProof = false
  readonly #file: File
  /** By offset. */
  readonly #parts = new Map<number, ReadPart>()

  constructor(source: BrowserFileSource, file: File) {
    this.source = source
    this.identity = { sizeBytes: file.size, lastModified: file.lastModified }
    // A page is not told whether a file is a program.
    const { mediaType } = fileTraitsOf(file.type)
    this.mediaType = fileMediaType({ mediaType, mtimeNs: BigInt(file.lastModified) * NS_PER_MS, isExecutable: false })
    this.#file = file
  }

  async readPart(
    target: Uint8Array,
    offsetBytes: number,
    digestAlgorithm: DigestAlgorithm,
    seal: PartSeal | null,
  ): Promise<PartDigests> {
    const lengthBytes = target.length - (seal === null ? 0 : sealTagBytes)
    const content = this.#file.slice(offsetBytes, offsetBytes + lengthBytes)
    const read = await readPart(content, digestAlgorithm, seal).catch((error: unknown) => {
      throw this.#failed(error)
    })
    const { digest, contentDigest, bytes } = read
    if (bytes.length !== target.length) throw this.changed('it is shorter than it was')
    this.#note(offsetBytes, { lengthBytes, digestAlgorithm, contentDigest })
    target.set(bytes)
    return { digest, contentDigest }
  }

  /** Detects a write between two parts: one of them now has other content. */
  async assertUnchanged(onRead?: () => Promise<void>): Promise<void> {
    try {
      await this.look()
      if (!refusesChangedFiles) await this.#readAgain(onRead)
    } catch (error) {
      throw this.#failed(error)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  changed(how: string, cause?: unknown): Problem {
    const { path } = this.source
    const detail = `${path}: ${how}. Choose it again once nothing writes to it.`
    return new Problem('source-changed', { path, detail }, { cause })
  }

  /** Reads one byte. Chromium refuses that where the file has changed, and every browser where it was removed. */
  async look(): Promise<void> {
    // A browser does not read an empty slice, so an empty file is read as a whole.
    const last = this.#file.size === 0 ? this.#file : this.#file.slice(this.#file.size - 1)
    const { byteLength } = await last.arrayBuffer()
    if (byteLength !== last.size) throw this.changed('it is not as long as it was')
  }

  #note(offsetBytes: number, part: ReadPart): void {
    const before = this.#parts.get(offsetBytes)
    const isSameLayout = before?.lengthBytes === part.lengthBytes && before.digestAlgorithm === part.digestAlgorithm
    // Another transfer of the same file starts, with a different part size.
    if (!isSameLayout && offsetBytes === 0) this.#parts.clear()
    if (isSameLayout && before.contentDigest !== part.contentDigest) throw this.changed(WRITTEN)
    this.#parts.set(offsetBytes, part)
  }

  /**
   * Compares the digests of the parts with the present content of the file. The stream of a whole file ends where the
   * file ends now, so the comparison detects appended bytes.
   */
  async #readAgain(onRead: (() => Promise<void>) | undefined): Promise<void> {
    const parts = [...this.#parts].sort(([one], [other]) => one - other)
    if (parts.length === 0) return
    const content = new ContentReader(this.#file.stream())
    try {
      let spare: Uint8Array<ArrayBuffer> | null = null
      for (const [, { lengthBytes, digestAlgorithm, contentDigest }] of parts) {
        const bytes: Uint8Array<ArrayBuffer> = spare?.length === lengthBytes ? spare : new Uint8Array(lengthBytes)
        if ((await content.fill(bytes)) < lengthBytes) throw this.changed('it is shorter than it was')
        const lent = await digestLent(digestAlgorithm, bytes)
        if (lent.digest !== contentDigest) throw this.changed(WRITTEN)
        spare = lent.bytes
        await onRead?.()
      }
      if ((await content.fill(new Uint8Array(1))) > 0) throw this.changed('it is longer than it was')
    } catch (error) {
      // Firefox reports this error where the file was removed.
      throw error instanceof TypeError ? this.changed('it cannot be read any more', error) : error
    } finally {
      content.close()
    }
  }

  #failed(error: unknown): unknown {
    if (!(error instanceof DOMException)) return error
    if (GONE.has(error.name)) return this.changed('it was changed, moved or removed', error)
    const detail = `${this.source.path}: ${error.message}`
    return new Problem('source-unreadable', { path: this.source.path, detail }, { cause: error })
  }
}

/** Reads a stream in blocks of a given size. */
class ContentReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  #rest: Uint8Array = new Uint8Array()

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader()
  }

  /** @returns the bytes read; fewer than requested only at the end of the stream */
  async fill(target: Uint8Array): Promise<number> {
    let filledBytes = 0
    while (filledBytes < target.length) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#reader.read()
        if (done) break
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
    // The stream may have failed already.
    this.#reader.cancel().catch(() => {})
  }
}
