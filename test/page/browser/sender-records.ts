/** Journals and seal records in a browser, for the contract suites, which run in Node. */
import { openDatabase, type PageDatabase } from '../../../src/page/platform/database.ts'
import { PageJournal } from '../../../src/page/platform/journal.ts'
import { PageSealRecords } from '../../../src/page/platform/seal-records.ts'
import {
  type JournalEntry,
  type JournalKey,
  type RecordLayout,
  SealConflictError,
  type SealRecord,
} from '../../../src/sender/index.ts'

const databases = new Map<string, Promise<PageDatabase>>()
const records: SealRecord[] = []

/** @param run each run has its own database connection */
function databaseOf(place: string, run: number): Promise<PageDatabase> {
  const name = `${place} ${run}`
  const database = databases.get(name) ?? openDatabase(new URL(place, location.href).href)
  databases.set(name, database)
  return database
}

const journalOf = async (place: string, run: number) => new PageJournal(await databaseOf(place, run))
const recordsOf = async (place: string, run: number) => new PageSealRecords(await databaseOf(place, run))

export const read = async (place: string, run: number, key: JournalKey) => (await journalOf(place, run)).read(key)
export const replace = async (place: string, run: number, known: JournalEntry | null, entry: JournalEntry) =>
  (await journalOf(place, run)).replace(known, entry)
export const remove = async (place: string, run: number, entry: JournalEntry) =>
  (await journalOf(place, run)).remove(entry)

export const begin = async (place: string, run: number, transferId: string, layout: RecordLayout) =>
  (await recordsOf(place, run)).begin(transferId, layout)
export const removeRecord = async (place: string, run: number, transferId: string) =>
  (await recordsOf(place, run)).remove(transferId)

/** @returns the number of the open record; null where it is lost */
export async function open(
  place: string,
  run: number,
  transferId: string,
  layout: RecordLayout,
  held: readonly [number, string][],
): Promise<number | null> {
  const record = await (await recordsOf(place, run)).open(transferId, layout, new Map(held))
  return record === null ? null : records.push(record) - 1
}

/** @returns the name of the error; null on success */
export async function note(index: number, partNumber: number, digest: string): Promise<string | null> {
  try {
    await records[index]?.note(partNumber, digest)
    return null
  } catch (error) {
    if (error instanceof SealConflictError) return error.message
    throw error
  }
}

/** Deletes recorded rows, which GoLooader itself never does. */
export async function damage(place: string, transferId: string, partNumbers: readonly number[]): Promise<void> {
  const database = await databaseOf(place, 0)
  for (const partNumber of partNumbers) await database.delete('sealed', [transferId, partNumber])
}

export async function blank(place: string, transferId: string, partNumber: number): Promise<void> {
  await (await databaseOf(place, 0)).put('sealed', '', [transferId, partNumber])
}
