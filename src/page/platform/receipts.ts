/** Receipts in the browser's database, each with everything that is needed to verify it offline. */
import { conforms } from '../../protocol/index.ts'
import type { KeptReceipt, Receipts } from '../../sender/index.ts'
import { ReceiptFile } from '../../trust/index.ts'
import { change, type PageDatabase } from './database.ts'

export class PageReceipts implements Receipts {
  readonly #database: PageDatabase

  constructor(database: PageDatabase) {
    this.#database = database
  }

  async keep(receipt: KeptReceipt): Promise<void> {
    const { transferId, receiver } = receipt
    await change(this.#database, 'receipts', (receipts) => receipts.put(receipt, [transferId, receiver]))
  }

  /** The receipts of one transfer, by receiver. */
  async of(transferId: string): Promise<KeptReceipt[]> {
    const all: unknown[] = await this.#database.getAll('receipts', IDBKeyRange.bound([transferId], [transferId, []]))
    return all.filter((value) => conforms(ReceiptFile, value))
  }
}
