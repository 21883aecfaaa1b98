/**
 * `receive --once --to-stdout` writes only verified content, in order, and tells by its exit code whether all of it was right. A
 * receipt is signed only after that.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Running, sha256Of, until, World } from '../harness/world.ts'

const PART_BYTES = 64 * 1024
/** How long a client keeps a connection that it does not use. */
const KEEP_ALIVE_MS = 30_000
const SMALL_PARTS = ['--part-size', '64KiB'] as const

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Runs a script of bash in which RECEIVE receives one file as bob. */
function receiveIn(world: World, script: string): Running {
  const receive = '"$@" receive --once --to-stdout --profile bob --json'
  return world.start([], { wrapper: ['bash', '-c', script.replace('RECEIVE', receive), 'sh'] })
}

test.each([
  ['sealed', []],
  ['that the portal can read', ['--plain']],
])('the content of a stored file goes into a pipe, and its receipt is good: one %s', async (_what, more) => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('report.bin', 7 * PART_BYTES + 3)
  const sending = world.send(path, 'bob', ...SMALL_PARTS, ...more)
  await sending.notification('stored')
  const receiving = receiveIn(world, 'RECEIVE | sha256sum; exit $PIPESTATUS')
  const { code, stdout, stderr } = await receiving.ended
  expect(code, stderr).toBe(0)
  expect(stdout.split(' ')[0]).toBe(await sha256Of(path))
  expect(await sending.ended).toMatchObject({ code: 0 })
})

test.each([
  ['of no bytes', 0],
  ['that comes with its offer elsewhere', 10],
])('a small file %s is written, too', async (_what, sizeBytes) => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('small.bin', sizeBytes)
  await world.send(path, 'bob', '--no-wait').ended
  const { code } = await receiveIn(world, 'RECEIVE > out').ended
  expect(code).toBe(0)
  expect(await sha256Of(world.path('out'))).toBe(await sha256Of(path))
})

test('a stream goes from one program into another while it is written', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const content = randomBytes(9 * PART_BYTES)
  const receiving = receiveIn(world, 'RECEIVE | tee out | sha256sum; exit $PIPESTATUS')
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(content.subarray(0, 6 * PART_BYTES))
  const written = async () => (await readFile(world.path('out')).catch(() => Buffer.alloc(0))).length
  await until(async () => (await written()) >= 4 * PART_BYTES, 'parts are written before the end')
  sending.input.end(content.subarray(6 * PART_BYTES))
  const { code, stdout, stderr } = await receiving.ended
  expect(code, stderr).toBe(0)
  expect(stdout.split(' ')[0]).toBe(sha256(content))
  expect(await sending.ended).toMatchObject({ code: 0 })
})

test.each([
  ['standard output', ['--to-stdout']],
  ['a folder', ['--into', 'in', '--create']],
])('files that wait come one by one, each to a receiver of its own into %s', async (_what, into) => {
  await using world = await World.create()
  // A file that was offered to a receiver which has ended would wait for the end of its lease.
  await world.portal(['--lease', '1h'])
  await world.join(['alice', 'bob'])
  const names = ['1.txt', '2.txt', '3.txt']
  for (const name of names) await world.send(await world.file(name, 10), 'bob', '--no-wait').ended
  const received: unknown[] = []
  for (const _ of names) {
    const receiving = world.start(['receive', '--once', ...into, '--profile', 'bob', '--json'])
    const { code, stdout, stderr } = await receiving.ended
    expect(code, stderr).toBe(0)
    received.push(/"name":"(\d\.txt)"/.exec(stdout + stderr)?.[1])
  }
  expect(received).toEqual(names)
})

test('when the reader ends early, the exit code says so, and the next receiver gets the file at once', async () => {
  await using world = await World.create()
  // Were the lease not given back, the next receiver would wait for its end.
  await world.portal(['--lease', '1h'])
  await world.join(['alice', 'bob'])
  const path = await world.file('report.bin', 40 * PART_BYTES)
  const sending = world.send(path, 'bob', ...SMALL_PARTS)
  await sending.notification('stored')
  expect(await receiveIn(world, 'RECEIVE | head -c 1 > /dev/null; exit $PIPESTATUS').ended).toMatchObject({
    code: 7,
    stderr: expect.stringContaining('the file stays at the portal'),
  })
  await world.receiver('bob')
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(await sha256Of(world.path('inbox', 'bob', 'report.bin'))).toBe(await sha256Of(path))
})

