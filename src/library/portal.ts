/** The portal of the library. Its server and its database are loaded when a portal is started. */
import type { Logger } from 'pino'
import type { LogOptions, PortalOptions, StorageLocation } from '../portal/index.ts'
import { type Accounts, accountsOf } from './accounts.ts'
import { asLibraryCall } from './error.ts'

/** Every option has a default, that of the command line. Durations are milliseconds, sizes bytes. */
export type StartPortalOptions = Partial<PortalOptions> & {
  /** A logger of pino, or a level and where the lines go. Default: none. */
  readonly log?: Logger | LogOptions
}

/** A portal of this process. */
export interface Portal extends AsyncDisposable {
  /** Address under which senders and receivers reach it. */
  readonly url: string
  /** Address of the operations server (metrics and health); null when they are served at `url`. */
  readonly operationsUrl: string | null
  /** Whether the data folder had no ledger, so that this portal starts without accounts. False where the ledger is elsewhere. */
  readonly isNew: boolean
  /** Where the ledger and the parts are kept, without the secrets of an address. */
  readonly keptIn: StorageLocation
  readonly accounts: Accounts
  /** The same as `accounts.invite`: makes a link with which an account joins. */
  readonly invite: Accounts['invite']
  /** Reads the files of `tls` again, for new connections. Files that cannot be used are logged, and the old ones stay. */
  reload(): Promise<void>
  /** Stops: requests in flight finish, or end after 5 s. */
  close(): Promise<void>
}

/**
 * Starts a portal. When this resolves, it serves.
 *
 * @throws GoLooaderError `options-invalid`, `folder-unavailable` when another portal has the data folder, `certificate-invalid`,
 *   `setting-impossible`, `ledger-unusable`, `storage-unusable`, `redirects-impossible`; an error of the system, EADDRINUSE for one
 */
export function startPortal(options: StartPortalOptions = {}): Promise<Portal> {
  return asLibraryCall(async () => {
    const { portalLog, startPortal: start } = await import('../portal/index.ts')
    const { log, ...settings } = options ?? {}
    const running = await start(
      options === null ? (options as never) : settings,
      log !== undefined && 'write' in log ? portalLog(log) : log,
    )
    const close = () => running.close()
    const accounts = accountsOf(running.accounts, async () => {})
    return { ...running, accounts, invite: accounts.invite, [Symbol.asyncDispose]: close }
  })
}
