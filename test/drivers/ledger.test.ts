/** The ledgers that are there, under the suite of the contract. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { testLedger } from '../suites/ledger.ts'

async function databasePath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'golooader-ledger-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  return join(folder, 'ledger.sqlite')
}

/** A ledger that is closed and opened again between any two calls: nothing that decides may live in the process. */
function restarting(open: () => Promise<Ledger>): Ledger {
  // One call after another: a call under way when the ledger closes would be another test.
  let turn: Promise<unknown> = Promise.resolve()
  return new Proxy({} as Ledger, {
    get: (_, method: keyof Ledger) => {
      if (method === 'close') return () => turn
      return (...parameters: unknown[]) => {
        const call = async (): Promise<unknown> => {
          const ledger = await open()
          try {
            return await Reflect.apply(ledger[method], ledger, parameters)
          } finally {
            await ledger.close()
          }
        }
        const result = turn.then(call)
        turn = result.catch(() => {})
        return result
      }
    },
  })
}

testLedger('sqlite in memory', (now) => sqliteLedger({ path: ':memory:', now }))

testLedger('sqlite in a file', async (now) => sqliteLedger({ path: await databasePath(), now }))

testLedger('sqlite in a file, restarted between calls', async (now) => {
  const path = await databasePath()
  return restarting(() => sqliteLedger({ path, now }))
})
