/** The servers for other tests: they answer, they are isolated from each other, and no process is left. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Running } from '../e2e/harness/world.ts'
import { ownPostgres, psql, testDatabase } from './postgres.ts'
import { ownRadosgw, testBucket } from './radosgw.ts'
import { identify, isRunning, type ProcessIdentity } from './run.ts'

const program = join(import.meta.dirname, 'run-by-itself.ts')

/** A process of another run, and the address of its database. */
async function start(what: 'begin' | 'join', env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [program, what], { env: { ...process.env, ...env } })
  const running = new Running(child)
  onTestFinished(async () => {
    child.stdin.end()
    await running.ended
  })
  const { folder, url } = JSON.parse(await running.line((line) => line.startsWith('{')))
  return { running, child, folder: String(folder), url: String(url) }
}

/** The first process of the PostgreSQL at an address. */
async function postmasterOf(url: string): Promise<ProcessIdentity> {
  const dataFolder = await psql(url, 'show data_directory')
  const pid = Number((await readFile(join(dataFolder, 'postmaster.pid'), 'utf8')).split('\n')[0])
  const postmaster = identify(pid)
  if (postmaster === null) throw new Error('a server that answers does not run')
  return postmaster
}

/** 403 for an existing bucket, 404 for a missing one. */
async function statusOf(endpoint: string, bucket: string): Promise<number> {
  const answer = await fetch(`${endpoint}/${bucket}`)
  await answer.text()
  return answer.status
}

test('every test gets an empty database of its own', async () => {
  const [one, other] = await Promise.all([testDatabase(), testDatabase()])
  await psql(one.url, 'create table only_here (id int)')
  const tables = "select count(*) from pg_tables where schemaname = 'public'"
  expect([await psql(one.url, tables), await psql(other.url, tables)]).toEqual(['1', '0'])
})

test('a PostgreSQL that was stopped or killed starts again on its port with its data', async () => {
  await using server = await ownPostgres()
  const { url } = await server.database()
  await psql(url, 'create table kept as select 1 as id')
  for (const end of [() => server.kill(), () => server.stop()]) {
    await end()
    await expect(psql(url, 'select 1')).rejects.toThrow('Connection refused')
    await server.start()
    expect(await psql(url, 'select id from kept')).toBe('1')
  }
})

test('every test gets a bucket of its own', async () => {
  const [one, other] = await Promise.all([testBucket(), testBucket()])
  expect(one.endpoint).toBe(other.endpoint)
  expect(one.bucket).not.toBe(other.bucket)
  expect(await statusOf(one.endpoint, one.bucket)).toBe(403)
  expect(await statusOf(one.endpoint, `${one.bucket}-not`)).toBe(404)
})

test('an S3 server that was killed starts again with its buckets; a paused one answers when it is resumed', async () => {
  await using server = await ownRadosgw()
  const { bucket } = await server.bucket()
  await server.kill()
  await expect(statusOf(server.endpoint, bucket)).rejects.toThrow('fetch failed')
  await server.start()
  expect(await statusOf(server.endpoint, bucket)).toBe(403)
  await server.bucket()

  server.pause()
  let hasAnswered = false
  const answer = statusOf(server.endpoint, bucket).finally(() => {
    hasAnswered = true
  })
  await expect(fetch(server.endpoint, { signal: AbortSignal.timeout(300) })).rejects.toThrow('timeout')
  expect(hasAnswered).toBe(false)
  server.resume()
  expect(await answer).toBe(403)
})

test('all processes of a run share one server, which ends with the run', async () => {
  const owner = await start('begin')
  const env = { GOLOOADER_TEST_RUN: owner.folder }
  const others = await Promise.all([start('join', env), start('join', env)])
  const all = [owner, ...others]
  expect(new Set(all.map(({ url }) => new URL(url).port)).size).toBe(1)
  expect(new Set(all.map(({ url }) => url)).size).toBe(3)
  const postmaster = await postmasterOf(owner.url)

  for (const { child, running } of others) {
    child.stdin.end()
    await running.ended
  }
  expect(await psql(owner.url, 'select 1')).toBe('1')
  owner.child.stdin.end()
  await owner.running.ended
  expect([isRunning(postmaster), existsSync(owner.folder)]).toEqual([false, false])
})

test('the leftovers of a killed run end when the next one begins', async () => {
  const killed = await start('begin')
  const postmaster = await postmasterOf(killed.url)
  await killed.running.stop('SIGKILL')
  expect([isRunning(postmaster), existsSync(killed.folder)]).toEqual([true, true])

  const next = await start('begin')
  expect([isRunning(postmaster), existsSync(killed.folder)]).toEqual([false, false])
  expect(await psql(next.url, 'select 1')).toBe('1')
})
