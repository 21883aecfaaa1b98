/** The profiles of this machine. */
import { never } from '../../async/index.ts'
import {
  changeAddress,
  changeProfileName,
  contactsPath,
  deleteProfile,
  FileContacts,
  parseKeys,
  profileNames,
  profilePath,
  requireProfile,
  stateFolder,
} from '../../profile/index.ts'
import { checkOptions, optionsInvalid } from '../../protocol/index.ts'
import { fingerprintOf } from '../../trust/index.ts'
import { type ConnectionOptions, connectionRules } from '../connection.ts'
import { asLibraryCall } from '../error.ts'
import type { CallOptions } from '../profile.ts'
import type { ExportProfileOptions, ProfileExport } from './export.ts'
import type { ImportedProfile, ImportProfileOptions } from './import.ts'

export type { ExportProfileOptions, ImportedProfile, ImportProfileOptions, ProfileExport }

/** A profile of this machine, without its secrets. */
export interface ProfileSummary {
  readonly name: string
  readonly account: string
  readonly portalUrl: string
  /** The fingerprint of the account's keys; null where the profile has none yet. */
  readonly fingerprint: string | null
}

/** A profile, and what this machine keeps for it. */
export interface ProfileDetails extends ProfileSummary {
  /** The file of the profile, readable only by its owner. It has the token and the private keys. */
  readonly path: string
  readonly contacts: number
  /** Transfers whose end the sender has not reported yet. */
  readonly unfinishedTransfers: number
}

export interface ProfileAddressOptions extends CallOptions, ConnectionOptions {
  /** Accepts an address that is not the one that the portal has in its invites. Default: false. */
  readonly otherName?: boolean
}

/** The profiles of this machine, by name. @throws GoLooaderError `profile-unusable` */
export function listProfiles(): Promise<ProfileSummary[]> {
  return asLibraryCall(async () => {
    const found: ProfileSummary[] = []
    for (const name of await profileNames()) found.push(await summaryOf(name))
    return found
  })
}

/** One profile. @throws GoLooaderError `profile-unusable` when there is none */
export function showProfile(name: string): Promise<ProfileDetails> {
  return asLibraryCall(async () => {
    const summary = await summaryOf(name)
    const { portalUrl, account, stateUrl = portalUrl } = await requireProfile(name)
    const { FileJournal } = await import('../../sender/node-journal.ts')
    const unfinished = await new FileJournal(stateFolder()).entriesOf({ portalUrl: stateUrl, account })
    const contacts = await new FileContacts(contactsPath(), stateUrl).list()
    return {
      ...summary,
      path: profilePath(name),
      contacts: contacts.length,
      unfinishedTransfers: unfinished.length,
    }
  })
}

/** Gives a profile another name. @throws GoLooaderError `profile-unusable` when there is none, or the new name is taken */
export function renameProfile(from: string, to: string): Promise<void> {
  return asLibraryCall(() => changeProfileName(from, to))
}

/**
 * Deletes a profile: its token and the account's keys, without which files that wait for the account cannot be opened. The account stays,
 * and so do contacts, journal and receipts on this machine.
 *
 * @throws GoLooaderError `profile-unusable` when there is none
 */
export function removeProfile(name: string): Promise<void> {
  return asLibraryCall(async () => {
    await deleteProfile(name)
  })
}

/**
 * Changes the address of a profile's portal, after the portal there has proven that it is the same. The token is sent only after that.
 *
 * @param url `https://files.example`
 * @throws GoLooaderError `portal-different`, `profile-unusable`, `options-invalid`, `insecure-transport`, `no-answer`
 */
export function changeProfileAddress(
  name: string,
  url: string,
  options: ProfileAddressOptions = {},
): Promise<ProfileSummary> {
  return asLibraryCall(async () => {
    const rules = { name: 'text', url: 'text', otherName: 'flag?', signal: 'signal?', ...connectionRules } as const
    checkOptions('changeProfileAddress()', { name, url, ...options }, rules)
    const { otherName: isOtherName = false, signal = never, ...connection } = options
    if (!URL.canParse(url)) throw optionsInvalid(`'${url}' is not an address`)
    await changeAddress(name, url.replace(/\/+$/, ''), signal, { ...connection, isOtherName })
    return summaryOf(name)
  })
}

/**
 * Writes a profile into one file, encrypted with a passphrase, together with its contacts, receipts, links and requests, and, if wanted, its
 * unfinished transfers.
 *
 * @throws GoLooaderError `profile-unusable` when there is none, `options-invalid` for a short passphrase or a file that exists
 */
export function exportProfile(name: string, options: ExportProfileOptions): Promise<ProfileExport> {
  return asLibraryCall(async () => {
    const rules = { name: 'text', passphrase: 'text', file: 'text', transfers: 'flag?' } as const
    checkOptions('exportProfile()', { name, ...options }, rules)
    return (await import('./export.ts')).writeProfileExport(name, options)
  })
}

/**
 * Adds a profile from a file of {@link exportProfile}. What this machine has is not replaced. After an interruption of any kind the same
 * call completes it.
 *
 * @throws GoLooaderError `profile-unusable` for a wrong passphrase or file, and where this machine has the account or the name already
 */
export function importProfile(file: string, options: ImportProfileOptions): Promise<ImportedProfile> {
  return asLibraryCall(async () => {
    checkOptions('importProfile()', { file, ...options }, { file: 'text', passphrase: 'text', name: 'text?' })
    return (await import('./import.ts')).readProfileExport(file, options)
  })
}

async function summaryOf(name: string): Promise<ProfileSummary> {
  const { account, portalUrl, keys } = await requireProfile(name)
  const fingerprint = keys === undefined ? null : await fingerprintOf((await parseKeys(keys)).publicKeys)
  return { name, account, portalUrl, fingerprint }
}
