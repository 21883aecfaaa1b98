/** How often the ledger writes, by the kernel's count for this process. */
import { readFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { testFolder } from '../suites/folder.ts'
import { aTransfer, join, manifestDigest, roomy } from '../suites/ledger.ts'

const FILES = 64

test('small files that arrive together cost a few writes each, because rollback data stays in memory', async () => {
  const ledger = await sqliteLedger({ path: `${await testFolder({ inMemory: true })}/ledger.sqlite` })
  onTestFinished(() => ledger.close())
  const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
  const content = Buffer.alloc(4096, 7)
  const store = () =>
    ledger.storeInline(aTransfer(ada, [bob], content.length), roomy, {
      ...{ manifestDigest, manifest: null, digest: manifestDigest, content },
    })
  await store()
  const before = writeCalls()
  await Promise.all(Array.from({ length: FILES }, store))
  // A transfer, its delivery, its event and its content are pages of four tables and their indexes, and most are shared.
  expect((writeCalls() - before) / FILES).toBeLessThan(16)
})

function writeCalls(): number {
  const [, count] = /^syscw: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8')) ?? []
  return Number(count)
}
