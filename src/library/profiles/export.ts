/** Writes a profile, and all that this machine keeps for it, into one encrypted file. */
import { dirname, resolve } from 'node:path'
import { createFile, hasCode, syncFolder } from '../../fs/index.ts'
import {
  contactsPath,
  FileContacts,
  FileReceipts,
  requireProfile,
  type StoredProfile,
  stateFolder,
} from '../../profile/index.ts'
import { newTransferId, optionsInvalid } from '../../protocol/index.ts'
import { FileJournal } from '../../sender/node-journal.ts'
import { journalId, renewJournalId } from '../../sender/node-journal-id.ts'
import { FileSealRecords } from '../../sender/node-seal-record.ts'
import { type ReceiptFile, readReceipt, sealProfileExport } from '../../trust/index.ts'
import { requestRecords } from '../file-requests.ts'
import { linkRecords } from '../send-link.ts'
import { exportText, type MovedTransfer } from './content.ts'
import { disownJournals } from './import-records.ts'

const PASSPHRASE_LENGTH_MIN = 8
/** The largest export. It is in memory as a whole. */
const EXPORT_BYTES_MAX = 256 * 1024 * 1024

export interface ExportProfileOptions {
  /** At least 8 characters. Who has it and the file has the account. */
  readonly passphrase: string
  /** The file to write. It must not exist. */
  readonly file: string
  /**
   * Takes unfinished transfers along: they continue where the file is imported, and no longer here. Default: false, they stay.
   */
  readonly transfers?: boolean
}

/** How much was written. */
export interface ProfileExport {
  readonly contacts: number
  readonly receipts: number
  readonly links: number
  readonly requests: number
  /** Unfinished transfers in the file. */
  readonly transfers: number
  /** Unfinished transfers that stay here. */
  readonly transfersLeft: number
}

/** @throws Problem `profile-unusable`, `options-invalid`; errors of the file system */
export async function writeProfileExport(
  name: string,
  { passphrase, file, transfers: takesTransfers = false }: ExportProfileOptions,
): Promise<ProfileExport> {
  if (passphrase.length < PASSPHRASE_LENGTH_MIN) {
    throw optionsInvalid(`the passphrase has to have ${PASSPHRASE_LENGTH_MIN} characters at least`)
  }
  const profile = await requireProfile(name)
  const { portalUrl, account, stateUrl = portalUrl } = profile
  const journal = new FileJournal(stateFolder())
  const open = await journal.entriesOf({ portalUrl: stateUrl, account })
  const records = new FileSealRecords(stateFolder())
  const transfers: MovedTransfer[] = []
  // From here on, runs that seal for these transfers fail: two machines must never seal different content with one key.
  for (const entry of takesTransfers ? open : []) {
    transfers.push({ entry, record: await records.takeOut(entry.transferId) })
  }
  const content = {
    exportId: newTransferId(),
    exportedAt: new Date().toISOString(),
    ...{ name, profile, transfers },
    contacts: await new FileContacts(contactsPath(), stateUrl).list(),
    receipts: await receiptsOf(profile),
    links: await ownRecords(linkRecords(), stateUrl, account),
    requests: await ownRecords(requestRecords(), stateUrl, account),
    ...(takesTransfers ? { journalId: await journalId(stateFolder()) } : {}),
  }
  const text = exportText(content)
  if (text.length > EXPORT_BYTES_MAX) {
    throw optionsInvalid(
      `the profile has more than ${EXPORT_BYTES_MAX} bytes: move older receipts away first, they are files`,
    )
  }
  await writeExport(file, await sealProfileExport(text, passphrase))
  // Only now: what is removed here is in the file, also after the loss of power.
  for (const { entry } of transfers) await journal.remove(entry)
  if (takesTransfers) await disown(stateUrl, account)
  return {
    contacts: content.contacts.length,
    receipts: content.receipts.length,
    links: content.links.length,
    requests: content.requests.length,
    transfers: transfers.length,
    transfersLeft: open.length - transfers.length,
  }
}

/** What was taken over from drop folders and has no transfer here may have one on the other machine from now on. */
async function disown(stateUrl: string, account: string): Promise<void> {
  await renewJournalId(stateFolder())
  await disownJournals(stateUrl, account)
}

/** Receipts do not name the portal: of two accounts of one name, either export has those of both. */
async function receiptsOf({ account }: StoredProfile): Promise<ReceiptFile[]> {
  const found: ReceiptFile[] = []
  for await (const receipt of new FileReceipts(stateFolder()).all()) {
    if (readReceipt(receipt.receipt).from === account) found.push(receipt)
  }
  return found
}

interface OwnRecord {
  readonly portalUrl: string
  readonly account: string
}

async function ownRecords<Record extends OwnRecord>(
  records: { all(): Promise<Map<string, Record>> },
  stateUrl: string,
  account: string,
): Promise<Record[]> {
  const all = [...(await records.all()).values()]
  return all.filter((record) => record.portalUrl === stateUrl && record.account === account)
}

/** Nothing is replaced, and the file is durable when this resolves. */
async function writeExport(file: string, bytes: Uint8Array): Promise<void> {
  try {
    await createFile(file, [bytes], 0o600)
  } catch (error) {
    if (hasCode(error, 'EEXIST')) throw optionsInvalid(`${file} exists already: name another file`)
    throw error
  }
  await syncFolder(dirname(resolve(file)))
}
