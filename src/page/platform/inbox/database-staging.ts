/**
 * Content in the page's database, for browsers without OPFS (WebKitGTK 2.50): a row for each part, and a row for the
 * length of the file once it is known. Rows are bytes, because such a browser refuses blobs in some windows. A file is
 * assembled in memory when it leaves the browser, so its size is limited.
 */
import { type PageDatabase, writing } from '../database.ts'
import type { Staging } from './staging.ts'

const MIB = 1024 * 1024
/** The largest file that this store receives. */
export const databaseFileBytesMax = 256 * MIB
/** The offset of the length row. It sorts before all content. */
const LENGTH = -1

type RowKey = [purpose: string, transferId: string, atByte: number]

export class DatabaseStaging implements Staging {
  readonly fileBytesMax = databaseFileBytesMax
  readonly #database: PageDatabase
  readonly #purpose: string

  constructor(database: PageDatabase, purpose: string) {
    this.#database = database
    this.#purpose = purpose
  }

  async write(transferId: string, atByte: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const transaction = writing(this.#database, ['staged'])
    // The browser would store the whole buffer of a view, so a partial view is copied.
    const own = bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice()
    await transaction.objectStore('staged').put(own, this.#key(transferId, atByte))
    await transaction.done
  }

  async read(transferId: string, atByte: number, lengthBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const row = await this.#database.get('staged', this.#key(transferId, atByte))
    return row instanceof Uint8Array ? row.slice(0, lengthBytes) : new Uint8Array()
  }

  async truncate(transferId: string, sizeBytes: number): Promise<void> {
    const transaction = writing(this.#database, ['staged'])
    const staged = transaction.objectStore('staged')
    await staged.delete(this.#rows(transferId, sizeBytes))
    await staged.put(sizeBytes, this.#key(transferId, LENGTH))
    await transaction.done
  }

  async close(): Promise<void> {}

  async remove(transferId: string): Promise<void> {
    const transaction = writing(this.#database, ['staged'])
    await transaction.objectStore('staged').delete(this.#rows(transferId, LENGTH))
    await transaction.done
  }

  async sizeBytes(transferId: string): Promise<number | null> {
    const length = await this.#database.get('staged', this.#key(transferId, LENGTH))
    return typeof length === 'number' ? length : null
  }

  async file(transferId: string): Promise<File> {
    const rows = await this.#database.getAll('staged', this.#rows(transferId, 0))
    const length = await this.sizeBytes(transferId)
    const file = new File(
      rows.filter((row) => row instanceof Uint8Array),
      transferId,
    )
    if (file.size !== length) throw new DOMException('the file is incomplete', 'NotFoundError')
    return file
  }

  async transferIds(): Promise<string[]> {
    const keys = await this.#database.getAllKeys('staged', IDBKeyRange.bound([this.#purpose], [this.#purpose, []]))
    return [...new Set(keys.map(([, transferId]) => transferId))]
  }

  [Symbol.dispose](): void {}

  #key(transferId: string, atByte: number): RowKey {
    return [this.#purpose, transferId, atByte]
  }

  #rows(transferId: string, fromByte: number): IDBKeyRange {
    return IDBKeyRange.bound(this.#key(transferId, fromByte), this.#key(transferId, Number.POSITIVE_INFINITY))
  }
}
