/** Shared code of the operator's commands. They work on the ledger of a portal, which may be running. */
import type { Accounts } from '../library/accounts.ts'
import { GoLooaderError } from '../library/error.ts'
import { portalDefaults } from '../portal/options.ts'
import { UsageError } from './exit.ts'
import { DATABASE_VARIABLE } from './options.ts'
import { OutputLostError, output } from './output.ts'
import { printable } from './text.ts'

/** The location of a portal's ledger, from the flags of a command. */
export interface LedgerPlace {
  readonly data: string
  /** Address of the database; without it, the ledger is a file in the data folder. */
  readonly database?: string
  /** Address of the portal, if it differs from the one in the ledger. */
  readonly publicUrl?: string
}

/**
 * Runs `act` with the accounts of a portal.
 *
 * @throws UsageError when no portal has run yet, and for errors about the account `name`
 */
export async function withAccounts<Result>(
  place: LedgerPlace,
  name: string | null,
  act: (accounts: Accounts) => Promise<Result>,
): Promise<Result> {
  const { openAccounts } = await import('../library/accounts.ts')
  const { data: dataFolder, database: databaseUrl = null, publicUrl = null } = place
  await using accounts = await openAccounts({ dataFolder, databaseUrl, publicUrl })
  if (accounts === null) {
    const where = databaseUrl === null ? `in ${printable(dataFolder)}` : 'over this database'
    throw new UsageError(
      `no portal has run ${where} yet. Start it first: golooader portal${placeFlags(place)}\n` +
        'Or name the folder in which it keeps its data: --data DIR; or its database: --database URL',
    )
  }
  try {
    return await act(accounts)
  } catch (error) {
    throw name === null ? error : accountError(error, name, place)
  }
}

/** The flags for this location in a command that is shown to a person. Defaults are left out. */
export function placeFlags({ data, database }: LedgerPlace): string {
  if (database !== undefined)
    return database === process.env[DATABASE_VARIABLE] ? '' : ` --database ${printable(database)}`
  return data === portalDefaults.dataFolder ? '' : ` --data ${printable(data)}`
}

/**
 * Prints a one-time link.
 *
 * @param again the command that makes another one
 * @throws OutputLostError when the link could not be written, also when the reader has gone, because the link is stored nowhere
 */
export async function deliverLink(link: string, again: string): Promise<void> {
  try {
    await output().deliver(`${link}\n`)
  } catch (error) {
    if (!(error instanceof OutputLostError)) throw error
    throw new OutputLostError(
      `the link could not be written (${error.message}): it is lost. Make another one, which nothing hinders: ${again}`,
      { cause: error },
    )
  }
}

/** An error of the ledger about an account, with advice. */
function accountError(error: unknown, name: string, place: LedgerPlace): unknown {
  if (!(error instanceof GoLooaderError)) return error
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
