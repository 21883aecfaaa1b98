/**
 * `golooader accounts move`: a portal with everything that it can have moves from its folder to PostgreSQL and S3. The command is killed
 * at many moments. Then senders and receivers continue with the new portal, as if nothing had happened.
 */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { hasCode } from '../../../src/fs/index.ts'
import { psql, testDatabase } from '../../servers/postgres.ts'
import { type TestBucket, testBucket } from '../../servers/radosgw.ts'
import { randomInt } from '../../suites/random.ts'
import { openS3Store } from '../../suites/s3.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Ended, type Running, sha256Of, until, World } from '../harness/world.ts'

const MIB = 1024 * 1024
const KILLS = 12
/** A move of this portal takes about this long, so that kills come in all of its phases. */
const MOVE_MS = 2_500

interface Target {
  readonly url: string
  readonly bucket: TestBucket
}

async function newTarget(world: World): Promise<Target> {
  const [{ url }, bucket] = await Promise.all([testDatabase(), testBucket()])
  Object.assign(world.env, bucket.env)
  return { url, bucket }
}

function startMove(world: World, { url, bucket }: Target, ...flags: string[]): Running {
  const to = ['--database', url, '--store', bucket.address]
  return world.start(['accounts', 'move', '--data', world.dataFolder, ...to, ...flags])
}

function portalOn(world: World, { url, bucket }: Target): Promise<Running> {
  return world.portal(['--database', url, '--store', bucket.address, '--guests'])
}

const outcomeIn = ({ stdout }: Ended) => JSON.parse(stdout.trim().split('\n').at(-1) ?? '')

/** What the ledger of the folder says, without changing it. */
function inFolder(world: World, question: string): unknown {
  using ledger = new DatabaseSync(`${world.dataFolder}/ledger.sqlite`, { readOnly: true })
  return Object.values(ledger.prepare(question).get() ?? {})[0]
}

