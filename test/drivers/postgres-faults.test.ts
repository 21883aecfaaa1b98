/** The PostgreSQL ledger with a database that fails, waits, or has unusual settings. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import pg from 'pg'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import { type PostgresLedgerOptions, postgresLedger } from '../../src/portal/ledger/postgres.ts'
import { Problem } from '../../src/protocol/index.ts'
import { Gate } from '../servers/gate.ts'
import { ownPostgres, psql, testDatabase } from '../servers/postgres.ts'
import { aTransfer, join, manifestDigest, problem, roomy } from '../suites/ledger.ts'

const stored = { state: 'stored', manifestDigest, manifest: null } as const
const first = { state: 'receiving', attempt: 1 } as const

async function open(url: string, options: Partial<PostgresLedgerOptions> = {}): Promise<Ledger> {
  const ledger = await postgresLedger({ url, ...options })
  onTestFinished(() => ledger.close())
  return ledger
}

/** A connection beside the ledger's. */
async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client(url)
  client.on('error', () => {})
  await client.connect()
  onTestFinished(() => client.end())
  return client
}

/** The connection of the ledger that waits for a lock, as soon as one does. */
async function waiting(client: pg.Client): Promise<number> {
  return vi.waitUntil(
    async () => {
      // Within a transaction, statistics do not change unless the snapshot is cleared.
      await client.query('select pg_stat_clear_snapshot()')
      const { rows } = await client.query<{ pid: number }>(
        "select pid from pg_stat_activity where application_name = 'golooader' and wait_event_type = 'Lock' and datname = current_database()",
      )
      return rows[0]?.pid
    },
    { timeout: 90_000, interval: 5 },
  )
}

async function begin(options: Partial<PostgresLedgerOptions> = {}) {
  const { url } = await testDatabase()
  const retries: unknown[] = []
  const ledger = await open(url, { onRetry: (error) => retries.push(error), ...options })
  const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
  const client = await connect(url)
  const announce = async () => (await ledger.announce(aTransfer(ada, [bob]), roomy)).transfer.transferId
  return { url, ledger, ada, bob, client, retries, announce }
}

describe('a transaction', () => {
  test('in a deadlock is run again', async () => {
    const { ledger, client, ada, retries, announce } = await begin()
    const transferId = await announce()
    // The other client waits longer, so that the database ends the ledger's transaction.
    await client.query("set deadlock_timeout = '1min'")
    await client.query('begin')
    await client.query('select from accounts where account_id = $1 for update', [ada.accountId])
    const move = ledger.moveTransfer(transferId, first, { state: 'cancelled', problem: problem('cancelled') })
    await waiting(client)
    await client.query('select from transfers where transfer_id = $1 for update', [transferId])
    await client.query('commit')
    expect((await move)?.state).toBe('cancelled')
    expect(retries).toMatchObject([{ code: '40P01' }])
    expect(await ledger.events(ada.accountId, { after: '0', limit: 10, transferId })).toHaveLength(1)
  })

  test('whose connection is lost before its commit is run again', async () => {
    const { ledger, client, ada, retries, announce } = await begin()
    const transferId = await announce()
    await client.query('begin')
    await client.query('select from accounts where account_id = $1 for update', [ada.accountId])
    const move = ledger.moveTransfer(transferId, first, stored)
    await client.query('select pg_terminate_backend($1)', [await waiting(client)])
    await client.query('commit')
    expect((await move)?.state).toBe('stored')
    expect(retries).toMatchObject([{ code: 'unavailable' }])
    expect(await ledger.events(ada.accountId, { after: '0', limit: 10, transferId })).toHaveLength(1)
  })

  test('whose connection is lost during its commit is never run again, because its outcome is unknown', async () => {
    const { url, ledger, client, ada, bob, retries } = await begin()
    // The commit waits for a lock that the other client holds.
    await client.query(`
      create function wait_in_commit() returns trigger language plpgsql as $$
        begin perform pg_advisory_xact_lock(1); return null; end $$;
      create constraint trigger waits after insert on transfers deferrable initially deferred
        for each row execute function wait_in_commit()`)
    await client.query('select pg_advisory_lock(1)')
    const transfer = aTransfer(ada, [bob])
    const announced = ledger.announce(transfer, roomy)
    const watcher = await connect(url)
    const pid = await waiting(watcher)
    const { rows } = await watcher.query('select query from pg_stat_activity where pid = $1', [pid])
    expect(rows).toEqual([{ query: 'commit' }])
    await watcher.query('select pg_terminate_backend($1)', [pid])
    await expect(announced).rejects.toMatchObject({ code: 'unavailable', cause: { name: 'CommitUnknownError' } })
    expect(retries).toEqual([])
    await client.query('select pg_advisory_unlock(1)')
    // A repetition finds out whether it was committed.
    expect((await ledger.announce(transfer, roomy)).transfer.state).toBe('receiving')
  })

  test('with a statement that was planned for tables of an older version is run again, without failing others', async () => {
    const { ledger, client, bob, retries, announce } = await begin()
    const ids = await Promise.all(Array.from({ length: 30 }, announce))
    const failed = { state: 'failed', problem: problem('expired') } as const
    const ending = (transferId: string) => ledger.moveDelivery(transferId, bob.accountId, { state: 'waiting' }, failed)
    await Promise.all(ids.slice(0, 15).map(ending))
    await Promise.all(ids.map((transferId) => ledger.transfer(transferId)))
    await client.query('alter table transfers add column of_a_newer_version text')
    expect((await Promise.all(ids.slice(15).map(ending))).every((move) => move !== null)).toBe(true)
    expect(retries).toMatchObject(retries.map(() => ({ code: '0A000' })))
    expect(retries.length).toBeGreaterThan(0)
    await client.query('alter table transfers add column of_a_still_newer_version text')
    const found = await Promise.all(ids.map((transferId) => ledger.transfer(transferId)))
    expect(found.every((transfer) => transfer !== null)).toBe(true)
  })
})

