import { readdir, readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import { Journal, type JournalEntry } from '../../src/sender/journal.ts'
import { TestFolder } from './folder.ts'

function entryFor(path: string): JournalEntry {
  return {
    transferId: newTransferId(),
    portalUrl: 'http://127.0.0.1:7878',
    account: 'ada',
    path,
    name: 'report.pdf',
    to: ['bob', 'eve'],
    source: { sizeBytes: 5, mtimeNs: '1700000000123456789', inode: '18446744073709551615', device: '2049' },
    partSizeBytes: 65_536,
    digestAlgorithm: 'sha-256',
    createdAt: '2026-01-02T03:04:05.678Z',
  }
}

test('a transfer that was recorded is found again by another process', async () => {
  await using folder = await TestFolder.make()
  const entry = entryFor('/a/report.pdf')
  await new Journal(folder.path).write(entry)
  expect(await new Journal(folder.path).read(entry)).toEqual(entry)
})

test('another file, receiver, portal, account or name is another transfer', async () => {
  await using folder = await TestFolder.make()
  const journal = new Journal(folder.path)
  const entry = entryFor('/a/report.pdf')
  await journal.write(entry)
  const others = [
    { path: '/b/report.pdf' },
    { to: ['bob'] },
    { portalUrl: 'http://127.0.0.1:7879' },
    { account: 'eve' },
    { name: 'other.pdf' },
  ]
  for (const other of others) expect(await journal.read({ ...entry, ...other })).toBeNull()
})

test('writing again replaces the whole record, and leaves nothing else in the folder', async () => {
  await using folder = await TestFolder.make()
  const journal = new Journal(folder.path)
  const first = entryFor('/a/report.pdf')
  const second = { ...first, transferId: newTransferId() }
  await journal.write(first)
  await journal.write(second)
  expect(await journal.read(first)).toEqual(second)
  expect(await readdir(folder.join('journal'))).toHaveLength(1)
})

test('a transfer whose end was told is forgotten, also twice', async () => {
  await using folder = await TestFolder.make()
  const journal = new Journal(folder.path)
  const entry = entryFor('/a/report.pdf')
  await journal.write(entry)
  await journal.remove(entry)
  await journal.remove(entry)
  expect(await journal.read(entry)).toBeNull()
})

test.each([
  ['half a record', (text: string) => text.slice(0, text.length / 2)],
  ['a record of another kind', () => '{"version":1}'],
  ['a record of another file', (text: string) => text.replace('/a/report.pdf', '/b/report.pdf')],
  ['nothing', () => ''],
])('%s is set aside, and counts as none', async (_, damage) => {
  await using folder = await TestFolder.make()
  const journal = new Journal(folder.path)
  const entry = entryFor('/a/report.pdf')
  await journal.write(entry)
  const [name = ''] = await readdir(folder.join('journal'))
  const path = folder.join('journal', name)
  const damaged = damage(await readFile(path, 'utf8'))
  await writeFile(path, damaged)
  expect(await journal.read(entry)).toBeNull()
  expect(await readdir(folder.join('journal'))).toEqual([`${name}.damaged`])
  expect(await readFile(`${path}.damaged`, 'utf8')).toBe(damaged)
})
