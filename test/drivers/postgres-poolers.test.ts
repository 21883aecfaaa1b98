/** PostgreSQL behind a pooler: with real sessions the ledger works; otherwise a portal does not start. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import pino from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startPortal } from '../../src/portal/index.ts'
import { postgresLedger } from '../../src/portal/ledger/postgres.ts'
import { postgresSignals } from '../../src/portal/signals/postgres.ts'
import { Problem } from '../../src/protocol/index.ts'
import { until } from '../e2e/harness/world.ts'
import { type PoolerSetting, startPooler } from '../servers/pooler.ts'
import { psql, testDatabase } from '../servers/postgres.ts'
import { type Message, type ProtocolGateOptions, protocolGate } from '../servers/protocol-gate.ts'
import { FakeClock } from '../suites/ledger.ts'
import { noting, withoutQuery, work } from '../suites/ledger-work.ts'
import { expectWritersAtOnce } from './writers.ts'

/** Each starts a pooler, and some do all that a ledger does: on a busy machine that takes longer than other tests. */

/** A new database, and its address through a pooler. */
async function pooled(setting: PoolerSetting) {
  const { url: direct } = await testDatabase()
  const pooler = await startPooler(setting, direct)
  onTestFinished(() => pooler[Symbol.asyncDispose]())
  return { direct, url: pooler.through(direct) }
}

/** A new database, and its address through a proxy that lacks one ability. */
async function gated(options: ProtocolGateOptions): Promise<{ direct: string; url: string }> {
  const { url: direct } = await testDatabase()
  const gate = await protocolGate(direct, options)
  onTestFinished(() => gate[Symbol.asyncDispose]())
  return { direct, url: gate.url }
}

async function refusalAt(databaseUrl: string): Promise<Problem> {
  const dataFolder = await mkdtemp(join(tmpdir(), 'golooader-pooler-'))
  onTestFinished(() => rm(dataFolder, { recursive: true }))
  const error: unknown = await startPortal({ listenPort: 0, dataFolder, databaseUrl }).then(
    async (portal) => {
      await portal.close()
      return null
    },
    (refusal: unknown) => refusal,
  )
  if (!(error instanceof Problem)) throw new Error('the portal listens, or ended otherwise', { cause: error })
  return error
}

/** Calls every method of the ledger once and checks the results. */
async function expectLedgerWorks(url: string): Promise<string[]> {
  const clock = new FakeClock()
  const statements: string[] = []
  const called = new Set<string>()
  const ledger = await postgresLedger({ url, now: clock.now, onQuery: (sql) => statements.push(sql) })
  onTestFinished(() => ledger.close())
  await work(noting(ledger, called), clock)
  expect(Object.keys(ledger).filter((method) => !withoutQuery.has(method) && !called.has(method))).toEqual([])
  return statements
}

describe.each([
  { kind: 'pgbouncer', mode: 'session' },
  { kind: 'pgpool', mode: 'streaming_replication' },
] as const)('behind $kind, $mode', (setting) => {
  test('the ledger supports all operations behind a pooler', async () => {
    const { url } = await pooled(setting)
    await expectLedgerWorks(url)
  })

  test('several portals start, write and read at the same time without blocking each other', async () => {
    const { url } = await pooled(setting)
    await expectWritersAtOnce(url, () => postgresLedger({ url, connectionsMax: 4 }))
  })

  test('portals receive each other’s signals', async () => {
    const { url } = await pooled(setting)
    const log = pino({ level: 'silent' })
    const [one, other] = await Promise.all([postgresSignals({ url, log }), postgresSignals({ url, log })])
    for (const signals of [one, other]) onTestFinished(() => signals[Symbol.asyncDispose]())
    const heard: string[] = []
    other.subscribe(
      'a',
      (payload) => heard.push(payload),
      () => {},
    )
    await until(() => {
      one.publish('a', 'hello')
      return heard.includes('hello')
    }, 'the other one hears it')
  })
})

test.each(['transaction', 'statement'] as const)(
  'behind PgBouncer in its mode %s no portal listens, and the refusal names the setting',
  async (mode) => {
    const { direct, url } = await pooled({ kind: 'pgbouncer', mode })
    const problem = await refusalAt(url)
    expect(problem.toJSON()).toMatchObject({ code: 'ledger-unusable', missing: 'sessions' })
    expect(problem.message).toContain('pool_mode = session')
    expect(await psql(direct, "select count(*) from pg_tables where schemaname = 'public'"), 'nothing was made').toBe(
      '0',
    )
    const ofThisDatabase = 'database = (select oid from pg_database where datname = current_database())'
    const locks = await psql(direct, `select count(*) from pg_locks where locktype = 'advisory' and ${ofThisDatabase}`)
    expect(locks, 'no lock is left').toBe('0')
  },
)