describe('a database that goes away', () => {
  test('is reported as "unavailable" to running operations, and works again when it is back', async () => {
    await using server = await ownPostgres()
    const { url } = await server.database()
    const warnings: string[] = []
    const ledger = await open(url, { onWarning: (message) => warnings.push(message) })
    const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
    const known: string[] = []
    const errors: unknown[] = []
    const work = { isOver: false }
    const senders = Array.from({ length: 6 }, async () => {
      while (!work.isOver) {
        try {
          const { transferId } = (await ledger.announce(aTransfer(ada, [bob]), { ...roomy, accountTransfersMax: 1e6 }))
            .transfer
          known.push(transferId)
          await ledger.transfer(transferId)
        } catch (error) {
          errors.push(error)
          await new Promise((resolve) => setImmediate(resolve))
        }
      }
    })
    await vi.waitUntil(() => known.length > 20, { timeout: 90_000 })
    await server.stop()
    await vi.waitUntil(() => errors.length > 20, { timeout: 90_000 })
    await server.start()
    const before = known.length
    await vi.waitUntil(() => known.length > before + 20, { timeout: 90_000 })
    await server.kill()
    const errorsBefore = errors.length
    await vi.waitUntil(() => errors.length > errorsBefore + 20, { timeout: 90_000 })
    await server.start()
    const again = known.length
    await vi.waitUntil(() => known.length > again + 20, { timeout: 90_000 })
    work.isOver = true
    await Promise.all(senders)
    for (const error of errors) {
      expect(error).toBeInstanceOf(Problem)
      expect(error).toMatchObject({ code: 'unavailable', status: 503 })
    }
    for (const transferId of known) expect(await ledger.transfer(transferId)).not.toBeNull()
  })

  test('is reported as "unavailable" when it is missing at the start', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    server.close()
    await once(server, 'close')
    if (address === null || typeof address === 'string') throw new Error('it listens on a port')
    const url = `postgres://postgres@127.0.0.1:${address.port}/none`
    await expect(postgresLedger({ url })).rejects.toMatchObject({ code: 'unavailable' })
  })

  test('is not reported as "unavailable" when it rejects the credentials, because only its operator can fix that', async () => {
    const { url } = await testDatabase()
    const other = new URL(url)
    other.pathname = '/no_such_database'
    await expect(postgresLedger({ url: other.href })).rejects.toMatchObject({ code: '3D000' })
  })

  test('is reported as "unavailable" while it rejects a running portal', async () => {
    const { url } = await testDatabase()
    const own = new URL(url)
    const role = `role_${own.pathname.slice(-8)}`
    own.username = role
    await psql(url, `create role ${role} login superuser`)
    onTestFinished(async () => {
      await psql(url, `drop role ${role}`)
    })
    const ledger = await postgresLedger({ url: own.href })
    try {
      await psql(url, `alter role ${role} nologin nosuperuser`)
      await psql(url, `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`)
      await vi.waitFor(() => expect(ledger.totals()).rejects.toMatchObject({ code: 'unavailable' }), 10_000)
      await expect(ledger.totals()).rejects.toMatchObject({ cause: { code: '28000' } })
      await expect(postgresLedger({ url: own.href })).rejects.toMatchObject({ code: '28000' })
      await psql(url, `alter role ${role} login superuser`)
      expect((await ledger.totals()).openTransfers).toBe(0)
    } finally {
      await ledger.close()
      await psql(url, `reassign owned by ${role} to postgres`)
    }
  })

  test('while nothing is requested causes only a warning and a new connection', async () => {
    const warnings: string[] = []
    const { ledger, client, announce } = await begin({ onWarning: (message) => warnings.push(message) })
    await announce()
    const { rowCount } = await client.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'golooader' and datname = current_database()",
    )
    const lost = () => warnings.filter((message) => message === 'an idle connection to the database was lost').length
    await vi.waitUntil(() => lost() === rowCount, { timeout: 90_000 })
    expect((await ledger.totals()).openTransfers).toBe(1)
    await announce()
  })

  test('for all connections but one makes the others wait, and fails none', async () => {
    const { ledger, announce } = await begin({ connectionsMax: 1 })
    await Promise.all(Array.from({ length: 30 }, announce))
    expect((await ledger.totals()).openTransfers).toBe(30)
  })
})

