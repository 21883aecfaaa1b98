/**
 * Opens the backends of a portal: ledger, store and signals. By default all are in one folder and one process. The ledger can be in
 * PostgreSQL and the store in S3. With both, a portal keeps no data itself, and any number of portals may work side by side. The code
 * for PostgreSQL and S3 is loaded only on demand.
 */
import { access, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { retry } from '../../async/index.ts'
import { certificateFaultIn } from '../../client/certificates.ts'
import { hasCode, isThere, makeFolder, makeUsableFolder } from '../../fs/index.ts'
import { Problem } from '../../protocol/index.ts'
import type { Ledger } from '../ledger/contract.ts'
import { sqliteLedger, sqliteStep } from '../ledger/sqlite.ts'
import { plainReason } from '../monitoring/log.ts'
import type { PortalOptions } from '../options.ts'
import { localSignals, type Signals } from '../signals/index.ts'
import type { Store } from '../store/contract.ts'
import { fsStore } from '../store/fs.ts'
import type { RequestKind } from '../store/s3/requests.ts'
import { requireNotMoved } from './moved-mark.ts'

type LedgerLocation = Pick<PortalOptions, 'dataFolder'> & Partial<Pick<PortalOptions, 'databaseUrl'>>

/** Callbacks for the metrics of ledger and store. */
export interface Instrumentation {
  readonly log: Logger
  /** Called for every statement of the ledger. */
  readonly onStatement: () => void
  /** Called for every request to S3. */
  readonly onStoreRequest: (kind: RequestKind) => void
}

/** Whether the portal uses the data folder, which then belongs to a single process. */
export function usesFolder({ databaseUrl, storeUrl }: Pick<PortalOptions, 'databaseUrl' | 'storeUrl'>): boolean {
  return databaseUrl === null || storeUrl === null
}

/**
 * Makes the data folder, and tries whether its file system supports ledger and store.
 *
 * @throws Problem `folder-unavailable` with the path and advice
 */
export function requireDataFolder({
  dataFolder,
  databaseUrl,
}: Pick<PortalOptions, 'dataFolder' | 'databaseUrl'>): Promise<void> {
  const advice = 'Name a folder on a disk of this machine: --data DIR'
  return makeUsableFolder(dataFolder, { advice, alsoTries: databaseUrl === null ? [sqliteStep] : [] })
}

/** How long a starting portal waits for its database, which may be starting, too. */
const DATABASE_START_MS_MAX = 30_000
const DATABASE_LOOK_MS = 500

/**
 * Opens the ledger, and makes it if it does not exist.
 *
 * @throws Problem `ledger-unusable` when its database still does not answer after a while, or cannot be used; `ledger-moved` for a
 *   folder whose ledger is in a database now
 */
export async function openLedger(
  location: LedgerLocation,
  { log, onStatement }: Partial<Pick<Instrumentation, 'log' | 'onStatement'>> = {},
): Promise<Ledger> {
  const { dataFolder, databaseUrl = null } = location
  const watch = onStatement === undefined ? {} : { onQuery: () => onStatement() }
  if (databaseUrl !== null) {
    const { postgresLedger } = await import('../ledger/postgres.ts')
    const onWarning = (message: string, details: object): void => log?.warn(details, message)
    return awaited(() => postgresLedger({ url: databaseUrl, onWarning, ...watch }), log)
  }
  await makeFolder(dataFolder)
  await requireNotMoved(dataFolder)
  const path = ledgerFile(dataFolder)
  // Creates the file with this mode. SQLite gives its additional files the same mode.
  await (await open(path, 'a', 0o600)).close()
  return sqliteLedger({ path, ...watch })
}

/** Whether a portal would make a new ledger in the data folder. */
export function makesLedger({ dataFolder, databaseUrl }: Pick<PortalOptions, 'dataFolder' | 'databaseUrl'>): boolean {
  return databaseUrl === null && !isThere(ledgerFile(dataFolder))
}

/** Waits for a database that does not answer, because it may be starting. */
function awaited<Result>(open: () => Promise<Result>, log?: Logger): Promise<Result> {
  const lateAtMs = performance.now() + DATABASE_START_MS_MAX
  return retry(open, {
    delayMs: (error) => {
      const isNotThere = error instanceof Problem && error.code === 'unavailable' && adviceFor(error) === null
      if (!isNotThere || performance.now() > lateAtMs) throw unusable(error)
      log?.warn({ err: error }, 'waiting for the database')
      return DATABASE_LOOK_MS
    },
  })
}

/** The problem for an operator whose command cannot open the ledger. */
function unusable(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  if (error instanceof Problem && error.code !== 'unavailable') return error
  const advice = adviceFor(error) ?? 'Start it, or correct the address: --database URL'
  const said = plainReason(error instanceof Problem ? error.cause : error)
  return new Problem('ledger-unusable', { detail: `its database says: ${said}. ${advice}` }, { cause: error })
}

/** Advice for an error that waiting cannot solve; null when it may pass. */
function adviceFor(error: Error): string | null {
  const reason = plainReason(error)
  if (/password must be a .*string|no password supplied/.test(reason)) {
    return 'It wants a password: set PGPASSWORD, or PGPASSFILE to a file of mode 0600 that has it'
  }
  if (/password authentication failed/.test(reason)) {
    return 'Correct the user in the address, or PGPASSWORD, or the file that PGPASSFILE names'
  }
  if (/does not support SSL/.test(reason)) {
    return 'Switch TLS on there; in a network that is yours alone, leave sslmode out of the address'
  }
  const certificate = certificateFaultIn(error)
  if (certificate !== null) return `Its certificate cannot be accepted: ${certificate}`
  if (/^permission denied/.test(reason)) return 'The database has to belong to the user in its address'
  if (/^database .* does not exist$/.test(reason)) return 'Create it, or correct the address: --database URL'
  return null
}

/**
 * Opens the ledger for a command beside the portal. Returns null where no portal has ever run, instead of making a ledger.
 *
 * @throws Problem `ledger-unusable` when its database does not answer; `ledger-moved`
 */
export async function openLedgerThere(location: LedgerLocation): Promise<Ledger | null> {
  const { dataFolder, databaseUrl = null } = location
  if (databaseUrl !== null) {
    const { postgresLedgerThere } = await import('../ledger/postgres.ts')
    return postgresLedgerThere({ url: databaseUrl }).catch((error: unknown) => {
      throw unusable(error)
    })
  }
  const path = ledgerFile(dataFolder)
  try {
    await access(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
  await requireNotMoved(dataFolder)
  return sqliteLedger({ path })
}

/** The SQLite file of the ledger in a data folder. */
export function ledgerFile(dataFolder: string): string {
  return join(dataFolder, 'ledger.sqlite')
}

/**
 * Opens the store. When this resolves, parts can be put into it and read from it.
 *
 * @throws Problem `storage-unusable` when the store lacks a needed ability
 */
export async function openStore(
  { dataFolder, storeUrl }: Pick<PortalOptions, 'dataFolder' | 'storeUrl'>,
  { onStoreRequest }: Pick<Instrumentation, 'onStoreRequest'>,
): Promise<Store> {
  if (storeUrl === null) return fsStore(join(dataFolder, 'store'))
  const [{ s3Store }, { parseS3Address }] = await Promise.all([
    import('../store/s3.ts'),
    import('../store/s3/address.ts'),
  ])
  return s3Store(parseS3Address(storeUrl), { onRequest: onStoreRequest })
}

/**
 * Opens the signals. Several portals signal each other through the database. A single portal over a database needs only local signals,
 * but they count as lossy, because no signal comes for a commit whose answer was lost.
 */
export async function openSignals(
  options: Pick<PortalOptions, 'databaseUrl' | 'storeUrl'>,
  log: Logger,
): Promise<Signals & AsyncDisposable> {
  const { databaseUrl } = options
  if (databaseUrl === null || usesFolder(options)) {
    return { ...localSignals(), traits: { lossy: databaseUrl !== null }, [Symbol.asyncDispose]: async () => {} }
  }
  const { postgresSignals } = await import('../signals/postgres.ts')
  return postgresSignals({ url: databaseUrl, log })
}
