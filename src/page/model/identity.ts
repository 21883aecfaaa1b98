/**
 * The account of this browser. This browser made the private keys. Where the browser can store CryptoKeys, even this
 * page cannot read them: it can only ask the browser to sign and to open with them.
 */
import { type Static, Type } from 'typebox'
import type { PortalClient } from '../../client/index.ts'
import { AccountName, conforms, newToken, PublicKeys } from '../../protocol/index.ts'
import type { AccountKeys } from '../../trust/index.ts'
import { change, type PageDatabase } from '../platform/database.ts'
import { type KeptKeys, type KeyKeeping, makeKeptKeys, openKeptKeys } from '../platform/kept-keys.ts'

const OWN = 'own'
const PENDING = 'pending'

const StoredIdentity = Type.Object({
  account: AccountName,
  token: Type.String(),
  keys: Type.Object({ publicKeys: PublicKeys, signingKey: Type.Unknown(), decryptionKey: Type.Unknown() }),
})
const PendingJoin = Type.Object({ ...StoredIdentity.properties, account: Type.Null(), invite: Type.String() })

export interface Identity {
  readonly account: string
  /** The bearer token. The page sends it only in the Authorization header. */
  readonly token: string
  readonly keys: AccountKeys
  /** The same keys, in the form that the database stores. */
  readonly keptKeys: KeptKeys
}

/** @returns null where this browser has no account */
export async function readIdentity(database: PageDatabase): Promise<Identity | null> {
  const stored = await database.get('identity', OWN)
  if (!conforms(StoredIdentity, stored)) return null
  const { account, token } = stored
  const keptKeys = keptKeysOf(stored)
  return { account, token, keys: await openKeptKeys(keptKeys), keptKeys }
}

/** Stores a new identity; durable when it resolves. */
export async function writeIdentity(
  database: PageDatabase,
  { account, token, keptKeys: keys }: Pick<Identity, 'account' | 'token' | 'keptKeys'>,
): Promise<void> {
  await change(database, 'identity', (identities) => identities.put({ account, token, keys }, OWN))
}

/**
 * Joins with an invite. The page stores the keys and the token durably before it sends the request. After a lost
 * response it repeats the request with the same token.
 *
 * @param known the previous account of this browser; an invite that renews that account keeps its keys
 * @param keeping how this browser can store keys
 * @throws RemoteProblem `invite-invalid`; NoResponseError
 */
export async function joinWithInvite(
  database: PageDatabase,
  client: PortalClient,
  invite: string,
  known: Identity | null,
  keeping: KeyKeeping,
): Promise<void> {
  const pending = await pendingJoin(database, invite, keeping)
  const { account } = await client.join({ invite, token: pending.token })
  const keys = known?.account === account ? known.keptKeys : keptKeysOf(pending)
  await change(database, 'identity', async (identities) => {
    await identities.put({ account, token: pending.token, keys }, OWN)
    await identities.delete(PENDING)
  })
}

/** Returns the keys and the token of an earlier attempt with the same invite, or makes new ones. */
async function pendingJoin(
  database: PageDatabase,
  invite: string,
  keeping: KeyKeeping,
): Promise<Static<typeof PendingJoin>> {
  const begun = await database.get('identity', PENDING)
  if (conforms(PendingJoin, begun) && begun.invite === invite) return begun
  const pending = { account: null, invite, token: newToken(), keys: await makeKeptKeys(keeping) }
  await change(database, 'identity', (identities) => identities.put(pending, PENDING))
  return pending
}

/** The database returns CryptoKeys: the browser stores them as such. */
function keptKeysOf({ keys }: Static<typeof StoredIdentity> | Static<typeof PendingJoin>): KeptKeys {
  return keys as KeptKeys
}
