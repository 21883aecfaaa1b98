/** The parts of a journal entry's file, and their seals. */
import { digestLengthsBytes, type PartLayout, partCount } from '../protocol/index.ts'
import { type ContentKey, type PartDigests, type PartSeal, sealedLayout } from '../trust/index.ts'
import type { JournalEntry } from './journal.ts'
import type { RecordLayout } from './seal-record.ts'

/** The layout in sizes of the file itself. */
export function layoutOf({ source, partSizeBytes }: JournalEntry): PartLayout {
  return { sizeBytes: source.sizeBytes, partSizeBytes }
}

/** The layout in sizes of the parts as they travel, sealed or not. */
export function wireLayoutOf(entry: JournalEntry): PartLayout {
  return 'sealed' in entry.metadata ? sealedLayout(layoutOf(entry)) : layoutOf(entry)
}

/** The layout of a transfer's seal record. */
export function recordLayoutOf(entry: JournalEntry): RecordLayout {
  return { partCount: partCount(layoutOf(entry)), digestBytes: digestLengthsBytes[entry.digestAlgorithm] }
}

/** The key and position that seal a part. */
export function sealOf(entry: JournalEntry, { partKey }: ContentKey, partNumber: number): PartSeal {
  const isLast = partNumber === partCount(layoutOf(entry))
  return { partKey, position: { transferId: entry.transferId, partNumber, isLast } }
}

/** The digests of all parts in the order of their numbers. @throws Error when a part was not read */
export function digestsInOrder(digests: ReadonlyMap<number, PartDigests>, layout: PartLayout): PartDigests[] {
  return Array.from({ length: partCount(layout) }, (_, index) => {
    const found = digests.get(index + 1)
    if (found === undefined) throw new Error(`part ${index + 1} was not read`)
    return found
  })
}
