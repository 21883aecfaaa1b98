/** What the commands of an operator have in common: they work on the ledger of a portal, which may run meanwhile. */
import type { Ledger } from '../portal/ledger/contract.ts'
import { portalDefaults } from '../portal/options.ts'
import { isAccountName, Problem } from '../protocol/index.ts'
import { UsageError } from './exit.ts'
import { DATABASE_VARIABLE } from './options.ts'
import { printable } from './text.ts'

/** Where a portal keeps its ledger, as flags of a command say it. */
export interface LedgerPlace {
  readonly data: string
  /** Address of the database; a file in the data folder where it is not given. */
  readonly database?: string
}

/**
 * Acts upon the ledger of a portal.
 *
 * @throws UsageError where no portal has run yet: a mistyped folder must not become a portal without anybody in it
 */
export async function withLedger<Result>(
  place: LedgerPlace,
  act: (ledger: Ledger) => Promise<Result>,
): Promise<Result> {
  const { openLedgerThere } = await import('../portal/index.ts')
  const ledger = await openLedgerThere({ dataFolder: place.data, databaseUrl: place.database ?? null })
  if (ledger === null) {
    const where = place.database === undefined ? `in ${printable(place.data)}` : 'over this database'
    throw new UsageError(
      `no portal has run ${where} yet. Start it first: golooader portal${placeFlags(place)}\n` +
        'Or name the folder in which it keeps its data: --data DIR; or its database: --database URL',
    )
  }
  try {
    return await act(ledger)
  } finally {
    await ledger.close()
  }
}

/** The flags that name this place again in a command that is shown; nothing for what goes without saying. */
export function placeFlags({ data, database }: LedgerPlace): string {
  if (database !== undefined)
    return database === process.env[DATABASE_VARIABLE] ? '' : ` --database ${printable(database)}`
  return data === portalDefaults.dataFolder ? '' : ` --data ${printable(data)}`
}

/** @throws UsageError when the text cannot be the name of an account */
export function requireAccountName(name: string): void {
  if (isAccountName(name)) return
  throw new UsageError(
    `'${printable(name)}' cannot be the name of an account: use lower-case letters, digits, '.', '-' and '_', 63 at most`,
  )
}

/**
 * The link of an invite; the secret stands behind the `#`, where no server ever sees it.
 *
 * @param publicUrl the address of the portal, if it is not the one that it told its ledger
 */
export async function linkOf(secret: string, ledger: Ledger, publicUrl: string | undefined): Promise<string> {
  const url =
    publicUrl ?? (await ledger.address()) ?? `http://${portalDefaults.listenHost}:${portalDefaults.listenPort}`
  return `${url}/join#${secret}`
}

/** What the ledger says about a name, in words that say what to do instead. */
export function accountError(error: unknown, name: string, place: LedgerPlace): unknown {
  if (!(error instanceof Problem)) return error
  const flags = placeFlags(place)
  switch (error.code) {
    case 'account-exists':
      return new UsageError(
        `there is an account '${name}' already (${error.code}). ` +
          `If its profile is lost: golooader accounts rotate ${name}${flags}`,
      )
    case 'account-revoked':
      return new UsageError(
        `the account '${name}' was revoked, and its name stays taken (${error.code}). ` +
          `This brings it back: golooader accounts rotate ${name}${flags}`,
      )
    case 'account-unknown':
      return new UsageError(
        `there is no account '${name}' (${error.code}). See all of them: golooader accounts list${flags}`,
      )
    default:
      return error
  }
}
