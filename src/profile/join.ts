import { isAboutToken, PortalClient, RemoteProblem } from '../client/index.ts'
import { type ConnectionOptions, nodeTransport } from '../client/node-transport.ts'
import { type InviteLink, Problem, parseLink } from '../protocol/index.ts'
import { AccountKeys, fingerprintOf } from '../trust/index.ts'
import { shortRetryPolicy } from './connect.ts'
import {
  changingProfiles,
  pendingToken,
  readProfile,
  requireConfigFolder,
  stateMember,
  stateUrlFor,
  writeProfile,
} from './profiles.ts'
import { profileProblem } from './user-folders.ts'

/** Joins a portal and writes the profile. */
export async function joinPortal(
  link: string,
  profileName: string | undefined,
  signal: AbortSignal,
  options: ConnectionOptions = {},
): Promise<{ profile: string; path: string; account: string; portalUrl: string; fingerprint: string }> {
  const { portalUrl, invite } = inviteOf(link)
  // The folder is tried first, because an invite works only once and its token has to be kept.
  await requireConfigFolder()
  const transport = nodeTransport(portalUrl, options)
  const client = new PortalClient(transport, null)
  try {
    const { token, settle } = await pendingToken(invite)
    const retryPolicy = shortRetryPolicy(signal)
    const { account } = await retryPolicy
      .retry(() => client.join({ invite, token }, { signal }))
      .catch(async (error: unknown) => {
        // The invite is used up or has expired, so this token can never join with it.
        if (error instanceof RemoteProblem && error.code === 'invite-invalid') await settle()
        throw error
      })
    const name = profileName ?? account
    const other = await readProfile(name)
    if (other !== null && (other.portalUrl !== portalUrl || other.account !== account)) {
      throw profileProblem(
        `there is a profile '${name}' already, for ${other.account} at ${other.portalUrl}. ` +
          'Run the same command again with --profile and another name',
      )
    }
    // An account that joins again, because its token was lost or stolen, keeps its keys.
    const keys = other?.keys === undefined ? await AccountKeys.generate() : await AccountKeys.parse(other.keys)
    const path = await changingProfiles(async () => {
      const state = stateMember(portalUrl, await stateUrlFor(name, portalUrl))
      return writeProfile(name, { portalUrl, ...state, account, token, keys: keys.secret })
    })
    const joined = new PortalClient(transport, token)
    await retryPolicy
      .retry(() => joined.setKeys(keys.publicKeys, { signal }))
      .catch((error: unknown) => Promise.reject(isRefusedToken(error) ? tokenRemoved(error) : error))
    await settle()
    return { profile: name, path, account, portalUrl, fingerprint: await fingerprintOf(keys.publicKeys) }
  } finally {
    await client.close()
  }
}

function isRefusedToken(error: unknown): error is RemoteProblem {
  return error instanceof RemoteProblem && isAboutToken(error)
}

/** The error when the portal refuses a token right after it accepted the same token: something on the way has changed or removed it. */
function tokenRemoved(cause: RemoteProblem): RemoteProblem {
  const { code, detail } = cause.problem
  if (code === 'credentials-missing') return cause
  return new RemoteProblem(
    new Problem('credentials-missing', { detail: detail ?? 'another one came in its place' }).toJSON(),
  )
}

function inviteOf(text: string): InviteLink {
  const link = parseLink(text)
  if (link?.kind === 'invite') return link
  const detail =
    'this is not the link of an invite: it looks like https://portal.example/join#gli_… ' +
    "(in a shell, put it in quotes: '#' begins a comment there)"
  throw new Problem('options-invalid', { detail })
}
