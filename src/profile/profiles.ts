/**
 * Profiles: a portal, an account, and its token and keys. One file each under `$XDG_CONFIG_HOME/golooader/profiles/`, readable
 * only by its owner.
 */
import { createHash } from 'node:crypto'
import { link, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Static, Type } from 'typebox'
import {
  hasCode,
  makeOwnFolder,
  makeUsableFolder,
  readTextOrNull,
  removeFile,
  replaceFile,
  syncFolder,
  withFolderLock,
} from '../fs/index.ts'
import { AccountName, conforms, newToken, randomText } from '../protocol/index.ts'
import { configFolder, profileProblem } from './user-folders.ts'

export const StoredProfile = Type.Object({
  portalUrl: Type.String(),
  account: AccountName,
  token: Type.String(),
  /**
   * Names the portal in contacts, journal, links and requests of this machine, so that they stay the profile's when its portal gets another
   * address. Where it is absent, it is `portalUrl`.
   */
  stateUrl: Type.Optional(Type.String()),
  /** The account's own keys, `AccountKeys.secret`. A profile of an older version has none yet. */
  keys: Type.Optional(Type.String()),
})
export type StoredProfile = Static<typeof StoredProfile>
/** A loaded profile. `name` is null, and the account unknown, when it comes from the environment. */
export type LoadedProfile = Omit<StoredProfile, 'account'> & { readonly name: string | null; readonly account?: string }

const STATE_MARK_BYTES = 6
const PROFILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

/** @throws Problem `profile-unusable` for what cannot be a name */
export function profilePath(name: string): string {
  if (!PROFILE_NAME.test(name)) throw profileProblem(`'${name}' is not the name of a profile`)
  return join(configFolder(), 'profiles', `${name}.json`)
}

/**
 * The profile to act as: the named one; the only one on this machine; or, on a machine without profiles, the account in
 * GOLOOADER_PORTAL, GOLOOADER_TOKEN and GOLOOADER_KEYS.
 *
 * @throws Problem `profile-unusable`, which says what to do
 */
export async function loadProfile(name: string | undefined): Promise<LoadedProfile> {
  const [portalUrl, token, keys] = [variable('PORTAL'), variable('TOKEN'), variable('KEYS')]
  if (name === undefined && portalUrl && token) {
    return { name: null, portalUrl: portalUrl.replace(/\/+$/, ''), token, ...(keys ? { keys } : {}) }
  }
  const names = await profileNames()
  const chosen = name ?? (names.length === 1 ? names[0] : undefined)
  if (chosen === undefined) {
    throw profileProblem(
      names.length === 0
        ? 'this machine has not joined a portal yet. Ask its operator for a link, then: golooader join LINK'
        : `this machine has several profiles; say which: --profile ${names.join('|')}`,
    )
  }
  return { name: chosen, ...(await requireProfile(chosen)) }
}

/** A trimmed environment variable: a secret that was read from a file often ends with a line break. */
function variable(name: string): string {
  const value = process.env[`GOLOOADER_${name}`]?.trim() ?? ''
  if (/^[!-~]*$/.test(value)) return value
  throw profileProblem(
    `GOLOOADER_${name} has a space, a line break or a letter that is not ASCII in it: it must have none`,
  )
}

/** The names of all profiles, in order. */
export async function profileNames(): Promise<string[]> {
  const files = await readdir(join(configFolder(), 'profiles')).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  })
  return files
    .filter((file) => /^[^.].*\.json$/.test(file))
    .map((file) => file.slice(0, -'.json'.length))
    .sort()
}

