import type { Readable } from 'node:stream'
import { Patience, PortalClient } from '../client/index.ts'
import { nodeTransport, type TransportOptions } from '../client/node-transport.ts'
import { FileContacts } from '../profile/index.ts'
import { AccountKeys } from '../trust/index.ts'
import { UsageError } from './exit.ts'
import { contactsPath, loadProfile, readProfile, writeProfile } from './profiles.ts'

/** How long a command that only asks one thing bears silence. */
const ASK_TIMEOUT_MS = 15_000

/** A connection to the portal of a profile. */
export interface Connection {
  readonly client: PortalClient<Readable>
  readonly portalUrl: string
  /** null where only a token is known, and the portal has not said whose it is. */
  readonly account: string | null
  /** The name of the profile; null where it comes from the environment. */
  readonly profile: string | null
  /** The account's own keys; null where there are none. */
  readonly keys: AccountKeys | null
  readonly contacts: FileContacts
}

/** @throws UsageError when there is no such profile; UnsafeConnection when its portal is not safe to talk to */
export async function connect(
  profileName: string | undefined,
  { insecure = false }: TransportOptions = {},
): Promise<Connection> {
  const { name, portalUrl, token, account = null, keys } = await loadProfile(profileName)
  return {
    client: new PortalClient(nodeTransport(portalUrl, { insecure }), token),
    portalUrl,
    account,
    profile: name,
    keys: keys === undefined ? null : await parseKeys(keys),
    contacts: new FileContacts(contactsPath(), portalUrl),
  }
}

/** An account by name, and its own keys if it has any. */
export interface KnownSelf {
  readonly account: string
  readonly keys: AccountKeys | null
}

/**
 * Who this connection acts as. A profile says so by itself. One of an older version gets its keys here; what comes from
 * the environment is completed by what the portal knows of it.
 */
export async function knownSelf(
  connection: Connection,
  signal: AbortSignal,
  patience: Patience = shortPatience(signal),
): Promise<KnownSelf> {
  const { client, profile, account } = connection
  if (account !== null && connection.keys !== null) return { account, keys: connection.keys }
  const told = await patience.insist(() => client.account({ signal }))
  const keys = connection.keys ?? (profile === null ? null : await addKeys(profile))
  if (keys === null) return { account: told.account, keys: null }
  const { signing, encryption } = keys.publicKeys
  if (told.keys?.signing !== signing || told.keys.encryption !== encryption) {
    await patience.insist(() => client.setKeys(keys.publicKeys, { signal }))
  }
  return { account: told.account, keys }
}

async function addKeys(profileName: string): Promise<AccountKeys> {
  const keys = await AccountKeys.generate()
  const profile = await readProfile(profileName)
  if (profile === null) throw new UsageError(`the profile '${profileName}' has just been removed`)
  await writeProfile(profileName, { ...profile, keys: keys.secret })
  return keys
}

async function parseKeys(secret: string): Promise<AccountKeys> {
  try {
    return await AccountKeys.parse(secret)
  } catch (cause) {
    throw new UsageError('the keys of the profile, or in GOLOOADER_KEYS, are none: they look like glk_…', { cause })
  }
}

/** Patience for a command that asks one thing. */
export function shortPatience(signal?: AbortSignal): Patience {
  return new Patience({ answerTimeoutMs: ASK_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) })
}