test('a portal with transfers of all kinds moves, through kills, and everyone continues where they were', async () => {
  await using world = await World.create()
  let portal = await world.portal(['--guests'])
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob', 'carol', 'dave'], { alice: network })
  await world.join(['curl'], {}, { hasKeys: false })

  // Ended: delivered, cancelled.
  const bob = await world.receiver('bob')
  const ended = await world.send(await world.file('ended.bin', 3 * MIB), 'bob').ended
  expect(ended.code, ended.stderr).toBe(0)
  const endedId = String(ended.stdout.match(/"transferId":"([0-9a-f-]{36})"/)?.[1])
  await bob.stop()
  const cancelled = await world
    .send(await world.file('cancelled.bin', 2 * MIB), 'carol', '--no-wait')
    .notification('stored')
  expect((await world.run('cancel', String(cancelled.transferId), '--profile', 'alice')).code).toBe(0)

  // Stored: large and small files, a folder, a stream, a link, a request.
  const large = await world.file('large.bin', 30 * MIB)
  const waiting = world.send(large, 'carol', '--part-size', '1MiB')
  await waiting.notification('stored')
  const plain = await world.file('plain.bin', 3 * MIB)
  await world.send(plain, 'carol', '--plain', '--no-wait', '--part-size', '64KiB').ended
  const small = await Promise.all(Array.from({ length: 20 }, (_, at) => world.file(`small-${at}.txt`, 100 + at * 1000)))
  expect((await world.send(small, 'carol', '--no-wait').ended).code).toBe(0)
  const streaming = world.sendInput('carol', '--no-wait')
  streaming.input.end(Buffer.alloc(3 * MIB, 'stream'))
  expect((await streaming.ended).code).toBe(0)
  const linked = await world.run('send', large, '--link', '--no-wait', '--profile', 'alice')
  const link = /http\S+\/g#\S+/.exec(linked.stdout)?.[0] ?? ''
  const request = (await world.run('request', '--from-anybody', '--label', 'papers', '--profile', 'dave')).stdout.trim()

  // Half sent: the sender waits for an answer that never comes.
  const half = await world.file('half.bin', 8 * MIB)
  const sent = network.count('PUT', /\/parts\/5$/)
  network.rule = ({ method, path }) =>
    method === 'PUT' && path.endsWith('/parts/5') ? { heldUntil: new Promise(() => {}) } : null
  const halfSending = world.send(half, 'carol', '--part-size', '1MiB')
  await until(() => network.count('PUT', /\/parts\/5$/) > sent, 'the fifth part is on its way')
  await halfSending.stop('SIGKILL')
  network.rule = () => null
  // Half sent by tus: the tail of a part that is not complete.
  const tus = await halfUpload(world)
  // Invited, and not joined yet.
  const invite = (await world.run('invite', 'erin', '--data', world.dataFolder)).stdout.trim()

  const target = await newTarget(world)
  const refused = await startMove(world, target).ended
  expect(refused.stderr).toMatch(/another process is using .*\(folder-unavailable\)/)
  expect(refused.code).toBe(2)
  await portal.stop()

  let finished: Ended | null = null
  let killed = 0
  for (let at = 0; at < KILLS && finished === null; at++) {
    const moving = startMove(world, target, '--json')
    const delayMs = Math.round((MOVE_MS * (at + 1)) / KILLS) + randomInt(100)
    console.log(`kill ${at + 1} after ${delayMs} ms`)
    const timer = setTimeout(() => moving.signal('SIGKILL'), delayMs)
    const one = await moving.ended
    clearTimeout(timer)
    if (one.code === 0) finished = one
    else {
      expect(one.code, one.stderr).toBe(137)
      killed++
      // The database has all or nothing, and from the mark on the folder starts no portal.
      const accounts = Number(await psql(target.url, 'select count(*) from accounts').catch(() => 0))
      expect([0, Number(inFolder(world, 'select count(*) from accounts'))]).toContain(accounts)
      const mark = await readFile(`${world.dataFolder}/moved.json`, 'utf8').catch(ifMissing)
      if (accounts > 0) expect(mark).toMatch(/"state": "mov(?:ing|ed)"/)
      if (mark !== null) {
        const start = await world.run('portal', '--listen', '127.0.0.1:0', '--data', world.dataFolder)
        expect(start.stderr).toContain('(ledger-moved)')
      }
    }
  }
  expect(killed).toBeGreaterThan(2)
  finished ??= await startMove(world, target, '--json').ended
  expect(finished.code, finished.stderr).toBe(0)
  expect(outcomeIn(finished)).toMatchObject({ type: 'moved', damaged: [] })
  for (const table of ['accounts', 'transfers', 'deliveries', 'events', 'contents', 'invites', 'file_requests']) {
    const count = `select count(*) from ${table}`
    expect(await psql(target.url, count), table).toBe(String(inFolder(world, count)))
  }

  // The folder is as it was, and starts no portal any more. Again is no error.
  const again = await startMove(world, target).ended
  expect(again.stdout).toMatch(
    /^everything was moved before: .*\nstart the portal with: golooader portal --database \S+ --store '/,
  )
  const old = await world.run('accounts', '--data', world.dataFolder)
  expect(old.stderr).toMatch(/it is in postgres:\/\/\S+ now, and its parts are in s3:.*\(ledger-moved\)/)
  expect(old.code).toBe(2)

  // A kill after the commit, before the mark said so.
  const mark = await readFile(`${world.dataFolder}/moved.json`, 'utf8')
  await writeFile(`${world.dataFolder}/moved.json`, mark.replace('"moved"', '"moving"'))
  const marked = await startMove(world, target, '--json').ended
  expect(outcomeIn(marked)).toMatchObject({ wasMoved: false, rows: 0 })
  expect(await readFile(`${world.dataFolder}/moved.json`, 'utf8')).toContain('"state": "moved"')

  portal = await portalOn(world, target)
  await tus.rest()
  const lastEvent = Number(inFolder(world, 'select max(event_id) from events'))
  const halfAgain = world.send(half, 'carol', '--part-size', '1MiB')
  const carol = await world.receiver('carol')
  for (const sending of [waiting, halfAgain]) {
    const { code, stderr } = await sending.ended
    expect(code, stderr).toBe(0)
  }
  const resumed = await halfAgain.object((line) => line.phase === 'started')
  expect(resumed).toMatchObject({ isResumed: true })
  await until(async () => (await world.received('carol')).length === 25, 'carol has everything')
  expect(await readFile(`${world.inbox('carol')}/by-tus.txt`, 'latin1')).toBe(
    Buffer.alloc(300_000, 'by tus').toString(),
  )
  for (const path of [large, plain, half, ...small]) {
    expect(await sha256Of(`${world.inbox('carol')}/${path.slice(path.lastIndexOf('/') + 1)}`)).toBe(
      await sha256Of(path),
    )
  }
  expect(await readFile(`${world.inbox('carol')}/dump.sql`, 'latin1')).toBe(Buffer.alloc(3 * MIB, 'stream').toString())
  await carol.stop()
  expect((await world.run('receive', link, '--into', world.path('guest'))).code).toBe(0)
  expect(await sha256Of(world.path('guest', 'large.bin'))).toBe(await sha256Of(large))
  await writeFile(world.path('papers.txt'), 'papers')
  expect((await world.run('send', world.path('papers.txt'), '--to', request, '--no-wait')).code).toBe(0)
  const dave = await world.receiver('dave', ['--once'])
  await dave.ended
  expect(await world.received('dave')).toEqual(['papers.txt'])
  expect((await world.run('join', invite)).code).toBe(0)

  // The history is there, new events are newer, and a receipt verifies that only the portal has.
  expect(
    Number(await psql(target.url, 'select min(event_id) from events where at_ms = (select max(at_ms) from events)')),
  ).toBeGreaterThan(lastEvent)
  await rm(world.path('state', 'golooader', 'receipts'), { recursive: true })
  const receipt = await world.run('receipt', endedId, '--out', world.path('ended.receipt'), '--profile', 'alice')
  expect(receipt.code, receipt.stderr).toBe(0)
  const verified = await world.run('verify', world.path('files', 'ended.bin'), '--receipt', world.path('ended.receipt'))
  expect(verified.code, verified.stderr).toBe(0)
  await portal.stop()
})

