/** The sender's journal and seal records in a browser's database, under the contract suites. */
import { afterAll, beforeAll } from 'vitest'
import { type Journal, SealConflictError, type SealRecord, type SealRecords } from '../../src/sender/index.ts'
import { testJournal } from '../suites/journal.ts'
import { testSealRecords } from '../suites/seal-records.ts'
import { type BrowserPage, browserPage } from './harness/browser.ts'

let page: BrowserPage
let places = 0

beforeAll(async () => {
  page = await browserPage()
})
afterAll(() => page.close())

const call = <Result>(name: string, ...args: readonly unknown[]): Promise<Result> =>
  page.run('test/page/browser/sender-records.ts', name, ...args)

/** Each run has its own database. */
function newPlace() {
  const place = `/place-${++places}`
  let runs = 0
  return {
    place,
    journal: async (): Promise<Journal> => {
      const run = ++runs
      return {
        read: (key) => call('read', place, run, key),
        replace: (known, entry) => call('replace', place, run, known, entry),
        remove: (entry) => call('remove', place, run, entry),
      }
    },
    records(): SealRecords {
      const run = ++runs
      return {
        begin: (transferId, layout) => call('begin', place, run, transferId, layout),
        remove: (transferId) => call('removeRecord', place, run, transferId),
        async open(transferId, layout, held) {
          const index = await call<number | null>('open', place, run, transferId, layout, [...held])
          return index === null ? null : recordAt(index)
        },
      }
    },
    async [Symbol.asyncDispose]() {},
  }
}

function recordAt(index: number): SealRecord {
  return {
    async note(partNumber, digest) {
      const problem = await call<string | null>('note', index, partNumber, digest)
      if (problem !== null) throw new SealConflictError(problem)
    },
    async [Symbol.asyncDispose]() {},
  }
}

testJournal('IndexedDB', async () => {
  const place = newPlace()
  return { ...place, sealRecords: place.records() }
})

const damages = ['is gone', 'lost its head', 'lost a part', 'has a part without content']

testSealRecords('IndexedDB', damages, async () => {
  const { place, records, ...rest } = newPlace()
  return {
    ...rest,
    records: async () => records(),
    damages: {
      'is gone': (transferId) => call('damage', place, transferId, [0, 1, 2]),
      'lost its head': (transferId) => call('damage', place, transferId, [0]),
      'lost a part': (transferId) => call('damage', place, transferId, [1]),
      'has a part without content': (transferId) => call('blank', place, transferId, 1),
    },
  }
})
