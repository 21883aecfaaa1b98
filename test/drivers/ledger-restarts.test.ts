/** The suite of the contract over a ledger that is opened again for each call. */
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { testFolder } from '../suites/folder.ts'
import { testLedger } from '../suites/ledger.ts'

/**
 * A ledger that is closed and opened again between any two calls, which shows that no decision depends on the memory of the process.
 * Calls run one after another.
 */
async function restarting(open: () => Promise<Ledger>): Promise<Ledger> {
  let turn: Promise<unknown> = Promise.resolve()
  const template = await open()
  await template.close()
  const { traits, nowMs, ...asynchronous } = template
  const methods = Object.keys(asynchronous) as (keyof typeof asynchronous)[]
  const reopened = methods.map((method) => [
    method,
    (...parameters: unknown[]) => {
      const result = turn.then(async () => {
        const ledger = await open()
        try {
          return await Reflect.apply(ledger[method], ledger, parameters)
        } finally {
          if (method !== 'close') await ledger.close()
        }
      })
      turn = result.catch(() => {})
      return result
    },
  ])
  return { traits, nowMs, ...Object.fromEntries(reopened) }
}

testLedger('sqlite in a file, restarted between calls', async (now) => {
  // In memory if possible, because this test needs no durability.
  const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
  return restarting(() => sqliteLedger({ path, now }))
})
