import type { Readable } from 'node:stream'
import { PortalClient, RetryPolicy } from '../client/index.ts'
import { type ConnectionOptions, nodeTransport } from '../client/node-transport.ts'
import { AccountKeys } from '../trust/index.ts'
import { FileContacts } from './contacts.ts'
import { loadProfile, withProfile, writeProfile } from './profiles.ts'
import { contactsPath, profileProblem } from './user-folders.ts'

/** Milliseconds without a response after which a short command fails. */
const ASK_TIMEOUT_MS = 15_000

/** A connection to the portal of a profile. */
export interface Connection {
  readonly client: PortalClient<Readable>
  readonly portalUrl: string
  /** Names the portal in the records of this machine: `StoredProfile.stateUrl`. */
  readonly stateUrl: string
  /** Null when only a token is known and the portal has not been asked for its account. */
  readonly account: string | null
  /** The name of the profile; null where it comes from the environment. */
  readonly profile: string | null
  /** The account's own keys; null when it has none. */
  readonly keys: AccountKeys | null
  readonly contacts: FileContacts
}

/** @throws Problem `profile-unusable`, `options-invalid`; UnusableConnectionError when the connection to its portal is not safe */
export async function connect(profileName: string | undefined, options: ConnectionOptions = {}): Promise<Connection> {
  const { name, portalUrl, stateUrl = portalUrl, token, account = null, keys } = await loadProfile(profileName)
  return {
    client: new PortalClient(nodeTransport(portalUrl, options), token),
    portalUrl,
    stateUrl,
    account,
    profile: name,
    keys: keys === undefined ? null : await parseKeys(keys),
    contacts: new FileContacts(contactsPath(), stateUrl),
  }
}

/** An account by name, and its own keys if it has any. */
export interface KnownSelf {
  readonly account: string
  readonly keys: AccountKeys | null
}

/**
 * The account of this connection and its keys. A profile has both; a profile of an older version gets its keys here. For an account
 * from the environment, the portal is asked for the name.
 */
export async function knownSelf(
  connection: Connection,
  signal: AbortSignal,
  retryPolicy: RetryPolicy = shortRetryPolicy(signal),
): Promise<KnownSelf> {
  const { client, profile, account } = connection
  if (account !== null && connection.keys !== null) return { account, keys: connection.keys }
  const told = await retryPolicy.retry(() => client.account({ signal }))
  const keys = connection.keys ?? (profile === null ? null : await addKeys(profile))
  if (keys === null) return { account: told.account, keys: null }
  const { signing, encryption } = keys.publicKeys
  if (told.keys?.signing !== signing || told.keys.encryption !== encryption) {
    await retryPolicy.retry(() => client.setKeys(keys.publicKeys, { signal }))
  }
  return { account: told.account, keys }
}

async function addKeys(profileName: string): Promise<AccountKeys> {
  const keys = await AccountKeys.generate()
  await withProfile(profileName, (profile) => writeProfile(profileName, { ...profile, keys: keys.secret }))
  return keys
}

/** @throws Problem `profile-unusable` */
export async function parseKeys(secret: string): Promise<AccountKeys> {
  try {
    return await AccountKeys.parse(secret)
  } catch (cause) {
    throw profileProblem('the keys of the profile, or in GOLOOADER_KEYS, are not valid: they look like glk_…', {
      cause,
    })
  }
}

/** The retry policy of a short command. */
export function shortRetryPolicy(signal?: AbortSignal): RetryPolicy {
  return new RetryPolicy({ answerTimeoutMs: ASK_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) })
}
