/**
 * Who this browser is at the portal. The private keys were made here, and not even this page can read them: the browser only
 * lets it sign and open with them.
 */
import { type Static, Type } from 'typebox'
import type { PortalClient } from '../../client/index.ts'
import { AccountName, conforms, newToken, PublicKeys } from '../../protocol/index.ts'
import { AccountKeys, type HeldKeys } from '../../trust/index.ts'
import { change, type PageDatabase } from '../platform/database.ts'

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
  /** Goes into the header of each request, and nowhere else. */
  readonly token: string
  readonly keys: AccountKeys
}

/** @returns null where nobody has joined */
export async function readIdentity(database: PageDatabase): Promise<Identity | null> {
  const stored = await database.get('identity', OWN)
  if (!conforms(StoredIdentity, stored)) return null
  const { account, token } = stored
  return { account, token, keys: AccountKeys.fromHeld(heldOf(stored)) }
}

/**
 * Joins with an invite. What is to be kept is on disk before the portal hears of it, so that a lost answer is asked for again
 * with the same token.
 *
 * @param known whoever this browser was before: an invite that renews that account leaves it its keys
 * @throws RemoteProblem `invite-invalid`; NoAnswer
 */
export async function join(
  database: PageDatabase,
  client: PortalClient,
  invite: string,
  known: Identity | null,
): Promise<void> {
  const pending = await pendingJoin(database, invite)
  const { account } = await client.join({ invite, token: pending.token })
  const keys = known?.account === account ? known.keys : AccountKeys.fromHeld(heldOf(pending))
  const { publicKeys, signingKey, decryptionKey } = keys
  await change(database, 'identity', async (identities) => {
    await identities.put({ account, token: pending.token, keys: { publicKeys, signingKey, decryptionKey } }, OWN)
    await identities.delete(PENDING)
  })
}

/** What an earlier try with the same invite began, or a new one. */
async function pendingJoin(database: PageDatabase, invite: string): Promise<Static<typeof PendingJoin>> {
  const begun = await database.get('identity', PENDING)
  if (conforms(PendingJoin, begun) && begun.invite === invite) return begun
  const { publicKeys, signingKey, decryptionKey } = await AccountKeys.generateHeld()
  const keys = { publicKeys, signingKey, decryptionKey }
  const pending = { account: null, invite, token: newToken(), keys }
  await change(database, 'identity', (identities) => identities.put(pending, PENDING))
  return pending
}

/** What the database gives back are the keys themselves: the browser stores them as such. */
function heldOf({ keys }: Static<typeof StoredIdentity> | Static<typeof PendingJoin>): HeldKeys {
  return keys as HeldKeys
}
