/**
 * What a portal stands on: its ledger, its store, its signals. By default all of it is in one folder of one process. Ledger
 * and store can each be elsewhere instead; with both, a portal keeps nothing, and any number of them may work side by side.
 */
import { access, open } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode, makeFolder } from '../hop/index.ts'
import type { Ledger } from './ledger/contract.ts'
import { sqliteLedger } from './ledger/sqlite.ts'
import type { PortalOptions } from './options.ts'
import type { Store } from './store/contract.ts'
import { fsStore } from './store/fs.ts'

type LedgerPlace = Pick<PortalOptions, 'dataFolder'> & Partial<Pick<PortalOptions, 'databaseUrl'>>
type StorePlace = Pick<PortalOptions, 'dataFolder' | 'storeUrl'>

/** Whether anything is kept in the data folder, which then belongs to one process alone. */
export function usesFolder({ databaseUrl, storeUrl }: Pick<PortalOptions, 'databaseUrl' | 'storeUrl'>): boolean {
  return databaseUrl === null || storeUrl === null
}

/** Opens the ledger, which is made if it is not there. */
export async function openLedger({ dataFolder }: LedgerPlace): Promise<Ledger> {
  await makeFolder(dataFolder)
  const path = ledgerFile(dataFolder)
  // Made here for its mode: SQLite gives the files it adds beside it the same one.
  await (await open(path, 'a', 0o600)).close()
  return sqliteLedger({ path })
}

/** Opens the ledger beside its portal: null where no portal has ever run, so that none is made. */
export async function openLedgerThere({ dataFolder }: LedgerPlace): Promise<Ledger | null> {
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

/** Opens the store. When this resolves, parts can be put into it and read from it. */
export async function openStore({ dataFolder }: StorePlace): Promise<Store> {
  return fsStore(join(dataFolder, 'store'))
}
