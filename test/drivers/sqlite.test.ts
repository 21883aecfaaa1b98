/** What only the SQLite ledger can show: its plans, its schema, and several processes on one file. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join as joinPath } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { testFolder } from '../suites/folder.ts'
import { aTransfer, FakeClock, join, leaseMs, manifestDigest, problem, roomy } from '../suites/ledger.ts'

const PLAIN_TRANSFERS = 300

/** The ledger, with a note of every method that is called. */
function noting(ledger: Ledger, called: Set<string>): Ledger {
  return new Proxy(ledger, {
    get: (target, name: keyof Ledger) => {
      called.add(name)
      return target[name]
    },
  })
}

/** Calls every method of a ledger, most of them where there are many rows that they must not read. */
async function work(ledger: Ledger, clock: FakeClock): Promise<void> {
  const [ada, bob, cy] = [await join(ledger, 'ada'), await join(ledger, 'bob'), await join(ledger, 'cy')]
  const announce = async () => (await ledger.announce(aTransfer(ada, [bob, cy]), roomy)).transfer.transferId
  const move = (transferId: string, change: Parameters<Ledger['moveTransfer']>[2], attempt = 1) =>
    ledger.moveTransfer(transferId, { state: 'receiving', attempt }, change)
  const ids: string[] = []
  for (let i = 0; i < PLAIN_TRANSFERS; i++) ids.push(await announce())
  const [first = '', second = '', third = '', fourth = ''] = ids
  await ledger.touchTransfer(first, 1)
  await move(second, {
    state: 'receiving',
    problem: problem('parts-missing'),
    wanted: [],
    isAnew: true,
    uploadTimeoutMs: 1,
  })
  for (const state of ['refused', 'cancelled', 'expired'] as const) {
    await move(await announce(), { state, problem: problem('expired') })
  }
  await ledger.announce(aTransfer(ada, [bob]), { ...roomy, freeBytes: 0 })
  for (const stored of ids.slice(0, 3)) {
    await move(stored, { state: 'stored', manifestDigest, manifest: null }, stored === second ? 2 : 1)
  }
  for (const { deliveries, transferId } of await ledger.offerNext(bob.accountId, 'instance-1', { leaseMs, limit: 4 })) {
    const offered = deliveries.find(({ receiverId }) => receiverId === bob.accountId)
    if (offered?.state !== 'offered') continue
    const from = { state: 'offered', leaseId: offered.lease.leaseId } as const
    clock.advance(leaseMs / 2)
    await ledger.renewLease(transferId, bob.accountId, from.leaseId, { leaseMs, fetchedBytes: 1 })
    await ledger.renewLease(transferId, bob.accountId, from.leaseId, { leaseMs, fetchedBytes: null })
    await ledger.moveDelivery(transferId, bob.accountId, from, { state: 'offered', leaseMs })
    if (transferId === first)
      await ledger.moveDelivery(transferId, bob.accountId, from, { state: 'delivered', receipt: null })
    if (transferId === second) {
      await ledger.moveDelivery(transferId, bob.accountId, from, { state: 'failed', problem: problem('disk-full') })
    }
    if (transferId === third) {
      await ledger.moveDelivery(transferId, bob.accountId, from, { state: 'waiting', offerInMs: 9 })
    }
  }
  const whole = { manifestDigest, manifest: null, digest: 'cd'.repeat(32), content: new Uint8Array(1000) }
  const { transfer: deposited } = await ledger.deposit(aTransfer(ada, [bob]), roomy, whole)
  await ledger.content(deposited.transferId)
  await ledger.moveDelivery(
    deposited.transferId,
    bob.accountId,
    { state: 'waiting' },
    { state: 'failed', problem: problem('expired') },
  )
  const failure = { state: 'failed', problem: problem('expired') } as const
  await ledger.moveDelivery(first, cy.accountId, { state: 'waiting' }, failure)
  await ledger.nextOfferInMs(bob.accountId)
  await ledger.welcome(bob.accountId, 'instance-1')
  await ledger.delivery(fourth, bob.accountId)
  await ledger.deliveryAlone(fourth, bob.accountId)
  await ledger.transfer(fourth)
  await ledger.transfersOf(ada.accountId, { before: null, limit: 2 })
  await ledger.transfersOf(ada.accountId, { before: fourth, limit: 2 })
  await ledger.events(ada.accountId, { after: '0', limit: 2, transferId: null })
  await ledger.events(ada.accountId, { after: '1', limit: 2, transferId: first })
  await ledger.lastEventId(ada.accountId)
  await ledger.accountByTokenId('token of ada')
  await ledger.accountByName('ada')
  await ledger.setKeys(ada.accountId, { signing: 's', encryption: 'e' })
  await ledger.accounts({ after: 'ada', limit: 2 })
  await ledger.roomBytes({ senderId: ada.accountId, to: ['bob'] }, roomy)
  await ledger.createRenewal({ name: 'bob', secretHash: 'renews bob', lifetimeMs: 1000 })
  await ledger.openInvites({ after: 'a', limit: 2 })
  await ledger.redeemInvite('renews bob', { tokenId: 'new token of bob', tokenHash: 'hash' })
  await ledger.revokeAccount('cy')
  await ledger.audited((await ledger.accountChanges({ after: 0, limit: 100 })).at(-1)?.changeId ?? 0)
  await ledger.auditedChangeId()
  for (const account of await ledger.dueRevocations(2)) {
    await ledger.openWith(account.accountId, 2)
    await ledger.revocationSettled(account)
  }
  clock.advance(2 * roomy.expiryMs)
  await ledger.dueUploads(2)
  await ledger.dueLeases(2)
  await ledger.dueExpiries(2)
  for (const transferId of await ledger.dueRemovals(2)) await ledger.removed(transferId)
  await ledger.prune(0, 2)
  await ledger.totals()
  await ledger.takeDuty('sweep', 'here', { leaseMs })
  await ledger.setAddress('http://127.0.0.1:7878')
  await ledger.address()
}

