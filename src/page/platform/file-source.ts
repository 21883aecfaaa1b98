/**
 * A file that somebody has chosen in the browser. It is read part by part, never as a whole.
 *
 * A browser does not show where a file lies, only its name, size and time. After a reload the same file has to be chosen
 * again, and is told by these. They prove nothing about its content: for that there are the seal record and the signed
 * manifest.
 */
import { type DigestAlgorithm, Problem } from '../../protocol/index.ts'
import type { OpenSource, PartDigests, PartSeal, Source, SourceIdentity } from '../../sender/index.ts'
import { sealTagBytes } from '../../trust/index.ts'
import { sealPart } from '../../trust/part-seal.ts'
import { digestPart } from './part-digests.ts'

export class PageFile implements Source {
  readonly path: string
  readonly name: string
  readonly place: string
  readonly sizeBytes: number
  readonly #file: File

  /** @param name what the receivers are told; where a folder was chosen, that says the way to the file */
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
  readonly source: PageFile
  readonly identity: SourceIdentity
  readonly isIdentityProof = false
  readonly #file: File

  constructor(source: PageFile, file: File) {
    this.source = source
    this.identity = { sizeBytes: file.size, lastModified: file.lastModified }
    this.#file = file
  }

  async readPart(
    target: Uint8Array,
    offsetBytes: number,
    digestAlgorithm: DigestAlgorithm,
    seal: PartSeal | null,
  ): Promise<PartDigests> {
    if (seal === null) {
      target.set(await this.#read(offsetBytes, target.length))
      const digest = await digestPart(digestAlgorithm, target)
      return { digest, contentDigest: digest }
    }
    const plain = await this.#read(offsetBytes, target.length - sealTagBytes)
    const contentDigest = await digestPart(digestAlgorithm, plain)
    target.set(await sealPart(seal.partKey, seal.position, plain))
    return { digest: await digestPart(digestAlgorithm, target), contentDigest }
  }

  async assertUnchanged(): Promise<void> {
    try {
      await this.look()
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

  /** Reads a byte: a browser refuses to read any of a file that is not as it was when it was chosen. */
  async look(): Promise<void> {
    await this.#file.slice(Math.max(0, this.#file.size - 1)).arrayBuffer()
  }

  async #read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.#file
      .slice(offsetBytes, offsetBytes + lengthBytes)
      .arrayBuffer()
      .catch((error: unknown) => {
        throw this.#failed(error)
      })
    if (bytes.byteLength !== lengthBytes) throw this.changed('it is shorter than it was')
    return new Uint8Array(bytes)
  }

  #failed(error: unknown): unknown {
    if (!(error instanceof DOMException)) return error
    if (error.name === 'NotReadableError' || error.name === 'NotFoundError') {
      return this.changed('it was changed, moved or removed', error)
    }
    const detail = `${this.source.path}: ${error.message}`
    return new Problem('source-unreadable', { path: this.source.path, detail }, { cause: error })
  }
}
