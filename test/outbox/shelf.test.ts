import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { shelve } from '../../src/outbox/shelf.ts'
import { sameNamesMax } from '../../src/protocol/index.ts'
import { testFolder } from '../suites/folder.ts'

const FILES = 40

test('files of one name that come at the same time each have their own small file beside them', async () => {
  const folder = await testFolder()
  const sent = join(folder, 'sent')
  mkdirSync(sent)
  const places = await Promise.all(
    Array.from({ length: FILES }, (_, index) => {
      const from = join(folder, `${index}`)
      writeFileSync(from, `content ${index}`)
      const beside = [{ suffix: '.receipt.json', text: `receipt of content ${index}` }]
      return shelve({ from, name: 'report.csv', isFolder: false, id: `${index}` }, sent, beside)
    }),
  )
  expect(new Set(places).size).toBe(FILES)
  for (const [index, path] of places.entries()) {
    expect(readFileSync(path ?? '', 'utf8')).toBe(`content ${index}`)
    expect(readFileSync(`${path}.receipt.json`, 'utf8')).toBe(`receipt of content ${index}`)
  }
  expect(readdirSync(sent)).toHaveLength(2 * FILES)
})

test.each([
  ['an empty file', ''],
  ['the beginning of a receipt', 'receipt'],
])("%s of the user's own that has the name of a receipt stays, and the file gets a number", async (_what, own) => {
  const folder = await testFolder()
  const sent = join(folder, 'sent')
  mkdirSync(sent)
  writeFileSync(join(sent, 'report.csv.receipt.json'), own)
  writeFileSync(join(folder, 'report.csv'), 'content')
  const beside = [{ suffix: '.receipt.json', text: 'receipt of content' }]
  const shelved = { from: join(folder, 'report.csv'), name: 'report.csv', isFolder: false, id: 'own' }
  expect(await shelve(shelved, sent, beside)).toBe(join(sent, 'report (1).csv'))
  // Killed after the move: the same place again.
  expect(await shelve(shelved, sent, beside)).toBe(join(sent, 'report (1).csv'))
  expect(readFileSync(join(sent, 'report.csv.receipt.json'), 'utf8')).toBe(own)
  expect(readFileSync(join(sent, 'report (1).csv.receipt.json'), 'utf8')).toBe('receipt of content')
  expect(readdirSync(sent).sort()).toEqual(['report (1).csv', 'report (1).csv.receipt.json', 'report.csv.receipt.json'])
})

test('where all numbers of a name are taken, the file gets the id of its transfer, also after a kill', async () => {
  const folder = await testFolder()
  const sent = join(folder, 'sent')
  mkdirSync(sent)
  const taken = ['report.csv', ...Array.from({ length: sameNamesMax }, (_, index) => `report (${index + 1}).csv`)]
  for (const name of taken) writeFileSync(join(sent, name), '')
  writeFileSync(join(folder, 'report.csv'), 'content')
  const beside = [{ suffix: '.receipt.json', text: 'receipt of content' }]
  const shelved = { from: join(folder, 'report.csv'), name: 'report.csv', isFolder: false, id: '01a2' }
  expect(await shelve(shelved, sent, beside)).toBe(join(sent, 'report (01a2).csv'))
  expect(await shelve(shelved, sent, beside)).toBe(join(sent, 'report (01a2).csv'))
  expect(readFileSync(join(sent, 'report (01a2).csv.receipt.json'), 'utf8')).toBe('receipt of content')
})

test('files of one long name each have their own small file beside them', async () => {
  const folder = await testFolder()
  const sent = join(folder, 'sent')
  mkdirSync(sent)
  const name = `${'x'.repeat(251)}.csv`
  for (const [index, cut] of ['', ' (1)', ' (2)'].entries()) {
    const from = join(folder, `${index}`)
    writeFileSync(from, `content ${index}`)
    const beside = [{ suffix: '.receipt.json', text: `receipt of content ${index}` }]
    const path = await shelve({ from, name, isFolder: false, id: `${index}` }, sent, beside)
    expect(path).toBe(join(sent, index === 0 ? name : `${'x'.repeat(251 - cut.length)}${cut}.csv`))
    const note = index === 0 ? 'x'.repeat(242) : `${'x'.repeat(238 - cut.length)}${cut}.csv`
    expect(readFileSync(join(sent, `${note}.receipt.json`), 'utf8')).toBe(`receipt of content ${index}`)
  }
})