const WITHOUT_QUERY = new Set(['traits', 'nowMs', 'close'])

describe('query plans', () => {
  async function plans(): Promise<{ sql: string; steps: string[] }[]> {
    const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
    const clock = new FakeClock()
    const statements = new Set<string>()
    const called = new Set<string>()
    const ledger = await sqliteLedger({ path, now: clock.now, onQuery: (sql) => statements.add(sql) })
    await work(noting(ledger, called), clock)
    const uncalled = Object.keys(ledger).filter((member) => !WITHOUT_QUERY.has(member) && !called.has(member))
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

  test('no statement walks through a table, or sorts what it found', async () => {
    const found = await plans()
    expect(found.length).toBeGreaterThan(25)
    const slow = found.filter(({ steps }) => steps.some((step) => /^SCAN|TEMP B-TREE/.test(step)))
    expect(slow).toEqual([])
  })
})

describe('the schema', () => {
  test('is the one of schema.sql (refresh: vitest run --project unit test/drivers/sqlite -u)', async () => {
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

  test('of a newer version is left alone', async () => {
    const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
    await (await sqliteLedger({ path })).close()
    const database = new DatabaseSync(path)
    database.exec("insert into kysely_migration (name, timestamp) values ('9999-later', '2099-01-01')")
    database.close()
    await expect(sqliteLedger({ path })).rejects.toThrow('could not be brought to the schema of this version')
  })
})

/** One column a line. */
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

describe('several on one file', () => {
  test('of one process wait for each other, and hold up nothing else', async () => {
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
  test('make it, write and read at the same time without hindering each other', async () => {
    const path = `${await testFolder()}/ledger.sqlite`
    const processes = [1, 2, 3, 4].map((number) =>
      fork(joinPath(import.meta.dirname, 'ledger-writer.ts'), [path, `writer-${number}`], { silent: true }),
    )
    onTestFinished(() => {
      for (const process of processes) process.kill('SIGKILL')
    })
    const complaints = processes.map((process) => (process.stderr === null ? '' : text(process.stderr)))
    const exited = Promise.all(processes.map((process) => once(process, 'exit')))
    await Promise.all(processes.map((process) => once(process, 'message')))
    for (const process of processes) process.send('go')
    const exits = await exited
    expect(
      exits.map(([code]) => code),
      (await Promise.all(complaints)).join(''),
    ).toEqual([0, 0, 0, 0])
    const ledger = await sqliteLedger({ path })
    onTestFinished(() => ledger.close())
    expect(await ledger.totals()).toEqual({ openTransfers: 40, openBytes: 40_000 })
  }, 30_000)
})
