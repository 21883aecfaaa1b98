/** What an exported profile contains, as JSON inside of the encryption (`src/trust/profile-export.ts`). */
import * as Type from 'typebox'
import { StoredContact, StoredProfile } from '../../profile/index.ts'
import { conforms, Problem, Timestamp, TransferId } from '../../protocol/index.ts'
import { asEntry, type JournalEntry } from '../../sender/index.ts'
import { ReceiptFile } from '../../trust/index.ts'
import { RequestRecord } from '../file-requests.ts'
import { LinkRecord } from '../send-link.ts'

const VERSION = 1

const ExportedProfile = Type.Object({
  version: Type.Literal(VERSION),
  /** Identifies the export, so that its transfers are not imported twice. */
  exportId: TransferId,
  exportedAt: Timestamp,
  name: Type.String(),
  profile: StoredProfile,
  contacts: Type.Array(StoredContact),
  receipts: Type.Array(ReceiptFile),
  links: Type.Array(LinkRecord),
  requests: Type.Array(RequestRecord),
  /** Transfers that continue on the other machine: their journal entries, and what was sealed for them, base64. */
  transfers: Type.Array(Type.Object({ entry: Type.Unknown(), record: Type.Union([Type.String(), Type.Null()]) })),
  /** The journal that they are from. Missing where they stay. */
  journalId: Type.Optional(TransferId),
})

export interface MovedTransfer {
  readonly entry: JournalEntry
  readonly record: string | null
}

export type ExportedProfile = Omit<Type.Static<typeof ExportedProfile>, 'transfers'> & {
  readonly transfers: readonly MovedTransfer[]
}

export function exportText(content: Omit<ExportedProfile, 'version'>): string {
  return JSON.stringify({ version: VERSION, ...content })
}

/** @throws Problem `profile-unusable` for a text that another version has written */
export function parseExport(text: string): ExportedProfile {
  const value: unknown = JSON.parse(text)
  if (!conforms(ExportedProfile, value)) throw otherVersion()
  const transfers = value.transfers.map(({ entry, record }) => {
    const known = asEntry(entry)
    if (known === null) throw otherVersion()
    return { entry: known, record }
  })
  return { ...value, transfers }
}

function otherVersion(): Problem {
  return new Problem('profile-unusable', { detail: 'the file was written by another version of this program' })
}
