/**
 * Reads an exported profile. The profile itself is written last: until then no command of this machine uses what is imported, and the same
 * call after a kill at any moment completes it.
 */
import { readFile } from 'node:fs/promises'
import { fileErrorText } from '../../fs/index.ts'
import {
  changingProfiles,
  contactsPath,
  FileContacts,
  FileReceipts,
  parseKeys,
  profileNames,
  profileProblem,
  readProfile,
  type StoredProfile,
  stateFolder,
  stateMember,
  stateUrlFor,
  writeProfile,
} from '../../profile/index.ts'
import { Problem } from '../../protocol/index.ts'
import { FileJournal } from '../../sender/node-journal.ts'
import { FileSealRecords } from '../../sender/node-seal-record.ts'
import { openProfileExport } from '../../trust/index.ts'
import { requestRecords } from '../file-requests.ts'
import { linkRecordName, linkRecords } from '../send-link.ts'
import { type ExportedProfile, type MovedTransfer, parseExport } from './content.ts'
import { importRecords } from './import-records.ts'

export interface ImportProfileOptions {
  readonly passphrase: string
  /** The name for the profile. Default: the one that it had. */
  readonly name?: string
}

export interface ImportedProfile {
  readonly profile: string
  /** The file of the profile. */
  readonly path: string
  readonly account: string
  readonly portalUrl: string
  /** Accounts that are known here by other keys than in the file. They stay as they are here. */
  readonly otherKeys: readonly string[]
  readonly receipts: number
  /** Unfinished transfers that continue here. */
  readonly transfers: number
}

/** @throws Problem `profile-unusable` that names the file */
async function readExport(file: string): Promise<Buffer> {
  return readFile(file).catch((cause: unknown) => {
    const reason = cause instanceof Error ? fileErrorText(file, cause) : String(cause)
    throw new Problem('profile-unusable', { detail: `the exported profile cannot be read: ${reason}` }, { cause })
  })
}

/** @throws Problem `profile-unusable` for a wrong passphrase or file, and where this machine has the account or the name already */
export async function readProfileExport(
  file: string,
  { passphrase, name: wantedName }: ImportProfileOptions,
): Promise<ImportedProfile> {
  const content = parseExport(await openProfileExport(await readExport(file), passphrase))
  const { exportId, profile } = content
  const name = wantedName ?? content.name
  const { portalUrl, account } = profile
  return changingProfiles(async () => {
    await requireFree(name, profile)
    if (profile.keys !== undefined) await parseKeys(profile.keys)
    const stateUrl = await stateUrlFor(name, portalUrl, profile.stateUrl ?? portalUrl)
    const otherKeys = await new FileContacts(contactsPath(), stateUrl).adopt(content.contacts)
    const receipts = await new FileReceipts(stateFolder()).adopt(content.receipts)
    await adoptRecords(content, stateUrl)
    const isRepeated = (await importRecords().read(exportId)) !== null
    // A transfer that has ended here must not come back with an older record of what was sealed for it.
    const transfers = isRepeated ? 0 : await adoptTransfers(content.transfers, stateUrl)
    if (!isRepeated) await importRecords().write(exportId, { account, ...journalOf(content, stateUrl) })
    const path = await writeProfile(name, { ...profile, ...stateMember(portalUrl, stateUrl) })
    return { profile: name, path, account, portalUrl, otherKeys, receipts, transfers }
  })
}

function journalOf({ journalId, profile }: ExportedProfile, stateUrl: string) {
  const { portalUrl, stateUrl: theirs = portalUrl } = profile
  return journalId === undefined ? {} : { journal: { id: journalId, portalUrl: theirs, stateUrl } }
}

/** @throws Problem `profile-unusable` */
async function requireFree(name: string, { portalUrl, account }: StoredProfile): Promise<void> {
  for (const other of await profileNames()) {
    const known = await readProfile(other)
    if (known?.portalUrl !== portalUrl || known.account !== account) continue
    throw profileProblem(
      `this machine has ${account} at ${portalUrl} already: profile '${other}'. Nothing was imported`,
    )
  }
  const taken = await readProfile(name)
  if (taken === null) return
  const whose = `${taken.account} at ${taken.portalUrl}`
  throw profileProblem(`there is a profile '${name}' already, for ${whose}. Give this one another name: --as NAME`)
}

async function adoptRecords({ links, requests }: ExportedProfile, portalUrl: string): Promise<void> {
  for (const link of links) await linkRecords().write(linkRecordName(link), { ...link, portalUrl })
  for (const request of requests) await requestRecords().write(request.requestId, { ...request, portalUrl })
}

/** @returns how many continue here */
async function adoptTransfers(transfers: readonly MovedTransfer[], portalUrl: string): Promise<number> {
  const journal = new FileJournal(stateFolder())
  const records = new FileSealRecords(stateFolder())
  const adopted = await Promise.all(
    transfers.map(async ({ entry, record }) => {
      const own = { ...entry, portalUrl }
      const known = await journal.read(own)
      if (known !== null) return known.transferId === entry.transferId
      // The record first: without it, nothing more could be sealed for the transfer.
      if (record !== null) await records.adopt(entry.transferId, record)
      return journal.replace(null, own)
    }),
  )
  return adopted.filter((isHere) => isHere).length
}
