/** Accounts without the commands that a person would open them with: in the ledger, before its portal starts. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { nodeTransport } from '../src/client/node-transport.ts'
import { PortalClient } from '../src/client/portal-client.ts'
import { invite, join as joinPortal } from '../src/portal/accounts/accounts.ts'
import { openLedger } from '../src/portal/index.ts'
import { newToken } from '../src/protocol/index.ts'
import { AccountKeys } from '../src/trust/index.ts'

/** How many are opened together, within what the ledger lets be open of invites. */
const ACCOUNTS_AT_ONCE = 500
const INVITE_MS = 60_000

export interface BenchAccount {
  readonly name: string
  readonly accountId: number
  readonly token: string
}

/** Opens accounts in a database, or in a data folder that no portal is using. */
export async function openAccounts(
  dataFolder: string,
  names: readonly string[],
  databaseUrl: string | null = null,
): Promise<BenchAccount[]> {
  const ledger = await openLedger({ dataFolder, databaseUrl })
  const accounts: BenchAccount[] = []
  for (let at = 0; at < names.length; at += ACCOUNTS_AT_ONCE) {
    const batch = names.slice(at, at + ACCOUNTS_AT_ONCE).map(async (name): Promise<BenchAccount> => {
      const token = newToken()
      const { accountId } = await joinPortal(ledger, { invite: await invite(ledger, name, INVITE_MS), token })
      return { name, accountId, token }
    })
    accounts.push(...(await Promise.all(batch)))
  }
  await ledger.close()
  return accounts
}

/** Gives an account keys, and the profile that `golooader join` would have left in a home folder. */
export async function giveProfile(home: string, portalUrl: string, { name, token }: BenchAccount): Promise<void> {
  const keys = await AccountKeys.generate()
  const client = clientOf(portalUrl, token)
  await client.setKeys(keys.publicKeys)
  await client.close()
  const folder = join(home, '.config', 'golooader', 'profiles')
  await mkdir(folder, { recursive: true })
  const profile = { portalUrl, account: name, token, keys: keys.secret }
  await writeFile(join(folder, `${name}.json`), JSON.stringify(profile), { mode: 0o600 })
}

/** A client of its own, with its own connections. */
export function clientOf(portalUrl: string, token: string) {
  return new PortalClient(nodeTransport(portalUrl), token)
}
