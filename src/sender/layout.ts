/** How a file is cut into parts, and what seals each of them. */
import { digestLengthsBytes, type PartLayout, partCount } from '../protocol/index.ts'
import { type ContentKey, sealedLayout } from '../trust/index.ts'
import type { JournalEntry } from './journal.ts'
import type { RecordLayout } from './seal-record.ts'
import type { PartSeal } from './source.ts'

/** The sizes of what the file holds. */
export function layoutOf({ source, partSizeBytes }: JournalEntry): PartLayout {
  return { sizeBytes: source.sizeBytes, partSizeBytes }
}

/** The sizes of what travels. */
export function wireLayoutOf(entry: JournalEntry): PartLayout {
  return 'sealed' in entry.metadata ? sealedLayout(layoutOf(entry)) : layoutOf(entry)
}

/** Of the seal record of a transfer. */
export function recordLayoutOf(entry: JournalEntry): RecordLayout {
  return { partCount: partCount(layoutOf(entry)), digestBytes: digestLengthsBytes[entry.digestAlgorithm] }
}

/** With what a part of a transfer is sealed. */
export function sealOf(entry: JournalEntry, { partKey }: ContentKey, partNumber: number): PartSeal {
  const isLast = partNumber === partCount(layoutOf(entry))
  return { partKey, position: { transferId: entry.transferId, partNumber, isLast } }
}