describe('an account whose row another session locks', () => {
  test('delays neither other accounts nor readers', async () => {
    const { ledger, client, ada, bob, announce } = await begin({ connectionsMax: 4 })
    const cy = await join(ledger, 'cy')
    const known = await Promise.all(Array.from({ length: 10 }, announce))
    await client.query('begin')
    await client.query('select from accounts where account_id = $1 for update', [ada.accountId])
    const held = { isOver: false }
    const waitingOnes = Array.from({ length: 20 }, announce)
    await waiting(client)
    expect((await ledger.announce(aTransfer(bob, [cy]), roomy)).isNew).toBe(true)
    // The account of these moves is known only once they have a connection, so they may occupy all connections for moves.
    const cancelled = { state: 'cancelled', problem: problem('cancelled') } as const
    const moves = known.map((transferId) => ledger.moveTransfer(transferId, first, cancelled))
    const all = Promise.all([...waitingOnes, ...moves]).finally(() => {
      held.isOver = true
    })
    expect(await ledger.accountByTokenId('token of bob')).toMatchObject({ name: 'bob' })
    expect((await ledger.transfer(known[0] ?? ''))?.state).toBe('receiving')
    expect(held.isOver).toBe(false)
    await client.query('commit')
    await all
    expect((await ledger.totals()).openTransfers).toBe(21)
  })
})

describe('a session', () => {
  test('has the timeouts and the durability of the ledger, whatever the defaults of the database are', async () => {
    const { url } = await testDatabase()
    const client = await connect(url)
    const database = new URL(url).pathname.slice(1)
    for (const setting of [
      'synchronous_commit = off',
      "default_transaction_isolation = 'serializable'",
      'statement_timeout = 0',
      'lock_timeout = 0',
      'idle_in_transaction_session_timeout = 0',
    ]) {
      await client.query(`alter database ${database} set ${setting}`)
    }
    const ledger = await open(url)
    await client.query(`
      create table found (name text, setting text);
      create function look() returns trigger language plpgsql as $$ begin
        insert into found select name, current_setting(name) from unnest(array['synchronous_commit', 'transaction_isolation',
          'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout']) name;
        return new; end $$;
      create trigger looks before insert on accounts for each row execute function look()`)
    await join(ledger, 'ada')
    const { rows } = await client.query<{ name: string; setting: string }>('select name, setting from found')
    expect(Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))).toEqual({
      synchronous_commit: 'on',
      transaction_isolation: 'read committed',
      statement_timeout: '30s',
      lock_timeout: '10s',
      idle_in_transaction_session_timeout: '8s',
    })
  })

  test('warns about a database that would lose acknowledged data', async () => {
    await using server = await ownPostgres()
    const warnings: string[] = []
    const { url } = await server.database()
    await open(url, { onWarning: (message) => warnings.push(message) })
    const setting = (name: string) =>
      `the database runs with ${name} = off: at a loss of power it loses what it has promised`
    expect(warnings).toEqual([setting('fsync'), setting('full_page_writes')])
  })
})

