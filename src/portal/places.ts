/** Where a portal keeps what it keeps, in words for people and logs: never with a secret in them. */
import type { PortalOptions } from './options.ts'

export interface Places {
  readonly ledger: string
  readonly parts: string
}

/** @param options the address of the database may hold a password, which is left out */
export function placesOf({
  dataFolder,
  databaseUrl,
  storeUrl,
}: Pick<PortalOptions, 'dataFolder' | 'databaseUrl' | 'storeUrl'>): Places {
  return {
    ledger: databaseUrl === null ? dataFolder : withoutSecrets(databaseUrl),
    parts: storeUrl ?? dataFolder,
  }
}

/** The settings of an address may be secrets as well as its password. */
function withoutSecrets(address: string): string {
  const url = new URL(address)
  url.password = ''
  url.search = ''
  return url.href
}
