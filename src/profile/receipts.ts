/** Receipts on this machine: one small file each, with all that it takes to check it without any portal. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode, makeFolder, readTextOrNull, replaceFile } from '../hop/node.ts'
import { parseReceiptFile, type ReceiptFile, receiptText } from '../trust/index.ts'

/** The receipts that a sender keeps. */
export class FileReceipts {
  readonly #folder: string

  /** @param stateFolder they lie in its folder `receipts` */
  constructor(stateFolder: string) {
    this.#folder = join(stateFolder, 'receipts')
  }

  /** When it resolves, the receipt survives the loss of power. */
  async keep(receipt: ReceiptFile): Promise<void> {
    await makeFolder(this.#folder)
    await replaceFile(join(this.#folder, `${receipt.transferId}.${receipt.receiver}.json`), receiptText(receipt))
  }

  /** Those of one transfer, by receiver. */
  async of(transferId: string): Promise<ReceiptFile[]> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    })
    const found: ReceiptFile[] = []
    for (const name of names.filter((one) => one.startsWith(`${transferId}.`)).sort()) {
      const text = await readTextOrNull(join(this.#folder, name))
      if (text !== null) found.push(parseReceiptFile(text))
    }
    return found
  }
}