/** pgpool-II commits more of the single writes the longer its processes run. */
const STARTS = 8

test.each(['raw', 'slony'] as const)(
  'behind pgpool-II in its mode %s, which commits single writes only sometimes, no portal ever starts',
  async (mode) => {
    const { direct, url } = await pooled({ kind: 'pgpool', mode })
    await (await postgresLedger({ url: direct })).close()
    for (let start = 1; start <= STARTS; start++) {
      const problem = await refusalAt(url)
      expect(problem.toJSON()).toMatchObject({ code: 'ledger-unusable', missing: 'commits' })
      expect(problem.message).toContain("backend_clustering_mode = 'streaming_replication'")
    }
  },
)

test('behind pgpool-II that may read from a standby no portal starts', async () => {
  const { url } = await pooled({ kind: 'pgpool', mode: 'streaming_replication', isSpreadingReads: true })
  const problem = await refusalAt(url)
  expect(problem.toJSON()).toMatchObject({ code: 'ledger-unusable', missing: 'reads' })
  expect(problem.message).toContain('load_balance_mode = off')
})

test('where notifications never arrive no portal starts', async () => {
  const { url } = await gated({ fromServer: () => (message) => (message.type === 'A' ? null : message) })
  expect((await refusalAt(url)).toJSON()).toMatchObject({ code: 'ledger-unusable', missing: 'notifications' })
})

test('where pipelined statements are lost no portal starts', async () => {
  // The proxy drops statements that come before the server is ready: types Q and P begin a statement, Z says that it is ready.
  const { url } = await gated(losingEarlyStatements())
  expect((await refusalAt(url)).toJSON()).toMatchObject({ code: 'ledger-unusable', missing: 'pipelining' })
})

/** Longer than a trial waits for what may be lost. */
const STILL_MS = 6_000

test('a database that stands still while pipelined statements are tried refuses no portal', async () => {
  let still: Promise<unknown> | null = null
  const database = await gated({
    fromClient: () => (message) => {
      if (message.body.includes('select $1::int as answer')) still ??= setTimeout(STILL_MS)
      return still === null ? message : still.then(() => message)
    },
  })
  await expectStart(database)
  expect(still).not.toBeNull()
})

test('a database that stands still before it notifies refuses no portal', async () => {
  let stoodStill = 0
  const database = await gated({
    fromServer: () => (message) => {
      if (message.type !== 'A' || stoodStill > 0) return message
      stoodStill++
      return setTimeout(STILL_MS, message)
    },
  })
  await expectStart(database)
  expect(stoodStill).toBe(1)
})

async function expectStart({ url }: { url: string }): Promise<void> {
  const dataFolder = await mkdtemp(join(tmpdir(), 'golooader-pooler-'))
  onTestFinished(() => rm(dataFolder, { recursive: true }))
  const portal = await startPortal({ listenPort: 0, dataFolder, databaseUrl: url })
  await portal.close()
}

function losingEarlyStatements(): ProtocolGateOptions {
  let isBusy = false
  let isLosing = false
  return {
    fromClient: () => (message) => {
      if (message.type === 'Q' || message.type === 'P') {
        isLosing = isBusy
        isBusy = true
      }
      return isLosing && message.type !== '' ? null : message
    },
    fromServer: () => (message) => {
      if (message.type === 'Z') isBusy = false
      return message
    },
  }
}

test('where the names of statements are lost the ledger works without them', async () => {
  const bound: string[] = []
  const { url } = await gated({
    fromClient: () => (message) => {
      const name = statementIn(message)
      if (name !== '') bound.push(name)
      return name === '' ? message : { ...message, body: renamed(message.body, name) }
    },
  })
  await expectLedgerWorks(url)
  expect(new Set(bound), 'it has tried, and used no other').toEqual(new Set(['golooader_probe']))
})

/** The name of the statement in a Bind message: the second of two zero-terminated texts. */
function statementIn({ type, body }: Message): string {
  return type === 'B' ? (body.toString('utf8').split('\0')[1] ?? '') : ''
}

/** Replaces the statement's name, which follows the empty name of the portal. */
function renamed(body: Buffer, name: string): Buffer {
  const copy = Buffer.from(body)
  copy.write('x'.repeat(name.length), 1)
  return copy
}
