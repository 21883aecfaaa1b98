import type { AccountAdmin, AccountSummary } from '../portal/index.ts'
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
 * @throws GoLooaderError `options-invalid`, `ledger-unusable`
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
