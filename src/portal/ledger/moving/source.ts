/** A ledger in SQLite that is about to be copied. No other process changes it meanwhile. */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { sqliteLedger } from '../sqlite.ts'

export class LedgerSource implements Disposable {
  readonly database: DatabaseSync
  readonly ledgerId: string
  /** The store that has its parts; null before a portal has served with it. */
  readonly storeId: string | null
  readonly #open: StatementSync

  private constructor(database: DatabaseSync) {
    this.database = database
    const row = database.prepare('select ledger_id, store_id from pairing').get()
    if (row === undefined) throw new Error('the ledger has no id')
    this.ledgerId = String(row.ledger_id)
    this.storeId = row.store_id === null ? null : String(row.store_id)
    this.#open = database.prepare(
      "select digest_algorithm from transfers where transfer_id = ? and state in ('receiving', 'stored')",
    )
  }

  /** Brings the file to the schema of this version, as the start of a portal does, and opens it for reading. */
  static async open(path: string): Promise<LedgerSource> {
    await (await sqliteLedger({ path })).close()
    return new LedgerSource(new DatabaseSync(path, { readOnly: true }))
  }

  /** The digest algorithm of a transfer; null when it has ended or is unknown, so that its parts are only waiting to be removed. */
  digestAlgorithmOfOpen(transferId: string): string | null {
    const row = this.#open.get(transferId)
    return row === undefined ? null : String(row.digest_algorithm)
  }

  [Symbol.dispose](): void {
    this.database.close()
  }
}
