/** The SQLite ledgers, under the suite of the contract. */
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { testFolder } from '../suites/folder.ts'
import { testLedger } from '../suites/ledger.ts'

testLedger('sqlite in memory', (now) => sqliteLedger({ path: ':memory:', now }))

testLedger('sqlite in a file', async (now) => sqliteLedger({ path: `${await testFolder()}/ledger.sqlite`, now }))
