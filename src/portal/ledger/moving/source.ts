/** A ledger in SQLite that is about to be copied. No other process changes it meanwhile. */
import { DatabaseSync } from 'node:sqlite'
import { sqliteLedger } from '../sqlite.ts'

/** Parts that the store of the ledger may hold. */
export interface HeldTransfer {
  readonly transferId: string
  readonly generation: string
  readonly digestAlgorithm: string
}

export class LedgerSource implements Disposable {
  readonly database: DatabaseSync
  readonly ledgerId: string
  /** The store that has its parts; null before a portal has served with it. */
  readonly storeId: string | null

  private constructor(database: DatabaseSync) {
    this.database = database
    const row = database.prepare('select ledger_id, store_id from pairing').get()
    if (row === undefined) throw new Error('the ledger has no id')
    this.ledgerId = String(row.ledger_id)
    this.storeId = row.store_id === null ? null : String(row.store_id)
  }

  /** Brings the file to the schema of this version, as the start of a portal does, and opens it for reading. */
  static async open(path: string): Promise<LedgerSource> {
    await (await sqliteLedger({ path })).close()
    return new LedgerSource(new DatabaseSync(path, { readOnly: true }))
  }

  /** Transfers that have not ended. Parts of others, and of earlier generations, are only waiting to be removed. */
  *openTransfers(): Generator<HeldTransfer> {
    const rows = this.database.prepare(
      "select transfer_id, generation, digest_algorithm from transfers where state in ('receiving', 'stored')",
    )
    for (const { transfer_id, generation, digest_algorithm } of rows.iterate()) {
      yield {
        transferId: String(transfer_id),
        generation: String(generation),
        digestAlgorithm: String(digest_algorithm),
      }
    }
  }

  [Symbol.dispose](): void {
    this.database.close()
  }
}
