/**
 * What a portal stands on: its ledger, its store, its signals. By default all of it is in one folder of one process. Ledger
 * and store can each be elsewhere instead; with both, a portal keeps nothing, and any number of them may work side by side.
 * The code for what is elsewhere is loaded where it is asked for.
 */
import { access, open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Logger } from 'pino'
import { hasCode, makeFolder } from '../hop/node.ts'
import { Problem } from '../protocol/index.ts'
import type { Ledger } from './ledger/contract.ts'
import { sqliteLedger } from './ledger/sqlite.ts'
import { plainReason } from './log.ts'
import type { PortalOptions } from './options.ts'
import { localSignals, type Signals } from './signals/index.ts'
import type { Store } from './store/contract.ts'
import { fsStore } from './store/fs.ts'
import type { RequestKind } from './store/s3/requests.ts'

type LedgerPlace = Pick<PortalOptions, 'dataFolder'> & Partial<Pick<PortalOptions, 'databaseUrl'>>

/** Who looks on while ledger and store work. */
export interface Onlookers {
  readonly log: Logger
  /** Is told of every statement of the ledger. */
  readonly onStatement: () => void
  /** Is told of every request to a store elsewhere. */
  readonly onStoreRequest: (kind: RequestKind) => void
}

/** Whether anything is kept in the data folder, which then belongs to one process alone. */
export function usesFolder({ databaseUrl, storeUrl }: Pick<PortalOptions, 'databaseUrl' | 'storeUrl'>): boolean {
  return databaseUrl === null || storeUrl === null
}

/** So long a portal that starts waits for its database, which may be starting as well. */
const DATABASE_START_MS_MAX = 30_000
const DATABASE_LOOK_MS = 500

/**
 * Opens the ledger, which is made if it is not there.
 *
 * @throws Problem `ledger-unusable` when its database is not there, not even after a while, or does not serve it
 */
export async function openLedger(
  { dataFolder, databaseUrl = null }: LedgerPlace,
  { log, onStatement }: Partial<Pick<Onlookers, 'log' | 'onStatement'>> = {},
): Promise<Ledger> {
  const watch = onStatement === undefined ? {} : { onQuery: () => onStatement() }
  if (databaseUrl !== null) {
    const { postgresLedger } = await import('./ledger/postgres.ts')
    const onWarning = (message: string, details: object): void => log?.warn(details, message)
    return awaited(() => postgresLedger({ url: databaseUrl, onWarning, ...watch }), log)
  }
  await makeFolder(dataFolder)
  const path = ledgerFile(dataFolder)
  // Made here for its mode: SQLite gives the files it adds beside it the same one.
  await (await open(path, 'a', 0o600)).close()
  return sqliteLedger({ path, ...watch })
}

async function awaited<Result>(open: () => Promise<Result>, log?: Logger): Promise<Result> {
  const lateAtMs = performance.now() + DATABASE_START_MS_MAX
  for (;;) {
    try {
      return await open()
    } catch (error) {
      const isNotThere = error instanceof Problem && error.code === 'unavailable' && adviceFor(error) === null
      if (!isNotThere || performance.now() > lateAtMs) throw unusable(error)
      log?.warn({ err: error }, 'waiting for the database')
      await setTimeout(DATABASE_LOOK_MS)
    }
  }
}

/** What an operator who starts something is told. */
function unusable(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  if (error instanceof Problem && error.code !== 'unavailable') return error
  const advice = adviceFor(error) ?? 'Start it, or correct the address: --database URL'
  const said = plainReason(error instanceof Problem ? error.cause : error)
  return new Problem('ledger-unusable', { detail: `its database says: ${said}. ${advice}` }, { cause: error })
}

/** What to change where waiting does not help; null where it may. */
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
  if (/certificate|altnames/i.test(reason)) {
    return 'Its certificate is not trusted: NODE_EXTRA_CA_CERTS=ca.pem names an authority of your own'
  }
  if (/^permission denied/.test(reason)) return 'The database has to belong to the user in its address'
  if (/^database .* does not exist$/.test(reason)) return 'Create it, or correct the address: --database URL'
  return null
}

/**
 * Opens the ledger beside its portal: null where no portal has ever run, so that none is made.
 *
 * @throws Problem `ledger-unusable` when its database does not answer
 */
export async function openLedgerThere({ dataFolder, databaseUrl = null }: LedgerPlace): Promise<Ledger | null> {
  if (databaseUrl !== null) {
    const { postgresLedgerThere } = await import('./ledger/postgres.ts')
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
  return sqliteLedger({ path })
}

function ledgerFile(dataFolder: string): string {
  return join(dataFolder, 'ledger.sqlite')
}

/**
 * Opens the store. When this resolves, parts can be put into it and read from it.
 *
 * @throws Problem `storage-unusable` when it does not do what is needed
 */
export async function openStore(
  { dataFolder, storeUrl }: Pick<PortalOptions, 'dataFolder' | 'storeUrl'>,
  { onStoreRequest }: Pick<Onlookers, 'onStoreRequest'>,
): Promise<Store> {
  if (storeUrl === null) return fsStore(join(dataFolder, 'store'))
  const [{ s3Store }, { parseS3Address }] = await Promise.all([
    import('./store/s3.ts'),
    import('./store/s3/address.ts'),
  ])
  return s3Store(parseS3Address(storeUrl), { onRequest: onStoreRequest })
}

/**
 * Opens the signals: between processes where there may be several, which tell each other by the database. A single one over a
 * database hears all of its own, and yet may miss something: nobody tells of a commit whose answer was lost.
 */
export async function openSignals(
  options: Pick<PortalOptions, 'databaseUrl' | 'storeUrl'>,
  log: Logger,
): Promise<Signals & AsyncDisposable> {
  const { databaseUrl } = options
  if (databaseUrl === null || usesFolder(options)) {
    return { ...localSignals(), traits: { lossy: databaseUrl !== null }, [Symbol.asyncDispose]: async () => {} }
  }
  const { postgresSignals } = await import('./signals/postgres.ts')
  return postgresSignals({ url: databaseUrl, log })
}