test('a database and a bucket that are in use are refused, and the folder stays as it is', async () => {
  await using world = await World.create()
  const other = await newTarget(world)
  const theirs = await portalOn(world, other)
  await theirs.stop()
  const portal = await world.portal()
  await world.join(['alice'])
  await portal.stop()

  const target = await newTarget(world)
  Object.assign(world.env, other.bucket.env)
  const database = await startMove(world, other).ended
  expect(database.stderr).toMatch(/the database is not new: it has a ledger of its own .*\(ledger-unusable\)/)
  expect(database.code).toBe(2)
  const bucket = await startMove(world, { ...other, url: target.url }).ended
  expect(bucket.stderr).toMatch(/the store is not new: it belongs to another ledger.*\(storage-unusable\)/)
  expect(bucket.code).toBe(2)
  expect(await readFile(`${world.dataFolder}/moved.json`).catch(ifMissing)).toBeNull()
  const nowhere = await world.run('accounts', 'move', '--data', world.path('nowhere'), '--database', target.url)
  expect(nowhere.stderr).toMatch(/no portal has run in .*nowhere/)
  await (await world.portal()).stop()
})

test('a part that is damaged in the folder is left out and named; without --store the parts stay there', async () => {
  await using world = await World.create()
  let portal = await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('a.bin', 3 * MIB)
  const { transferId } = await world.send(path, 'bob', '--no-wait', '--part-size', '1MiB').notification('stored')
  await portal.stop()
  const folder = `${world.dataFolder}/store/${String(transferId).slice(-2)}/${transferId}`
  const { readdir } = await import('node:fs/promises')
  const [second = ''] = (await readdir(folder)).filter((name) => name.startsWith('2.'))
  const sound = await readFile(`${folder}/${second}`)
  await writeFile(`${folder}/${second}`, Buffer.alloc(sound.length))

  const target = await newTarget(world)
  const { code, stderr, stdout } = await startMove(world, target).ended
  expect(code, stderr).toBe(0)
  expect(stderr).toContain(`part 2 of transfer ${transferId} was damaged in the folder and is left out`)
  expect(stdout).toContain(' and 2 parts moved')
  const store = await openS3Store(target.bucket)
  expect([...(await store.list({ transferId: String(transferId), generation: '' })).keys()].sort()).toEqual([1, 3])
  await store.close()

  // Undone: without the mark, the folder is what it was. Then the ledger moves alone.
  await writeFile(`${folder}/${second}`, sound)
  await rm(`${world.dataFolder}/moved.json`)
  const { url } = await testDatabase()
  const alone = await world.run('accounts', 'move', '--data', world.dataFolder, '--database', url)
  expect(alone.stdout).toContain(
    `start the portal with: golooader portal --data ${world.dataFolder} --database ${url}\n`,
  )
  portal = await world.portal(['--database', url])
  const bob = await world.receiver('bob', ['--once'])
  await bob.ended
  expect(await sha256Of(`${world.inbox('bob')}/a.bin`)).toBe(await sha256Of(path))
  await portal.stop()
})

/** A file of an account without keys, of which some bytes came by tus. They are no whole part. */
async function halfUpload(world: World): Promise<{ rest: () => Promise<void> }> {
  const content = Buffer.alloc(300_000, 'by tus')
  const headers = { authorization: `Bearer ${await world.token('curl')}`, 'tus-resumable': '1.0.0' }
  const metadata = { filename: 'by-tus.txt', to: 'carol' }
  const named = Object.entries(metadata).map(([name, value]) => `${name} ${Buffer.from(value).toString('base64')}`)
  const made = await fetch(`${world.portalUrl}/v1/tus`, {
    method: 'POST',
    headers: { ...headers, 'upload-length': String(content.length), 'upload-metadata': named.join(',') },
  })
  expect(made.status, await made.text()).toBe(201)
  const path = new URL(made.headers.get('location') ?? '', `${world.portalUrl}/v1/tus`).pathname
  const patch = async (from: number, to: number): Promise<void> => {
    const { status } = await fetch(`${world.portalUrl}${path}`, {
      method: 'PATCH',
      headers: { ...headers, 'upload-offset': String(from), 'content-type': 'application/offset+octet-stream' },
      body: content.subarray(from, to),
    })
    expect(status).toBe(204)
  }
  await patch(0, 100_000)
  return {
    async rest() {
      const { headers: told } = await fetch(`${world.portalUrl}${path}`, { method: 'HEAD', headers })
      expect(told.get('upload-offset')).toBe('100000')
      await patch(100_000, content.length)
    },
  }
}

function ifMissing(error: unknown): null {
  if (hasCode(error, 'ENOENT')) return null
  throw error
}
