import { never } from '../async/index.ts'
import type { ConnectionOptions } from '../client/node-transport.ts'
import { joinPortal } from '../profile/index.ts'
import { checkOptions } from '../protocol/index.ts'
import { connectionRules } from './connection.ts'
import { asLibraryCall } from './error.ts'
import type { CallOptions } from './profile.ts'

export interface JoinOptions extends CallOptions, ConnectionOptions {
  /** Name for the profile. Default: the name of the account. */
  readonly profile?: string
}

/** A profile that `join` has written. */
export interface JoinedProfile {
  /** For `openProfile`. */
  readonly profile: string
  /** The file of the profile, readable only by its owner. It has the token and the private keys. */
  readonly path: string
  readonly account: string
  readonly portalUrl: string
  /** The fingerprint of the account's keys, by which others know it: `abcd-efgh-…`. */
  readonly fingerprint: string
}

/**
 * Joins the portal of an invite and keeps a profile on this machine. Joining again with the same link, after a lost response, is safe.
 *
 * @param link of the invite: `https://portal.example/join#gli_…`
 * @throws GoLooaderError `options-invalid` for any other link; `invite-invalid`, `no-answer`, `profile-unusable`,
 *   `folder-unavailable`
 */
export function join(link: string, options: JoinOptions = {}): Promise<JoinedProfile> {
  return asLibraryCall(async () => {
    const rules = { link: 'text', profile: 'text?', signal: 'signal?', ...connectionRules } as const
    checkOptions('join()', { link, ...options }, rules)
    const { profile, signal = never, ...connection } = options
    return joinPortal(link, profile, signal, connection)
  })
}
