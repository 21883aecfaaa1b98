/** What the commands of an operator have in common: they work on the ledger of a portal, which may run meanwhile. */
import { readTextOrNull } from '../hop/index.ts'
import type { Ledger } from '../portal/ledger/contract.ts'
import { portalDefaults } from '../portal/options.ts'
import { isAccountName, Problem } from '../protocol/index.ts'
import { UsageError } from './exit.ts'
import { printable } from './text.ts'

/**
 * Acts upon the ledger of a data folder.
 *
 * @throws UsageError where no portal has run yet: a mistyped folder must not become a portal without anybody in it
 */
export async function withLedger<Result>(
  dataFolder: string,
  act: (ledger: Ledger) => Promise<Result>,
): Promise<Result> {
  const { openLedgerThere } = await import('../portal/index.ts')
  const ledger = await openLedgerThere(dataFolder)
  if (ledger === null) {
    throw new UsageError(
      `no portal has run in ${printable(dataFolder)} yet. Start it first: golooader portal${dataFlag(dataFolder)}\n` +
        'Or name the folder in which it keeps its data: --data DIR',
    )
  }
  try {
    return await act(ledger)
  } finally {
    await ledger.close()
  }
}

/** The flag that names this folder again in a command that is shown; nothing for the default one. */
export function dataFlag(dataFolder: string): string {
  return dataFolder === portalDefaults.dataFolder ? '' : ` --data ${printable(dataFolder)}`
}

/** @throws UsageError when the text cannot be the name of an account */
export function requireAccountName(name: string): void {
  if (isAccountName(name)) return
  throw new UsageError(
    `'${printable(name)}' cannot be the name of an account: use lower-case letters, digits, '.', '-' and '_', 63 at most`,
  )
}

/** The link of an invite; the secret stands behind the `#`, where no server ever sees it. */
export async function linkOf(secret: string, dataFolder: string, publicUrl: string | undefined): Promise<string> {
  const { addressFile } = await import('../portal/index.ts')
  const url = publicUrl ?? (await readAddress(addressFile(dataFolder)))
  return `${url}/join#${secret}`
}

/** The address the portal last listened on; its default one if it never got that far. */
async function readAddress(path: string): Promise<string> {
  const address = await readTextOrNull(path)
  return address?.trim() ?? `http://${portalDefaults.listenHost}:${portalDefaults.listenPort}`
}

/** What the ledger says about a name, in words that say what to do instead. */
export function accountError(error: unknown, name: string, dataFolder: string): unknown {
  if (!(error instanceof Problem)) return error
  const data = dataFlag(dataFolder)
  switch (error.code) {
    case 'account-exists':
      return new UsageError(
        `there is an account '${name}' already (${error.code}). ` +
          `If its profile is lost: golooader accounts rotate ${name}${data}`,
      )
    case 'account-revoked':
      return new UsageError(
        `the account '${name}' was revoked, and its name stays taken (${error.code}). ` +
          `This brings it back: golooader accounts rotate ${name}${data}`,
      )
    case 'account-unknown':
      return new UsageError(
        `there is no account '${name}' (${error.code}). See all of them: golooader accounts list${data}`,
      )
    default:
      return error
  }
}
