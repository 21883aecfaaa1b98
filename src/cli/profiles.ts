/**
 * Profiles: which portal, which account, with which token. One file each under `$XDG_CONFIG_HOME/golooader/profiles/`,
 * readable by their owner alone.
 */
import { createHash } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Static, Type } from 'typebox'
import { hasCode, makeFolder, readTextOrNull, replaceFile } from '../hop/node.ts'
import { AccountName, conforms, newToken } from '../protocol/index.ts'
import { UsageError } from './exit.ts'

const Profile = Type.Object({
  portalUrl: Type.String(),
  account: AccountName,
  token: Type.String(),
  /** The account's own keys, `AccountKeys.secret`. A profile of an older version has none yet. */
  keys: Type.Optional(Type.String()),
})
export type Profile = Static<typeof Profile>
/** A profile to act as. `name` is null, and the account unknown, where it comes from the environment. */
export type LoadedProfile = Omit<Profile, 'account'> & { readonly name: string | null; readonly account?: string }

const PROFILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

/** Where configuration lies (XDG Base Directory Specification). */
function configFolder(): string {
  return join(process.env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'golooader')
}

/** Where state lies that should outlive a restart, the sender's journal for instance. */
export function stateFolder(): string {
  return join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'golooader')
}

/** Who is known by which keys, for all profiles. */
export function contactsPath(): string {
  return join(configFolder(), 'contacts.json')
}

function profilePath(name: string): string {
  if (!PROFILE_NAME.test(name)) throw new UsageError(`'${name}' is not the name of a profile`)
  return join(configFolder(), 'profiles', `${name}.json`)
}

/**
 * The profile to act as: the one named; the only one there is; or, for machines without profiles, what
 * GOLOOADER_PORTAL, GOLOOADER_TOKEN and GOLOOADER_KEYS say.
 *
 * @throws UsageError that says what to do
 */
export async function loadProfile(name: string | undefined): Promise<LoadedProfile> {
  const { GOLOOADER_PORTAL: portalUrl, GOLOOADER_TOKEN: token, GOLOOADER_KEYS: keys } = process.env
  if (name === undefined && portalUrl && token) {
    return { name: null, portalUrl: portalUrl.replace(/\/+$/, ''), token, ...(keys ? { keys } : {}) }
  }
  const names = await profileNames()
  const chosen = name ?? (names.length === 1 ? names[0] : undefined)
  if (chosen === undefined) {
    throw new UsageError(
      names.length === 0
        ? 'this machine has not joined a portal yet. Ask its operator for a link, then: golooader join LINK'
        : `this machine has several profiles; say which: --profile ${names.join('|')}`,
    )
  }
  const profile = await readProfile(chosen)
  if (profile === null) {
    const known = names.length === 0 ? 'There are none yet' : `There is ${names.join(', ')}`
    throw new UsageError(`there is no profile '${chosen}'. ${known}; a new one is made by: golooader join LINK`)
  }
  return { name: chosen, ...profile }
}

async function profileNames(): Promise<string[]> {
  const files = await readdir(join(configFolder(), 'profiles')).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  })
  return files.filter((file) => /^[^.].*\.json$/.test(file)).map((file) => file.slice(0, -'.json'.length))
}

/** @returns null when there is no such profile */
export async function readProfile(name: string): Promise<Profile | null> {
  const path = profilePath(name)
  const text = await readTextOrNull(path)
  if (text === null) return null
  try {
    const profile: unknown = JSON.parse(text)
    if (conforms(Profile, profile)) return profile
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new UsageError(`the profile ${path} is damaged. Remove it and join again`)
}

export async function writeProfile(name: string, profile: Profile): Promise<string> {
  const path = profilePath(name)
  await makeFolder(join(configFolder(), 'profiles'))
  await replaceFile(path, `${JSON.stringify(profile, null, 2)}\n`)
  return path
}

/**
 * The token for joining with an invite: made once and kept until the portal has confirmed it, so that joining can be
 * repeated when the answer was lost.
 */
export async function pendingToken(invite: string): Promise<{ token: string; settle(): Promise<void> }> {
  const folder = join(configFolder(), 'joining')
  const path = join(folder, createHash('sha256').update(invite).digest('hex'))
  await makeFolder(folder)
  const kept = await readTextOrNull(path)
  const token = kept ?? newToken()
  if (kept === null) await replaceFile(path, token)
  return { token, settle: () => rm(path, { force: true }) }
}
