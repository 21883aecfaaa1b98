/**
 * A folder that a person has chosen in the browser: one tree. Its tar is never made as a whole. Each part of it is a `Blob` of headers and
 * of slices of files, which the browser reads only when the part is read.
 *
 * After a reload the person chooses the same folder again, and the page recognises it by the names, sizes and times of all that is in it.
 */
import { Problem, treeMediaType, treeNameEnd } from '../../protocol/index.ts'
import type { OpenSource, Source } from '../../sender/index.ts'
import { changed, failed, lastOf, lookAt, OpenPageContent, streamOf } from './open-content.ts'
import type { PickedFolder } from './picked-folder.ts'

/** How many files are looked at in one reading. */
const LOOKED_AT_ONCE = 256

export class BrowserFolderSource implements Source {
  readonly path: string
  readonly name: string
  readonly place: string
  readonly sizeBytes: number
  readonly #folder: PickedFolder

  constructor(folder: PickedFolder) {
    this.path = folder.name
    this.name = folder.name + treeNameEnd
    this.place = `a folder, ${folder.digest}`
    this.sizeBytes = folder.index.sizeBytes
    this.#folder = folder
  }

  async open(): Promise<OpenSource> {
    const open = new OpenPageFolder(this, this.#folder)
    try {
      await open.look()
    } catch (cause) {
      if (!(cause instanceof Problem)) throw cause
      const path = String(cause.details.path)
      const detail = `${path} cannot be read. Something may have been moved: choose the folder again.`
      throw new Problem('source-unreadable', { path, detail }, { cause })
    }
    return open
  }
}

class OpenPageFolder extends OpenPageContent {
  readonly #folder: PickedFolder

  constructor(source: BrowserFolderSource, folder: PickedFolder) {
    const { sizeBytes, fileCount, contentBytes } = folder.index
    const identity = { sizeBytes, fileCount, contentBytes, treeDigest: folder.digest }
    super(source, identity, treeMediaType({ fileCount, contentBytes }))
    this.#folder = folder
  }

  async look(): Promise<void> {
    const { index } = this.#folder
    for (let from = 0; from < index.length; from += LOOKED_AT_ONCE) {
      await this.#lookAmong(from, Math.min(from + LOOKED_AT_ONCE, index.length))
    }
  }

  protected slice(offsetBytes: number, lengthBytes: number): Blob {
    const slices: BlobPart[] = []
    for (const segment of this.#folder.index.segments(offsetBytes, lengthBytes)) {
      if (segment.kind === 'bytes') slices.push(segment.bytes.slice())
      else slices.push(this.#file(segment.entry).slice(segment.offsetBytes, segment.offsetBytes + segment.lengthBytes))
    }
    return new Blob(slices)
  }

  protected async *stream(): AsyncGenerator<Uint8Array, void, undefined> {
    const { index } = this.#folder
    for (const segment of index.segments(0, index.sizeBytes)) {
      if (segment.kind === 'bytes') yield segment.bytes.slice()
      else yield* this.#wholeFile(segment.entry)
    }
  }

  /** @throws Problem `source-changed` where the file is not as long as it was */
  async *#wholeFile(entry: number): AsyncGenerator<Uint8Array, void, undefined> {
    const path = this.#folder.index.path(entry)
    const sizeBytes = this.#folder.index.size(entry)
    let readBytes = 0
    try {
      for await (const bytes of streamOf(this.#file(entry))) {
        readBytes += bytes.length
        if (readBytes > sizeBytes) throw changed(path, 'it is longer than it was')
        yield bytes
      }
    } catch (error) {
      // Firefox reports this error where the file was removed.
      throw error instanceof TypeError ? changed(path, 'it cannot be read any more', error) : failed(error, path)
    }
    if (readBytes < sizeBytes) throw changed(path, 'it is shorter than it was')
  }

  protected async changedPath(offsetBytes: number, lengthBytes: number): Promise<string> {
    const { index } = this.#folder
    const last = index.entryAt(offsetBytes + lengthBytes - 1)
    try {
      await this.#lookAtEach(index.entryAt(offsetBytes), last + 1)
    } catch (error) {
      if (error instanceof Problem) return String(error.details.path)
      throw error
    }
    return this.source.path
  }

  /** Looks at many files in one reading, and at each of them only when that fails. */
  async #lookAmong(from: number, to: number): Promise<void> {
    const ends: Blob[] = []
    const empty: number[] = []
    for (let entry = from; entry < to; entry++) {
      const file = this.#folder.file(entry)
      if (file === null) continue
      if (file.size === 0) empty.push(entry)
      else ends.push(lastOf(file))
    }
    // A browser does not read an empty file as a slice of a larger blob.
    await Promise.all(empty.map((entry) => this.#lookAtEach(entry, entry + 1)))
    const together = new Blob(ends)
    const byteLength = await together.arrayBuffer().then(
      (bytes) => bytes.byteLength,
      () => null,
    )
    if (byteLength !== together.size) await this.#lookAtEach(from, to)
  }

  /** @throws Problem `source-changed`, `source-unreadable` */
  async #lookAtEach(from: number, to: number): Promise<void> {
    for (let entry = from; entry < to; entry++) {
      const file = this.#folder.file(entry)
      if (file === null) continue
      try {
        await lookAt(file)
      } catch (error) {
        throw failed(error, this.#folder.index.path(entry))
      }
    }
  }

  #file(entry: number): File {
    const file = this.#folder.file(entry)
    if (file === null) throw new Error('a folder has no content')
    return file
  }
}
