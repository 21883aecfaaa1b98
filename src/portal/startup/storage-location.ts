/** The places of a portal's data as text for people and logs, without secrets. */
import type { PortalOptions } from '../options.ts'

export interface StorageLocation {
  readonly ledger: string
  readonly parts: string
}

/** @param options a password in the address of the database is left out */
export function storageLocationOf(
  options: Pick<PortalOptions, 'dataFolder' | 'databaseUrl' | 'storeUrl'>,
): StorageLocation {
  const { dataFolder, databaseUrl, storeUrl } = options
  return {
    ledger: databaseUrl === null ? dataFolder : withoutSecrets(databaseUrl),
    parts: storeUrl ?? dataFolder,
  }
}

/** Removes the query as well as the password, because settings may contain secrets, too. */
function withoutSecrets(address: string): string {
  const url = new URL(address)
  url.password = ''
  url.search = ''
  return url.href
}