describe('values', () => {
  test('a text with a NUL, which PostgreSQL cannot store, is refused as an invalid request', async () => {
    const { ledger } = await begin()
    await expect(ledger.accountByName('a\0b')).rejects.toMatchObject({ code: 'request-invalid' })
    // In JSON the NUL is escaped, which PostgreSQL can store.
    const [ada, bob] = [await join(ledger, 'x'), await join(ledger, 'y')]
    const transfer = { ...aTransfer(ada, [bob]), metadata: { name: 'a\0b' } }
    expect((await ledger.announce(transfer, roomy)).transfer.metadata).toEqual({ name: 'a\0b' })
  })

  test('a number that would lose digits is an error', async () => {
    const { ledger, client, announce } = await begin()
    const transferId = await announce()
    await client.query('update transfers set size_bytes = 9007199254740993')
    await expect(ledger.transfer(transferId)).rejects.toThrow('too large: 9007199254740993')
    expect((await ledger.totals()).openTransfers).toBe(1)
  })

  test('names are sorted by their bytes, in every language of the database', async () => {
    const { ledger } = await begin()
    for (const name of ['Zoe', 'a-b', 'aa', 'a_c', 'éa']) await join(ledger, name)
    const names = (await ledger.accounts({ after: '', limit: 10 })).map(({ name }) => name)
    expect(names).toEqual(['Zoe', 'a-b', 'a_c', 'aa', 'ada', 'bob', 'éa'])
  })

  test('the clock is that of the database, whatever the time of this machine is', async () => {
    const { ledger, client, announce } = await begin()
    vi.useFakeTimers({ toFake: ['Date'], now: Date.UTC(2001, 0, 1) })
    onTestFinished(() => {
      vi.useRealTimers()
    })
    const transfer = await ledger.transfer(await announce())
    const { rows } = await client.query<{ ms: string }>('select extract(epoch from clock_timestamp()) * 1000 as ms')
    expect(Math.abs(Number(rows[0]?.ms) - (transfer?.createdAtMs ?? 0))).toBeLessThan(5_000)
    expect(Math.abs(Number(rows[0]?.ms) - ledger.nowMs())).toBeLessThan(5_000)
  })
})

test('a read-only standby counts as unavailable, until it is promoted', async () => {
  await using server = await ownPostgres()
  const ledger = await open(server.url)
  const ada = await join(ledger, 'ada')
  await server.stop()
  await server.startAsCopy()
  // A replica would answer, but with outdated data.
  await expect(ledger.accountByName('ada')).rejects.toMatchObject({ code: 'unavailable' })
  await expect(postgresLedger({ url: server.url })).rejects.toMatchObject({ code: 'unavailable' })
  await psql(server.url, 'select pg_promote()')
  expect(await ledger.accountByName('ada')).toMatchObject(ada)
})

test('a machine that was suspended does not record parts that may have been removed as orphans meanwhile', async () => {
  const { ledger, client, ada, bob } = await begin()
  const begunAtMs = ledger.nowMs()
  const whole = { manifestDigest, manifest: null, heldIn: 'store', generation: 'a1', begunAtMs } as const
  const monotonicMs = vi.spyOn(performance, 'now').mockReturnValue(performance.now())
  onTestFinished(() => monotonicMs.mockRestore())
  await client.query('select pg_sleep(0.5)')
  const admission = { ...roomy, expiryMs: 400 }
  await expect(ledger.storeInline(aTransfer(ada, [bob]), admission, whole)).rejects.toMatchObject({ code: 'expired' })
})

test('a transaction that waits for a paused portal continues in the end', async () => {
  const { url, ledger, client, ada, announce } = await begin()
  const transferId = await announce()
  await using gate = await Gate.open(Number(new URL(url).port))
  const paused = await open(gate.through(url))
  await client.query('begin')
  await client.query('select from accounts where account_id = $1 for update', [ada.accountId])
  const lost = paused.moveTransfer(transferId, first, stored).catch((error: unknown) => error)
  await waiting(client)
  gate.forget()
  await client.query('commit')
  const moved = await ledger.moveTransfer(transferId, first, { state: 'cancelled', problem: problem('cancelled') })
  expect(moved?.state).toBe('cancelled')
  gate.close()
  await lost
  expect(await ledger.transfer(transferId)).toMatchObject({ state: 'cancelled' })
})
