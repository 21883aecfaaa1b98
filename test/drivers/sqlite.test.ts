/** Tests of the SQLite ledger alone: query plans, schema, and several processes on one file. */
import { copyFile, rename, rm } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { testFolder } from '../suites/folder.ts'
import { aTransfer, FakeClock, join, leaseMs, manifestDigest, roomy } from '../suites/ledger.ts'
import { aWebhook } from '../suites/ledger-webhooks.ts'
import { noting, withoutQuery, work } from '../suites/ledger-work.ts'
import { expectWritersAtOnce } from './writers.ts'

describe('query plans', () => {
  async function plans(): Promise<{ sql: string; steps: string[] }[]> {
    const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
    const clock = new FakeClock()
    const statements = new Set<string>()
    const called = new Set<string>()
    const ledger = await sqliteLedger({ path, now: clock.now, onQuery: (sql) => statements.add(sql) })
    await work(noting(ledger, called), clock)
    const uncalled = Object.keys(ledger).filter((member) => !withoutQuery.has(member) && !called.has(member))
    expect(uncalled, 'every method is looked at').toEqual([])
    await ledger.close()

    const database = new DatabaseSync(path, { readOnly: true })
    onTestFinished(() => database.close())
    return [...statements]
      .filter((sql) => /^(select|update|delete)\b/i.test(sql) && !/kysely_|sqlite_master|pragma/i.test(sql))
      .map((sql) => ({
        sql,
        steps: database
          .prepare(`explain query plan ${sql}`)
          .all()
          .map(({ detail }) => String(detail)),
      }))
  }

  test('no statement scans a table or sorts its result', async () => {
    const found = await plans()
    expect(found.length).toBeGreaterThan(25)
    const slow = found.filter(({ steps }) => steps.some((step) => /^SCAN|TEMP B-TREE/.test(step)))
    expect(slow).toEqual([])
  })
})

test('a transfer runs no statement about webhooks, and the same ones whether there are webhooks or not', async () => {
  const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
  const clock = new FakeClock()
  let statements: string[] = []
  const ledger = await sqliteLedger({ path, now: clock.now, onQuery: (sql) => statements.push(sql) })
  onTestFinished(() => ledger.close())
  const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
  const deliver = async (): Promise<string[]> => {
    statements = []
    const { transfer } = await ledger.announce(aTransfer(ada, [bob]), roomy)
    const { transferId } = transfer
    const stored = { state: 'stored', manifestDigest, manifest: null } as const
    await ledger.moveTransfer(transferId, { state: 'receiving', attempt: 1 }, stored)
    const [offered] = await ledger.offerNext(bob.accountId, 'instance-1', { leaseMs, limit: 1 })
    const [delivery] = offered?.deliveries ?? []
    if (delivery?.state !== 'offered') throw new Error('it is not offered')
    const from = { state: 'offered', leaseId: delivery.lease.leaseId } as const
    await ledger.moveDelivery(transferId, bob.accountId, from, { state: 'delivered', receipt: null })
    return [...statements]
  }
  const without = await deliver()
  await ledger.createWebhook(ada.accountId, aWebhook(), { webhooksMax: 1 })
  expect(await deliver()).toEqual(without)
  expect(without.filter((sql) => /webhook/.test(sql))).toEqual([])
})

describe('a copy of the file that continues separately', () => {
  test('gives the same numbers to other events, and no event the same id, even at the same time', async () => {
    const folder = await testFolder({ inMemory: true })
    const clock = new FakeClock()
    const open = async (name: string) => {
      const ledger = await sqliteLedger({ path: `${folder}/${name}`, now: clock.now })
      onTestFinished(() => ledger.close())
      return ledger
    }
    const page = { limit: 100, transferId: null }
    /** Stores transfers. @returns the ids of all events */
    const store = async (ledger: Awaited<ReturnType<typeof open>>, count: number): Promise<string[]> => {
      const ada = await ledger.accountByName('ada')
      const bob = await ledger.accountByName('bob')
      if (ada === null || bob === null) throw new Error('nobody is there')
      for (let index = 0; index < count; index++) {
        const { transfer } = await ledger.announce(aTransfer(ada, [bob]), roomy)
        const change = { state: 'stored', manifestDigest, manifest: null } as const
        await ledger.moveTransfer(transfer.transferId, { state: 'receiving', attempt: 1 }, change)
      }
      return (await ledger.events(ada.accountId, { ...page, after: '0' })).map(({ eventId }) => eventId)
    }
    const first = await open('ledger')
    const { accountId } = await join(first, 'ada')
    await join(first, 'bob')
    const common = await store(first, 2)
    await first.close()
    await copyFile(`${folder}/ledger`, `${folder}/copy`)
    const lost = (await store(await open('ledger'), 3)).slice(common.length)
    const restored = await open('copy')
    const known = await store(restored, 4)
    const later = known.slice(common.length)
    expect(known.slice(0, common.length)).toEqual(common)

    const numberOf = (eventId: string): string => eventId.slice(0, -6)
    expect(later.slice(0, lost.length).map(numberOf)).toEqual(lost.map(numberOf))
    expect(later.filter((eventId) => lost.includes(eventId))).toEqual([])
    for (const after of lost) {
      await expect(restored.events(accountId, { ...page, after })).rejects.toMatchObject({ code: 'event-unknown' })
    }
    for (const [index, after] of known.entries()) {
      const rest = await restored.events(accountId, { ...page, after })
      expect(rest.map(({ eventId }) => eventId)).toEqual(known.slice(index + 1))
    }
  })
})

