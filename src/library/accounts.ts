import type { AccountAdmin, AccountSummary, MovedLedger } from '../portal/index.ts'
import { checkOptions } from '../protocol/index.ts'
import { asLibraryCall } from './error.ts'

/** The accounts of a portal, for its operator. */
export interface Accounts extends AsyncDisposable {
  /**
   * Makes a link with which an account joins. The link works once, for 24 hours, and is kept nowhere.
   *
   * @param options `isOperator`: the account sees how the whole portal does. Default: false
   * @throws GoLooaderError `account-exists`, `account-revoked`, `too-many-invites`; `options-invalid` for what is no name;
   *   `setting-impossible` where the address of the portal is not known
   */
  invite(name: string, options?: { readonly isOperator?: boolean }): Promise<string>
  /** Makes a link that replaces the token of an account and brings a revoked one back. @throws GoLooaderError `account-unknown` */
  renew(name: string): Promise<string>
  /** Ends an account: its token is void at once, its requests end within a second. @throws GoLooaderError `account-unknown` */
  revoke(name: string): Promise<void>
  /** Lets an account see how the whole portal does, or no longer. @throws GoLooaderError `account-unknown` */
  setOperator(name: string, isOperator: boolean): Promise<void>
  /** Accounts and open invites, in the order of their names. */
  list(): Promise<AccountSummary[]>
  /** How many links for people without an account are in use: guests of send links, of request links, and open requests. */
  guests(): Promise<{ readonly receiving: number; readonly sending: number; readonly requests: number }>
}

export function accountsOf(admin: AccountAdmin, close: () => Promise<void>): Accounts {
  return {
    invite: (name, options) => asLibraryCall(() => admin.invite(name, options)),
    renew: (name) => asLibraryCall(() => admin.renew(name)),
    revoke: (name) => asLibraryCall(() => admin.revoke(name)),
    setOperator: (name, isOperator) => asLibraryCall(() => admin.setOperator(name, isOperator)),
    list: () => asLibraryCall(() => admin.list()),
    guests: () => asLibraryCall(() => admin.guests()),
    [Symbol.asyncDispose]: close,
  }
}

/** Where a portal keeps its ledger. */
export interface LedgerLocation {
  /** Default: `./golooader-data`. */
  readonly dataFolder?: string
  /** PostgreSQL that keeps the ledger instead: `postgres://…`. */
  readonly databaseUrl?: string | null
  /** Address of the portal, for links. Default: the one that the portal has noted. */
  readonly publicUrl?: string | null
}

/**
 * Opens the accounts of a portal that may run in another process meanwhile.
 *
 * @returns null where no portal has ever run
 * @throws GoLooaderError `options-invalid`, `ledger-unusable`, `ledger-moved`
 */
export function openAccounts(location: LedgerLocation = {}): Promise<Accounts | null> {
  return asLibraryCall(async () => {
    const rules = { dataFolder: 'text?', databaseUrl: 'text or null?', publicUrl: 'text or null?' } as const
    checkOptions('openAccounts()', location, rules)
    const { AccountAdmin, openLedgerThere, portalDefaults } = await import('../portal/index.ts')
    const { dataFolder = portalDefaults.dataFolder, databaseUrl = null, publicUrl = null } = location
    const ledger = await openLedgerThere({ dataFolder, databaseUrl })
    return ledger === null ? null : accountsOf(new AccountAdmin(ledger, { publicUrl }), () => ledger.close())
  })
}

export type { MovedLedger }

export interface MoveAccountsOptions {
  /** The folder of the portal, which must not run. Default: `./golooader-data`. */
  readonly dataFolder?: string
  /** A new PostgreSQL database for the ledger: `postgres://…`. */
  readonly databaseUrl: string
  /** An empty S3 store for the parts: `s3://…`. Default: they stay in the folder, which the portal then needs as well. */
  readonly storeUrl?: string | null
  /** Called for each part of an open transfer. */
  readonly onProgress?: (progress: MoveProgress) => void
}

/** Parts of open transfers so far: copied now, and there from an earlier call. */
export interface MoveProgress {
  readonly copied: number
  readonly known: number
  readonly copiedBytes: number
}

/**
 * Moves accounts, history and stored files of a portal from its folder to PostgreSQL, and to S3. After an interruption of any kind the
 * same call completes the move. The folder stays as it is, and no portal starts with its ledger any more.
 *
 * @throws GoLooaderError `options-invalid`; `folder-unavailable` while a portal uses the folder; `ledger-unusable`, `storage-unusable`
 *   when the database or the store is not new, or cannot be used; `ledger-moved` when the ledger has moved to another place
 */
export function moveAccounts(options: MoveAccountsOptions): Promise<MovedLedger> {
  return asLibraryCall(async () => {
    const rules = {
      dataFolder: 'text?',
      databaseUrl: 'text',
      storeUrl: 'text or null?',
      onProgress: 'function?',
    } as const
    checkOptions('moveAccounts()', options, rules)
    const [{ moveLedger }, { portalDefaults }] = await Promise.all([
      import('../portal/moving/index.ts'),
      import('../portal/options.ts'),
    ])
    const { dataFolder = portalDefaults.dataFolder, databaseUrl, storeUrl = null, onProgress } = options
    return moveLedger({ dataFolder, databaseUrl, storeUrl }, onProgress)
  })
}
