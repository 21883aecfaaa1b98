import { readdir, readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import type { JournalEntry } from '../../src/sender/journal.ts'
import { FileJournal } from '../../src/sender/node-journal.ts'
import { TestFolder } from './folder.ts'

function entryFor(place: string): JournalEntry {
  return {
    transferId: newTransferId(),
    portalUrl: 'http://127.0.0.1:7878',
    account: 'ada',
    place,
    name: 'report.pdf',
    to: ['bob', 'eve'],
    isSealed: false,
    metadata: { name: 'report.pdf' },
    sealedFor: null,
    onlyPartDigest: null,
    source: { sizeBytes: 5, mtimeNs: '1700000000123456789', inode: '18446744073709551615', device: '2049' },
    partSizeBytes: 65_536,
    digestAlgorithm: 'sha-256',
    createdAt: '2026-01-02T03:04:05.678Z',
  }
}

test('a transfer that was recorded is found again by another process', async () => {
  await using folder = await TestFolder.make()
  const entry = entryFor('/a/report.pdf')
  expect(await new FileJournal(folder.path).replace(null, entry)).toBe(true)
  expect(await new FileJournal(folder.path).read(entry)).toEqual(entry)
})

test('another file, receiver, portal, account or name is another transfer', async () => {
  await using folder = await TestFolder.make()
  const journal = new FileJournal(folder.path)
  const entry = entryFor('/a/report.pdf')
  await journal.replace(null, entry)
  const others = [
    { place: '/b/report.pdf' },
    { to: ['bob'] },
    { portalUrl: 'http://127.0.0.1:7879' },
    { account: 'eve' },
    { name: 'other.pdf' },
    { isSealed: true },
  ]
  for (const other of others) expect(await journal.read({ ...entry, ...other })).toBeNull()
})

test('a transfer takes the place of an outdated one, and leaves nothing else in the folder', async () => {
  await using folder = await TestFolder.make()
  const journal = new FileJournal(folder.path)
  const first = entryFor('/a/report.pdf')
  const second = { ...first, transferId: newTransferId() }
  expect(await journal.replace(null, first)).toBe(true)
  expect(await journal.replace(first, second)).toBe(true)
  expect(await journal.read(first)).toEqual(second)
  expect(await readdir(folder.join('journal'))).toHaveLength(1)
})

test('a transfer whose end was told is forgotten, also twice', async () => {
  await using folder = await TestFolder.make()
  const journal = new FileJournal(folder.path)
  const entry = entryFor('/a/report.pdf')
  await journal.replace(null, entry)
  await journal.remove(entry)
  await journal.remove(entry)
  expect(await journal.read(entry)).toBeNull()
})

test('of several runs that begin at the same moment one records its transfer, and the others see it', async () => {
  await using folder = await TestFolder.make()
  const outdated = entryFor('/a/report.pdf')
  for (const known of [null, outdated]) {
    const entries = Array.from({ length: 8 }, () => ({ ...outdated, transferId: newTransferId() }))
    const journals = entries.map(() => new FileJournal(folder.path))
    if (known !== null)
      expect(await journals[0]?.replace(await new FileJournal(folder.path).read(known), known)).toBe(true)
    const won = await Promise.all(entries.map((entry, index) => journals[index]?.replace(known, entry)))
    expect(won.filter(Boolean)).toHaveLength(1)
    expect(await new FileJournal(folder.path).read(outdated)).toEqual(entries[won.indexOf(true)])
  }
  expect(await readdir(folder.join('journal'))).toHaveLength(1)
})

test('the transfer that another run began for the same file is neither forgotten nor replaced', async () => {
  await using folder = await TestFolder.make()
  const journal = new FileJournal(folder.path)
  const first = entryFor('/a/report.pdf')
  const second = { ...first, transferId: newTransferId() }
  await journal.replace(null, first)
  await journal.replace(first, second)
  await journal.remove(first)
  expect(await journal.read(first)).toEqual(second)
  for (const known of [null, first]) {
    expect(await journal.replace(known, { ...first, transferId: newTransferId() })).toBe(false)
  }
  expect(await journal.read(first)).toEqual(second)
})

test.each([
  ['half a record', (text: string) => text.slice(0, text.length / 2)],
  ['a record of another kind', () => '{"version":1}'],
  ['a record of another file', (text: string) => text.replace('/a/report.pdf', '/b/report.pdf')],
  ['nothing', () => ''],
])('%s is set aside, and counts as none', async (_, damage) => {
  await using folder = await TestFolder.make()
  const journal = new FileJournal(folder.path)
  const entry = entryFor('/a/report.pdf')
  await journal.replace(null, entry)
  const [name = ''] = await readdir(folder.join('journal'))
  const path = folder.join('journal', name)
  const damaged = damage(await readFile(path, 'utf8'))
  await writeFile(path, damaged)
  expect(await journal.read(entry)).toBeNull()
  expect(await journal.replace(null, entry)).toBe(true)
  expect(await journal.read(entry)).toEqual(entry)
  expect((await readdir(folder.join('journal'))).sort()).toEqual([name, `${name}.damaged`])
  expect(await readFile(`${path}.damaged`, 'utf8')).toBe(damaged)
})
