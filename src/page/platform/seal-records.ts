/**
 * Seal records in the browser's database: one row for each sealed part, and a head row with their count.
 *
 * IndexedDB serialises transactions that write the same store, across all tabs. So one transaction checks that the row
 * is absent and adds it, and the row is on disk when the transaction has ended. The head changes in the same
 * transaction. A record that has lost rows or its head is recognisably damaged, and differs from a record of parts that
 * were never sealed.
 */
import { type RecordLayout, SealConflictError, type SealRecord, type SealRecords } from '../../sender/index.ts'
import { type PageDatabase, writing } from './database.ts'

const HEAD = 0

export class PageSealRecords implements SealRecords {
  readonly #database: PageDatabase

  constructor(database: PageDatabase) {
    this.#database = database
  }

  async begin(transferId: string, layout: RecordLayout): Promise<void> {
    const transaction = writing(this.#database, ['sealed'])
    await transaction.objectStore('sealed').add(headOf(layout, 0), [transferId, HEAD])
    await transaction.done
  }

  async open(transferId: string, layout: RecordLayout, held: ReadonlyMap<number, string>): Promise<SealRecord | null> {
    const rows = this.#database.transaction('sealed').store
    const [keys, values] = await Promise.all([
      rows.getAllKeys(recordRange(transferId)),
      rows.getAll(recordRange(transferId)),
    ])
    const noted = new Map(keys.map(([, partNumber], index) => [partNumber, values[index]]))
    const head = noted.get(HEAD)
    noted.delete(HEAD)
    if (head !== headOf(layout, noted.size)) return null
    if ([...held].some(([partNumber, digest]) => noted.get(partNumber) !== digest)) return null
    return new PageSealRecord(this.#database, transferId, layout)
  }

  async remove(transferId: string): Promise<void> {
    const transaction = writing(this.#database, ['sealed'])
    await transaction.objectStore('sealed').delete(recordRange(transferId))
    await transaction.done
  }
}

class PageSealRecord implements SealRecord {
  readonly #database: PageDatabase
  readonly #transferId: string
  readonly #layout: RecordLayout

  constructor(database: PageDatabase, transferId: string, layout: RecordLayout) {
    this.#database = database
    this.#transferId = transferId
    this.#layout = layout
  }

  async note(partNumber: number, digest: string): Promise<void> {
    const transaction = writing(this.#database, ['sealed'])
    const rows = transaction.objectStore('sealed')
    const [head, known] = await Promise.all([
      rows.get([this.#transferId, HEAD]),
      rows.get([this.#transferId, partNumber]),
    ])
    const count = head === undefined ? null : countOf(head)
    if (count !== null && known === undefined) {
      await rows.put(digest, [this.#transferId, partNumber])
      await rows.put(headOf(this.#layout, count + 1), [this.#transferId, HEAD])
    }
    await transaction.done
    if (count === null) throw new SealConflictError('there is no record of what was sealed with this key')
    if (known !== undefined && known !== digest) {
      throw new SealConflictError(`part ${partNumber} was sealed with other content`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** All rows of a transfer. */
export function recordRange(transferId: string): IDBKeyRange {
  return IDBKeyRange.bound([transferId, HEAD], [transferId, Number.POSITIVE_INFINITY])
}

function headOf({ partCount, digestBytes }: RecordLayout, count: number): string {
  return `${count} of ${partCount} parts, ${digestBytes} bytes each`
}

/** The number of parts that a head counts. */
function countOf(head: string): number | null {
  const count = Number.parseInt(head, 10)
  return Number.isNaN(count) ? null : count
}
