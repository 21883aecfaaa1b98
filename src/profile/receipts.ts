/** Receipts on this machine, alone in a small file or several in one, each with all data needed to check it without a portal. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Gatherer } from '../async/index.ts'
import { hasCode, makeOwnFolder, readTextOrNull, replaceFile } from '../fs/index.ts'
import { randomText } from '../protocol/index.ts'
import { parseReceiptFile, type ReceiptFile, receiptText } from '../trust/index.ts'

const NAME_BYTES = 6

/** The receipts that a sender keeps. */
export class FileReceipts {
  readonly #folder: string
  readonly #kept = new Gatherer((receipts: readonly ReceiptFile[]) => this.#write(receipts), setImmediate)

  /** @param stateFolder the receipts lie in its subfolder `receipts` */
  constructor(stateFolder: string) {
    this.#folder = join(stateFolder, 'receipts')
  }

  /** When it resolves, the receipt survives the loss of power. */
  keep(receipt: ReceiptFile): Promise<void> {
    return this.#kept.add(receipt)
  }

  /** The receipts of one transfer, ordered by receiver. */
  async of(transferId: string): Promise<ReceiptFile[]> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    })
    const found: ReceiptFile[] = []
    for (const name of names.filter((one) => one.startsWith(`${transferId}.`))) {
      const text = await readTextOrNull(join(this.#folder, name))
      if (text !== null) found.push(parseReceiptFile(text))
    }
    for (const name of names.filter((one) => mayHave(one, transferId))) {
      const text = (await readTextOrNull(join(this.#folder, name))) ?? ''
      const lines = text.split('\n').filter((line) => line.includes(transferId))
      found.push(...lines.map(parseReceiptFile).filter((one) => one.transferId === transferId))
    }
    const byReceiver = new Map(found.map((receipt) => [receipt.receiver, receipt]))
    return [...byReceiver.values()].sort((one, other) => (one.receiver < other.receiver ? -1 : 1))
  }

  /** One by itself has a file; those that come together share one, and become durable by one sync. */
  async #write(receipts: readonly ReceiptFile[]): Promise<void> {
    await makeOwnFolder(this.#folder, { withParents: true })
    const [only, ...others] = receipts
    if (only !== undefined && others.length === 0) {
      await replaceFile(join(this.#folder, `${only.transferId}.${only.receiver}.json`), receiptText(only))
      return
    }
    const ids = receipts.map(({ transferId }) => transferId).sort()
    const name = `${ids[0]}_${ids.at(-1)}_${randomText(NAME_BYTES)}.jsonl`
    await replaceFile(join(this.#folder, name), receipts.map((receipt) => `${JSON.stringify(receipt)}\n`).join(''))
  }
}

/** Whether a file of several receipts, named by the lowest and the highest transferId, can have one of this transfer. */
function mayHave(name: string, transferId: string): boolean {
  const [, first, last] = /^([0-9a-f-]{36})_([0-9a-f-]{36})_[A-Za-z0-9_-]+\.jsonl$/.exec(name) ?? []
  return first !== undefined && last !== undefined && first <= transferId && transferId <= last
}
