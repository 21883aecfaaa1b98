/**
 * A file that a person has chosen in the browser. The page reads it part by part.
 *
 * A browser shows the name, the size and the time of a file, and no path. After a reload the person chooses the same file again, and
 * the page recognises it by these three. They do not prove its content; the seal record and the signed manifest do. A file of
 * `/proc` has the size 0, and a browser reads it as empty.
 */
import { fileMediaType, fileTraitsOf, Problem } from '../../protocol/index.ts'
import type { OpenSource, Source } from '../../sender/index.ts'
import { lookAt, OpenPageContent, streamOf } from './open-content.ts'

const NS_PER_MS = 1_000_000n

export class BrowserFileSource implements Source {
  readonly path: string
  readonly name: string
  readonly place: string
  readonly sizeBytes: number
  readonly #file: File

  /** @param name the name that receivers see */
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
      const detail = `${this.path} cannot be read. It may have been moved: choose it again.`
      throw new Problem('source-unreadable', { path: this.path, detail }, { cause })
    }
    return open
  }
}

class OpenPageFile extends OpenPageContent {
  readonly #file: File

  constructor(source: BrowserFileSource, file: File) {
    const { mediaType } = fileTraitsOf(file.type)
    // A page is not told whether a file is a program.
    const traits = { mediaType, mtimeNs: BigInt(file.lastModified) * NS_PER_MS, isExecutable: false }
    super(source, { sizeBytes: file.size, lastModified: file.lastModified }, fileMediaType(traits))
    this.#file = file
  }

  look(): Promise<void> {
    return lookAt(this.#file)
  }

  protected slice(offsetBytes: number, lengthBytes: number): Blob {
    return this.#file.slice(offsetBytes, offsetBytes + lengthBytes)
  }

  protected stream(): AsyncGenerator<Uint8Array, void, undefined> {
    return streamOf(this.#file)
  }

  protected async changedPath(): Promise<string> {
    return this.source.path
  }
}
