/**
 * The new address of a portal. Before the token goes there, the portal proves that it knows it, and which address it has itself. So
 * neither another portal nor a third party that passes requests on gets the token.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { askProof, PortalClient, RemoteProblem } from '../client/index.ts'
import { type ConnectionOptions, nodeTransport } from '../client/node-transport.ts'
import { Problem, portalProofBytes, portalProofText, publicTokenId } from '../protocol/index.ts'
import { AccountKeys } from '../trust/index.ts'
import { shortRetryPolicy } from './connect.ts'
import { requireProfile, type StoredProfile, stateMember, withProfile, writeProfile } from './profiles.ts'
import { profileProblem } from './user-folders.ts'

export interface NewAddressOptions extends ConnectionOptions {
  /** Accepts an address that the portal does not call its own. Default: false. */
  readonly isOtherName?: boolean
}

/**
 * Changes the address of a profile's portal. Contacts, journal, links and receipts stay those of the profile (`stateUrl`).
 *
 * @param url without a slash at its end
 * @throws Problem `portal-different` when another portal, or a third party, answers there; `profile-unusable`; RemoteProblem,
 *   NoResponseError, UnusableConnectionError
 */
export async function changeAddress(
  name: string,
  url: string,
  signal: AbortSignal,
  options: NewAddressOptions = {},
): Promise<StoredProfile> {
  const profile = await requireProfile(name)
  if (profile.portalUrl === url) return profile
  await requireSamePortal(profile, url, signal, options)
  return withProfile(name, async (current) => {
    if (current.token !== profile.token || current.portalUrl !== profile.portalUrl) {
      throw profileProblem(`the profile '${name}' was changed meanwhile: run the same command again`)
    }
    const { stateUrl = profile.portalUrl, ...rest } = current
    const moved = { ...rest, portalUrl: url, ...stateMember(url, stateUrl) }
    await writeProfile(name, moved)
    return moved
  })
}

async function requireSamePortal(
  { account, token, keys }: StoredProfile,
  url: string,
  signal: AbortSignal,
  { isOtherName = false, ...connection }: NewAddressOptions,
): Promise<void> {
  const transport = nodeTransport(url, connection)
  const retryPolicy = shortRetryPolicy(signal)
  const client = new PortalClient(transport, null)
  try {
    const question = { tokenId: tokenIdOf(token), challenge: randomBytes(portalProofBytes).toString('base64url') }
    const { portalUrl, proof } = await retryPolicy
      .retry((bounds) => askProof(client, question, { ...bounds, signal }))
      .catch((error: unknown) => Promise.reject(refusedProof(error)))
    const expected = createHmac('sha256', createHash('sha256').update(token).digest())
      .update(portalProofText(question, portalUrl))
      .digest()
    if (!timingSafeEqual(expected, Buffer.from(proof, 'base64url'))) throw different('it does not know the account')
    if (portalUrl !== url && !isOtherName) throw otherName(portalUrl)
    const told = await retryPolicy.retry((bounds) => new PortalClient(transport, token).account({ ...bounds, signal }))
    if (told.account !== account) throw differentAccount(`the account is called ${told.account} there`)
    const own = keys === undefined ? null : (await AccountKeys.parse(keys)).publicKeys
    if (own !== null && told.keys !== null && own.signing !== told.keys.signing) {
      throw differentAccount('the account has other keys there')
    }
  } finally {
    await client.close()
  }
}

function tokenIdOf(token: string): string {
  const tokenId = publicTokenId(token)
  if (tokenId === null) throw profileProblem('the token of the profile is damaged. Join again')
  return tokenId
}

/** What a refusal of the proof means. Other errors are returned as they are. */
function refusedProof(error: unknown): unknown {
  if (!(error instanceof RemoteProblem) || error.next === 'retry') return error
  const isUnknown = error.code === 'credentials-invalid'
  return different(
    isUnknown ? 'it does not know the account' : 'it cannot prove that it is the same: is it older?',
    error,
  )
}

function different(what: string, cause?: Error): Problem {
  const detail = `${what}. The token was not sent, and the profile is unchanged`
  return new Problem('portal-different', { detail }, cause === undefined ? {} : { cause })
}

/** The portal has proven that it is the same before it got the token, and knows the account otherwise. */
function differentAccount(what: string): Problem {
  return new Problem('portal-different', { detail: `${what}. The profile is unchanged` })
}

function otherName(portalUrl: string): Problem {
  const detail =
    `the portal says that its address is ${portalUrl}: a third party may pass requests on to it. The token was not sent. ` +
    'Give that address, or, where you know that both are right: --other-name'
  return new Problem('portal-different', { detail, portalUrl })
}
