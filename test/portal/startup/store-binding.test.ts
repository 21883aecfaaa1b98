/** A portal refuses to serve with a store that belongs to another ledger, because it would lose acknowledged parts. */
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type RunningPortal, startPortal } from '../../../src/portal/index.ts'
import { sqliteLedger } from '../../../src/portal/ledger/sqlite.ts'
import type { PortalOptions } from '../../../src/portal/options.ts'
import { bindStore } from '../../../src/portal/startup/store-binding.ts'
import { testDatabase } from '../../servers/postgres.ts'
import { testFolder } from '../../suites/folder.ts'
import { aTransfer, join as joined, roomy } from '../../suites/ledger.ts'
import { memoryStore } from '../../suites/memory-store.ts'

async function aLedger() {
  const ledger = await sqliteLedger({ path: ':memory:' })
  onTestFinished(() => ledger.close())
  return ledger
}

async function withTransfer(ledger: Awaited<ReturnType<typeof aLedger>>): Promise<void> {
  const [ada, bob] = [await joined(ledger, 'ada'), await joined(ledger, 'bob')]
  await ledger.announce(aTransfer(ada, [bob]), roomy)
}

async function start(options: Partial<PortalOptions>): Promise<RunningPortal> {
  const portal = await startPortal({ listenPort: 0, ...options })
  onTestFinished(() => portal.close())
  return portal
}

test('a store without a ledger is bound, and found again, also after a crash in between', async () => {
  const [ledger, store] = [await aLedger(), memoryStore()]
  await withTransfer(ledger)
  await bindStore({ ...ledger, bindStore: () => Promise.reject(new Error('crash')) }, store, false).catch(() => {})
  await bindStore(ledger, store, false)
  expect(await store.owner()).toBe(`${(await ledger.storeBinding()).storeId} ${(await ledger.storeBinding()).ledgerId}`)
  await bindStore(ledger, store, false)
})

test('a store of another ledger is refused, unless the operator allows it', async () => {
  const [mine, theirs, store] = [await aLedger(), await aLedger(), memoryStore()]
  await bindStore(theirs, store, false)
  await expect(bindStore(mine, store, false)).rejects.toMatchObject({ code: 'storage-unusable' })
  await bindStore(theirs, store, false)
  await bindStore(mine, store, true)
  await expect(bindStore(theirs, store, false)).rejects.toMatchObject({ code: 'storage-unusable' })
})

test('another store for a ledger is refused, unless the operator allows it: then the first is refused', async () => {
  const [ledger, first, other] = [await aLedger(), memoryStore(), memoryStore()]
  await bindStore(ledger, first, false)
  await expect(bindStore(ledger, other, false)).rejects.toMatchObject({ code: 'storage-unusable' })
  expect(await other.owner()).toBeNull()
  await bindStore(ledger, other, true)
  await expect(bindStore(ledger, first, false)).rejects.toMatchObject({ code: 'storage-unusable' })
})

test('of portals that start at the same time with a store each, one serves', async () => {
  const ledger = await aLedger()
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => bindStore(ledger, memoryStore(), false)))
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
})

test('of portals that start at the same time with one store, all serve', async () => {
  const [ledger, store] = [await aLedger(), memoryStore()]
  await Promise.all([1, 2, 3].map(() => bindStore(ledger, store, false)))
})

test('of two portals with folder stores of their own, the second cannot use the database of the first', async () => {
  const { url: databaseUrl } = await testDatabase()
  await start({ databaseUrl, dataFolder: await testFolder() })
  await start({ databaseUrl, dataFolder: await testFolder() }).then(
    () => expect.unreachable('the second one started'),
    (error: unknown) => expect(error).toMatchObject({ code: 'storage-unusable' }),
  )
})

test('a folder with another store in it is noticed', async () => {
  const [folder, other] = [await testFolder(), await testFolder()]
  for (const dataFolder of [folder, other]) await (await startPortal({ listenPort: 0, dataFolder })).close()
  await rm(join(folder, 'store'), { recursive: true })
  await rename(join(other, 'store'), join(folder, 'store'))
  await expect(startPortal({ listenPort: 0, dataFolder: folder })).rejects.toMatchObject({ code: 'storage-unusable' })
  await (await startPortal({ listenPort: 0, dataFolder: folder, adoptStore: true })).close()
  await start({ dataFolder: folder })
})