/** @returns null when there is no such profile */
export async function readProfile(name: string): Promise<StoredProfile | null> {
  const path = profilePath(name)
  const text = await readTextOrNull(path)
  if (text === null) return null
  try {
    const profile: unknown = JSON.parse(text)
    if (conforms(StoredProfile, profile)) return profile
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw profileProblem(`the profile ${path} is damaged. Remove it and join again`)
}

/** @throws Problem `folder-unavailable` when the folder cannot keep a profile */
export function requireConfigFolder(): Promise<void> {
  const advice = 'Profiles need a folder on a disk that can be written: set XDG_CONFIG_HOME to one'
  return makeUsableFolder(configFolder(), { advice })
}

/**
 * The `stateUrl` of a new profile. Profiles of one portal share it, and no two portals have the same, even where one has the former
 * address of the other.
 *
 * @param wanted of a profile that comes from another machine
 * @param name of the profile, which may exist already
 */
export async function stateUrlFor(name: string, portalUrl: string, wanted?: string): Promise<string> {
  const own = await readProfile(name)
  if (own?.portalUrl === portalUrl) return own.stateUrl ?? portalUrl
  const others: StoredProfile[] = []
  for (const other of await profileNames()) {
    const profile = await readProfile(other)
    if (profile !== null) others.push(profile)
  }
  const neighbour = others.find((profile) => profile.portalUrl === portalUrl)
  if (wanted === undefined && neighbour !== undefined) return neighbour.stateUrl ?? portalUrl
  const state = wanted ?? portalUrl
  const isTaken = others.some(
    (profile) => profile.portalUrl !== portalUrl && (profile.stateUrl ?? profile.portalUrl) === state,
  )
  return isTaken ? `${state}#${randomText(STATE_MARK_BYTES)}` : state
}

/** The members of a profile for the `stateUrl`, which is not written where it is the address. */
export function stateMember(portalUrl: string, stateUrl: string): Pick<StoredProfile, 'stateUrl'> {
  return stateUrl === portalUrl ? {} : { stateUrl }
}

/** Reads a profile and changes it, while no other command changes profiles. @throws Problem `profile-unusable` when there is none */
export function withProfile<Result>(name: string, act: (profile: StoredProfile) => Promise<Result>): Promise<Result> {
  return changingProfiles(async () => act(await requireProfile(name)))
}

/** Runs `act` while no other command changes profiles. */
export async function changingProfiles<Result>(act: () => Promise<Result>): Promise<Result> {
  const folder = join(configFolder(), 'profiles')
  await makeOwnFolder(folder, { withParents: true })
  return withFolderLock(folder, `${folder}.lock`, act)
}

/** @throws Problem `profile-unusable` with the names of those that there are */
export async function requireProfile(name: string): Promise<StoredProfile> {
  const profile = await readProfile(name)
  if (profile !== null) return profile
  const names = await profileNames()
  const known = names.length === 0 ? 'There are none yet' : `There is ${names.join(', ')}`
  throw profileProblem(`there is no profile '${name}'. ${known}; a new one is made by: golooader join LINK`)
}

/**
 * Gives a profile another name. A kill in between leaves both names; the same call completes it.
 *
 * @throws Problem `profile-unusable` when there is none, or when another profile has the new name
 */
export function changeProfileName(from: string, to: string): Promise<void> {
  return changingProfiles(async () => {
    const [profile, other] = [await requireProfile(from), await readProfile(to)]
    if (from === to) return
    if (other !== null && JSON.stringify(other) !== JSON.stringify(profile)) {
      throw profileProblem(`there is a profile '${to}' already, for ${other.account} at ${other.portalUrl}`)
    }
    if (other === null) await link(profilePath(from), profilePath(to))
    await removeProfileFile(from)
  })
}

/** Deletes a profile, with its token and its keys. @throws Problem `profile-unusable` when there is none */
export function deleteProfile(name: string): Promise<StoredProfile> {
  return withProfile(name, async (profile) => {
    await removeProfileFile(name)
    return profile
  })
}

async function removeProfileFile(name: string): Promise<void> {
  const path = profilePath(name)
  await removeFile(path)
  await syncFolder(dirname(path))
}

export async function writeProfile(name: string, profile: StoredProfile): Promise<string> {
  const path = profilePath(name)
  await makeOwnFolder(join(configFolder(), 'profiles'), { withParents: true })
  await replaceFile(path, `${JSON.stringify(profile, null, 2)}\n`)
  return path
}

/**
 * The token for joining with an invite. It is made once and kept until the portal has confirmed it, so that joining can be
 * repeated after a lost answer.
 */
export async function pendingToken(invite: string): Promise<{ token: string; settle(): Promise<void> }> {
  const folder = join(configFolder(), 'joining')
  const path = join(folder, createHash('sha256').update(invite).digest('hex'))
  await makeOwnFolder(folder, { withParents: true })
  const kept = await readTextOrNull(path)
  const token = kept ?? newToken()
  if (kept === null) await replaceFile(path, token)
  return { token, settle: () => rm(path, { force: true }) }
}
