/** Entries that are recorded together share a file and one sync. */
import { appendFile, readdir, readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import type { JournalEntry } from '../../src/sender/index.ts'
import { FileJournal } from '../../src/sender/node-journal.ts'
import { entryFor } from '../suites/journal.ts'
import { TestFolder } from './folder.ts'

const entriesOf = (count: number): JournalEntry[] =>
  Array.from({ length: count }, (_, index) => entryFor(`/a/file-${index}`))

/** Records all at the same time, which is together. */
async function recorded(folder: TestFolder, entries: readonly JournalEntry[]): Promise<FileJournal> {
  const journal = new FileJournal(folder.path)
  expect(await Promise.all(entries.map((entry) => journal.replace(null, entry)))).toEqual(entries.map(() => true))
  return journal
}

test('concurrent entries need one file, are found by other runs, and leave nothing after their removal', async () => {
  await using folder = await TestFolder.make()
  const entries = entriesOf(20)
  const journal = await recorded(folder, entries)
  expect(await readdir(folder.join('journal'))).toHaveLength(1)
  const other = new FileJournal(folder.path)
  for (const entry of entries) expect(await other.read(entry)).toEqual(entry)
  // An entry that one run removed is gone for other runs, also for those that have read the files already.
  await Promise.all(entries.slice(0, 10).map((entry) => journal.remove(entry)))
  for (const run of [journal, other, new FileJournal(folder.path)]) {
    for (const [index, entry] of entries.entries()) expect(await run.read(entry)).toEqual(index < 10 ? null : entry)
  }
  await Promise.all(entries.slice(10).map((entry) => other.remove(entry)))
  expect(await readdir(folder.join('journal'))).toEqual([])
  expect(await journal.read(entries[15] as JournalEntry)).toBeNull()
})

test('of two records for the same file at the same time one wins, within a run and between two', async () => {
  await using folder = await TestFolder.make()
  const journal = new FileJournal(folder.path)
  const other = new FileJournal(folder.path)
  for (const runs of [
    [journal, journal],
    [journal, other],
  ]) {
    const entry = entryFor(`/a/${newTransferId()}`)
    const rivals = [entry, { ...entry, transferId: newTransferId() }]
    // Another entry is being written, so that the rivals are written together.
    const before = journal.replace(null, entryFor(`/a/${newTransferId()}`))
    const results = await Promise.all(rivals.map((one, index) => runs[index]?.replace(null, one)))
    await before
    expect([...results].sort()).toEqual([false, true])
    expect(await other.read(entry)).toEqual(rivals[results.indexOf(true)])
  }
})

test('a transfer replaces an outdated one, which does not come back when the newer one is removed', async () => {
  await using folder = await TestFolder.make()
  const entries = entriesOf(5)
  const journal = await recorded(folder, entries)
  const newer = entries.map((entry) => ({ ...entry, transferId: newTransferId() }))
  const replaced = entries.map((entry, index) => journal.replace(entry, newer[index] as JournalEntry))
  expect(await Promise.all(replaced)).toEqual(entries.map(() => true))
  const other = new FileJournal(folder.path)
  for (const [index, entry] of entries.entries()) expect(await other.read(entry)).toEqual(newer[index])
  await Promise.all(newer.map((entry) => other.remove(entry)))
  for (const entry of entries) expect(await journal.read(entry)).toBeNull()
  expect(await readdir(folder.join('journal'))).toEqual([])
})

test('a removal that a crash cut off is repeated, and affects no other entry', async () => {
  await using folder = await TestFolder.make()
  const entries = entriesOf(5)
  await recorded(folder, entries)
  const name = (await readdir(folder.join('journal'))).find((one) => one.endsWith('.batch')) ?? ''
  const [second, third] = entries.slice(1)
  await appendFile(folder.join('journal', name), `\n{"removed":"${second?.transferId.slice(0, 20)}`)
  const journal = new FileJournal(folder.path)
  for (const entry of entries) expect(await journal.read(entry)).toEqual(entry)
  await journal.remove(second as JournalEntry)
  const later = new FileJournal(folder.path)
  expect(await later.read(second as JournalEntry)).toBeNull()
  expect(await later.read(third as JournalEntry)).toEqual(third)
})

test('of an older entry that a crash left, and a newer one, the newer one counts', async () => {
  await using folder = await TestFolder.make()
  const [first, ...others] = entriesOf(3)
  await recorded(folder, [first as JournalEntry, ...others])
  const name = (await readdir(folder.join('journal'))).find((one) => one.endsWith('.batch')) ?? ''
  const text = await readFile(folder.join('journal', name), 'utf8')
  const newer = { ...(others[0] as JournalEntry), transferId: newTransferId() }
  await writeFile(
    folder.join('journal', 'ffffffffffff.batch'),
    text.replace(others[0]?.transferId ?? '', newer.transferId),
  )
  expect(await new FileJournal(folder.path).read(newer)).toEqual(newer)
})