describe('the schema', () => {
  test('equals schema.sql (refresh: vitest run --project unit test/drivers/sqlite -u)', async () => {
    const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
    await (await sqliteLedger({ path })).close()
    const database = new DatabaseSync(path, { readOnly: true })
    onTestFinished(() => database.close())
    const statements = database
      .prepare(
        "select sql from sqlite_schema where sql is not null and name not like 'sqlite_%' and name not like 'kysely_%' order by tbl_name, type desc, name",
      )
      .all()
      .map(({ sql }) => `${laidOut(String(sql))};\n`)
    const dump = [
      '-- What the migrations make of an empty SQLite database. Written by test/drivers/sqlite.test.ts, to be read.\n',
      ...statements,
    ].join('\n')
    await expect(dump).toMatchFileSnapshot('../../src/portal/ledger/schema.sql')
  })

  test('of a newer version is not changed', async () => {
    const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
    await (await sqliteLedger({ path })).close()
    const database = new DatabaseSync(path)
    database.exec("insert into kysely_migration (name, timestamp) values ('9999-later', '2099-01-01')")
    database.close()
    await expect(sqliteLedger({ path })).rejects.toThrow(
      'made by a newer version of this program, which added 9999-later',
    )
  })
})

/** Formats a table with one column per line. */
function laidOut(sql: string): string {
  if (!/^create table/i.test(sql)) return sql.replaceAll('"', '')
  let depth = 0
  let text = ''
  for (const char of sql.replaceAll('"', '')) {
    if (char === '(') depth++
    if (char === ')') depth--
    if (char === ')' && depth === 0) text += '\n'
    text += char
    if (depth === 1 && (char === ',' || (char === '(' && !text.includes('\n')))) text += '\n  '
  }
  return text.replace(/\n {3,}/g, '\n  ')
}

test.each([
  ['moved', (path: string) => rename(path, `${path}.moved`)],
  ['removed', (path: string) => rm(path)],
  ['replaced', (path: string) => copyFile(path, `${path}.new`).then(() => rename(`${path}.new`, path))],
])('nothing is committed to a file that was %s', async (_how, change) => {
  const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
  const ledger = await sqliteLedger({ path })
  await ledger.setAddress('http://before.test')
  await change(path)
  await expect(ledger.setAddress('http://after.test')).rejects.toMatchObject({
    code: 'unavailable',
    cause: { message: expect.stringMatching(/^the ledger .*ledger\.sqlite (?:is gone|was replaced)/) },
  })
  expect(await ledger.address()).toBe('http://before.test')
  await ledger.close()
})

test('an upload whose commit fails takes the offer of its file with it; tried again, both happen once', async () => {
  const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
  const commits: number[] = []
  const ledger = await sqliteLedger({ path, onCommit: (count) => commits.push(count) })
  onTestFinished(() => ledger.close())
  const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
  const offer = { leaseMs, limit: 10 }
  const upload = aTransfer(ada, [bob], 3)
  const content = { ...{ digest: 'cd', content: Buffer.from('abc') }, manifestDigest, manifest: null }
  /** Stores a file, offers it as soon as it is written, and stores another one. */
  const together = () => {
    let offered: Promise<unknown> = Promise.resolve()
    const onWritten = (): void => {
      offered = ledger.offerNext(bob.accountId, 'instance-1', offer)
      offered.catch(() => {})
    }
    const stored = ledger.storeInline(upload, roomy, content, onWritten)
    return Promise.allSettled([
      stored,
      ledger.storeInline(aTransfer(ada, [bob], 3), roomy, content),
      stored.then(
        () => offered,
        () => offered,
      ),
    ])
  }
  await rename(path, `${path}.moved`)
  commits.length = 0
  expect((await together()).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  expect(commits).toEqual([])
  await rename(`${path}.moved`, path)
  expect(await ledger.transfer(upload.transferId)).toBeNull()
  expect(await ledger.offerNext(bob.accountId, 'instance-1', offer)).toEqual([])
  expect((await ledger.totals()).openBytes).toBe(0)

  expect((await together()).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled'])
  const { delivery } = (await ledger.delivery(upload.transferId, bob.accountId)) ?? {}
  expect(delivery).toMatchObject({ state: 'offered' })
  const events = await ledger.events(ada.accountId, { after: '0', limit: 100, transferId: upload.transferId })
  expect(events.map(({ notification }) => notification)).toEqual(['stored'])
})

describe('several ledgers on one file', () => {
  test('in one process wait for each other without blocking the process', async () => {
    const path = `${await testFolder()}/ledger.sqlite`
    const ledgers = [await sqliteLedger({ path }), await sqliteLedger({ path })]
    onTestFinished(async () => {
      for (const ledger of ledgers) await ledger.close()
    })
    const joined = ledgers.map(async (ledger, index) => {
      for (let number = 1; number <= 20; number++) await join(ledger, `account-${index}-${number}`)
    })
    await Promise.all(joined)
    expect(await ledgers[0]?.accounts({ after: '', limit: 100 })).toHaveLength(40)
  })
})

describe('several processes on one file', () => {
  test('create it, write and read at the same time without blocking each other', async () => {
    const path = `${await testFolder()}/ledger.sqlite`
    await expectWritersAtOnce(path, () => sqliteLedger({ path }))
  })
})
