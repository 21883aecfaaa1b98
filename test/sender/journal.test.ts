/** Journal and seal records in a folder, under the suites of their contracts, and tests of the files themselves. */
import { mkdir, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import { FileJournal } from '../../src/sender/node-journal.ts'
import { FileSealRecords } from '../../src/sender/node-seal-record.ts'
import { entryFor, testJournal } from '../suites/journal.ts'
import { testSealRecords } from '../suites/seal-records.ts'
import { TestFolder } from './folder.ts'

testJournal('files', async () => {
  const folder = await TestFolder.make()
  return {
    journal: async () => new FileJournal(folder.path),
    sealRecords: new FileSealRecords(folder.path),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
})

testSealRecords('files', ['is gone', 'was cut off', 'is empty', 'lost its content'], async () => {
  const folder = await TestFolder.make()
  const pathOf = (transferId: string) => folder.join('journal', `${transferId}.sealed`)
  return {
    records: async () => new FileSealRecords(folder.path),
    damages: {
      'is gone': (transferId) => rm(pathOf(transferId)),
      'was cut off': (transferId) => truncate(pathOf(transferId), 40),
      'is empty': (transferId) => truncate(pathOf(transferId), 0),
      'lost its content': async (transferId) => {
        const { length } = await readFile(pathOf(transferId))
        await truncate(pathOf(transferId), 0)
        await truncate(pathOf(transferId), length)
      },
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
})

test('a transfer replaces an outdated one, and leaves nothing else in the folder', async () => {
  await using folder = await TestFolder.make()
  const journal = new FileJournal(folder.path)
  const first = entryFor('/a/report.pdf')
  const second = { ...first, transferId: newTransferId() }
  await journal.replace(null, first)
  await journal.replace(first, second)
  expect(await readdir(folder.join('journal'))).toHaveLength(1)
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

test('what killed runs have left goes after an hour: unfinished files, and seal records of transfers without an entry', async () => {
  await using folder = await TestFolder.make()
  const journal = new FileJournal(folder.path)
  await mkdir(folder.join('journal'))
  await journal.tidy()
  const [own, batched] = [entryFor('/a/report.pdf'), entryFor('/b/report.pdf')]
  await journal.replace(null, own)
  await Promise.all([batched, entryFor('/c/report.pdf')].map((entry) => journal.replace(null, entry)))
  const [lost, young] = [newTransferId(), newTransferId()]
  const twoHoursAgo = new Date(Date.now() - 7_200_000)
  const files = [
    ...[`${own.transferId}.sealed`, `${batched.transferId}.sealed.taken`, `${young}.sealed`, '.0123456789ab.partial'],
    ...[`${lost}.sealed`, `${lost}.sealed.lock`, `${newTransferId()}.sealed.lock`, '.ba9876543210.partial'],
  ]
  const kept = files.slice(0, 4)
  for (const name of files) {
    const path = folder.join('journal', name)
    await writeFile(path, '')
    if (name !== `${young}.sealed` && name !== '.0123456789ab.partial') await utimes(path, twoHoursAgo, twoHoursAgo)
  }
  await journal.tidy()
  const left = await readdir(folder.join('journal'))
  expect(left.filter((name) => /\.sealed|\.partial/.test(name)).sort()).toEqual([...kept].sort())
  expect(await journal.read(own)).toEqual(own)
  expect(await journal.read(batched)).toEqual(batched)
})