test('a receiver of the same account that is connected gets what one with a closed pipe leaves', async () => {
  await using world = await World.create()
  await world.portal(['--lease', '1h'])
  await world.join(['alice', 'bob'])
  const path = await world.file('report.bin', 40 * PART_BYTES)
  const sending = world.send(path, 'bob', ...SMALL_PARTS)
  await sending.notification('stored')
  // The first part goes into the pipe, whose reader waits until another receiver is there.
  const script = 'RECEIVE | { head -c 1 > begun; until [ -e go ]; do sleep 0.05; done; }; exit $PIPESTATUS'
  const first = receiveIn(world, script)
  await until(async () => (await readFile(world.path('begun')).catch(() => Buffer.alloc(0))).length === 1, 'it began')
  await world.receiver('bob')
  await writeFile(world.path('go'), '')
  expect(await first.ended).toMatchObject({ code: 7 })
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(await sha256Of(world.path('inbox', 'bob', 'report.bin'))).toBe(await sha256Of(path))
})

test('a part that is damaged on its way is fetched again before any of it is written', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { bob: network })
  network.rule = ({ path, count }) => (path.endsWith('/parts/2') && count === 1 ? { corruptAnswer: true } : null)
  const path = await world.file('report.bin', 5 * PART_BYTES)
  const sending = world.send(path, 'bob', ...SMALL_PARTS)
  await sending.notification('stored')
  expect(await receiveIn(world, 'RECEIVE > out').ended).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('"repeating"'),
  })
  expect(await sha256Of(world.path('out'))).toBe(await sha256Of(path))
  expect(await sending.ended).toMatchObject({ code: 0 })
})

test('a receiver that is killed signs nothing: the next one gets the file', async () => {
  await using world = await World.create()
  await world.portal(['--lease', '2s'])
  await world.join(['alice', 'bob'])
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  const content = randomBytes(6 * PART_BYTES)
  sending.input.write(content.subarray(0, 5 * PART_BYTES))
  const receiving = receiveIn(world, 'exec "$@" receive --once --to-stdout --profile bob --json > out')
  const written = async () => (await readFile(world.path('out')).catch(() => Buffer.alloc(0))).length
  await until(async () => (await written()) >= 3 * PART_BYTES, 'parts are written')
  await receiving.stop('SIGKILL')
  sending.input.end(content.subarray(5 * PART_BYTES))
  await sending.notification('stored')
  expect(await receiveIn(world, 'RECEIVE > again').ended).toMatchObject({ code: 0 })
  expect(await sha256Of(world.path('again'))).toBe(sha256(content))
  expect(await sending.ended).toMatchObject({ code: 0 })
})

test('a stream that breaks off after parts were written ends with exit code 3', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const receiving = receiveIn(world, 'RECEIVE > out')
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(randomBytes(5 * PART_BYTES))
  const written = async () => (await readFile(world.path('out')).catch(() => Buffer.alloc(0))).length
  await until(async () => (await written()) >= 3 * PART_BYTES, 'parts are written')
  await sending.stop('SIGTERM')
  expect(await receiving.ended).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('is not the whole file'),
  })
})

test('the receiver ends with its file, and waits for no unused connection to time out', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  // Too large to come with its offer.
  const path = await world.file('report.bin', 300 * 1024)
  await world.send(path, 'bob', '--no-wait').ended
  const receiving = receiveIn(world, 'RECEIVE > out')
  await until(() => receiving.stderr.includes('"type":"received"'), 'it has received the file')
  const receivedAtMs = performance.now()
  expect((await receiving.ended).code).toBe(0)
  expect(performance.now() - receivedAtMs).toBeLessThan(KEEP_ALIVE_MS * 0.8)
})

test('one file by itself, and no folder', async () => {
  await using world = await World.create()
  expect(await world.run('receive', '--to-stdout')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--once'),
  })
  expect(await world.run('receive', '--to-stdout', '--once', '--into', 'in')).toMatchObject({ code: 2 })
})
