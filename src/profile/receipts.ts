/** Receipts on this machine, alone in a small file or several in one, each with all data needed to check it without a portal. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Gatherer } from '../async/index.ts'
import { hasCode, makeOwnFolder, readTextOrNull, replaceFile } from '../fs/index.ts'
import { randomText } from '../protocol/index.ts'
import { parseReceiptFile, type ReceiptFile, receiptText } from '../trust/index.ts'

const NAME_BYTES = 6
const RECEIPTS_PER_FILE_MAX = 1_000

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
    const names = await this.#names()
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

  /** Every receipt, once. */
  async *all(): AsyncGenerator<ReceiptFile> {
    const told = new Set<string>()
    for (const name of (await this.#names()).filter((one) => /\.jsonl?$/.test(one))) {
      const text = (await readTextOrNull(join(this.#folder, name))) ?? ''
      const texts = name.endsWith('l') ? text.split('\n').filter((line) => line !== '') : [text]
      for (const receipt of texts.map(parseReceiptFile)) {
        const about = `${receipt.transferId} ${receipt.receiver}`
        if (told.has(about)) continue
        told.add(about)
        yield receipt
      }
    }
  }

  /** Keeps the receipts of another machine, except those that this one has. @returns how many are new */
  async adopt(receipts: readonly ReceiptFile[]): Promise<number> {
    const known = new Set<string>()
    for await (const { transferId, receiver } of this.all()) known.add(`${transferId} ${receiver}`)
    const added = receipts
      .filter(({ transferId, receiver }) => !known.has(`${transferId} ${receiver}`))
      .sort((one, other) => (one.transferId < other.transferId ? -1 : 1))
    // Files of neighbours, so that each is found by the lowest and the highest transferId in it.
    for (let at = 0; at < added.length; at += RECEIPTS_PER_FILE_MAX) {
      await this.#write(added.slice(at, at + RECEIPTS_PER_FILE_MAX))
    }
    return added.length
  }

  async #names(): Promise<string[]> {
    return readdir(this.#folder).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    })
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
