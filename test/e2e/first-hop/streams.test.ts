/**
 * What a program writes into a pipe is delivered while it comes, in bounded memory and without a copy on the sender's disk. What
 * breaks off is not received, and nothing of it stays at the portal.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { expect, test } from 'vitest'
import type { Limits } from '../../../src/protocol/index.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { filesIn, type JsonLine, sha256Of, until, World } from '../harness/world.ts'
import { MIB, partOf } from './requests.ts'

type Sending = ReturnType<World['sendInput']>

const SMALL_PARTS = ['--part-size', '64KiB'] as const
const PART_BYTES = 64 * 1024

async function worldOf(...args: string[]): Promise<World> {
  const world = await World.create()
  await world.portal(args)
  await world.join(['alice', 'bob', 'carol'])
  return world
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Waits until the portal holds that many parts of a stream. @returns its transferId */
async function untilHeld(world: World, sending: Sending, count: number): Promise<string> {
  const transferId = await transferIdOf(sending)
  const client = await world.client('alice')
  // It starts before the portal has heard of it.
  const held = async () => (await client.transfer(transferId).catch(() => null))?.parts.length ?? 0
  await until(async () => (await held()) >= count, 'the portal holds parts')
  return transferId
}

async function transferIdOf(sending: Sending): Promise<string> {
  return String((await sending.object((one) => one.phase === 'started')).transferId)
}

function summaryOf(lines: readonly JsonLine[]): unknown {
  const summary = lines.findLast((one) => one.type === 'summary')
  if (summary === undefined) throw new Error('the sender has no summary')
  return (summary.transfers as readonly unknown[])[0]
}

/**
 * Checks that nothing of a transfer is left at the portal, in the folder of the receiver, or in the sender's records.
 */
async function expectNothingLeft(world: World): Promise<void> {
  await until(async () => (await world.stored()).length === 0, 'the portal deleted the parts')
  expect(await world.received('bob')).toEqual([])
  const records = (await filesIn(world.path('state'))).filter((name) => /journal|seal/.test(name))
  expect(records).toEqual([])
}

test.each([
  ['sealed', []],
  ['that the portal can read', ['--plain']],
])('a stream of many parts reaches several receivers: one %s', async (_what, more) => {
  await using world = await worldOf()
  await world.receiver('bob')
  await world.receiver('carol')
  const content = randomBytes(50 * PART_BYTES + 17)
  const sending = world.sendInput('bob,carol', ...SMALL_PARTS, ...more)
  const started = sending.object((one) => one.phase === 'started')
  sending.input.write(content.subarray(0, 3 * PART_BYTES))
  expect(await started).toMatchObject({ path: 'dump.sql', isSizeKnown: false, sizeBytes: 0 })
  await untilHeld(world, sending, 2)
  expect(sending.json.filter((one) => one.phase === 'uploading').at(-1)).toMatchObject({ sizeBytes: null })
  sending.input.end(content.subarray(3 * PART_BYTES))
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(sending.json.find((one) => one.phase === 'sized')).toMatchObject({ sizeBytes: content.length })
  for (const name of ['bob', 'carol']) {
    expect(await world.received(name)).toEqual(['dump.sql'])
    expect(await sha256Of(world.path('inbox', name, 'dump.sql'))).toBe(sha256(content))
  }
  const records = (await filesIn(world.path('state'))).filter((name) => /journal|seal/.test(name))
  expect(records, 'nothing could be resumed').toEqual([])
})

test.each([
  ['of no bytes', 0],
  ['of one byte', 1],
  ['of exactly one part', PART_BYTES],
  ['of one byte more than a part', PART_BYTES + 1],
  ['whose last part is full', 4 * PART_BYTES],
])('a stream %s arrives unchanged', async (_what, sizeBytes) => {
  await using world = await worldOf()
  await world.receiver('bob')
  const content = randomBytes(sizeBytes)
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.end(content)
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(sha256(await readFile(world.path('inbox', 'bob', 'dump.sql')))).toBe(sha256(content))
})

test('a program that pauses for longer than the upload timeout loses nothing', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal(['--upload-timeout', '1s'])
  await world.join(['alice', 'bob'], { alice: network })
  await world.receiver('bob')
  const content = randomBytes(5 * PART_BYTES)
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(content.subarray(0, 2 * PART_BYTES + 1))
  const transferId = await untilHeld(world, sending, 2)
  // Three requests are made within each upload timeout.
  const asked = () => network.count('GET', new RegExp(transferId))
  await until(() => asked() > 9, 'it kept the transfer alive')
  expect((await (await world.client('alice')).transfer(transferId)).state).toBe('receiving')
  sending.input.end(content.subarray(2 * PART_BYTES + 1))
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(await sha256Of(world.path('inbox', 'bob', 'dump.sql'))).toBe(sha256(content))
})

test('status shows the size so far of a stream, and that its final size is not known', async () => {
  await using world = await worldOf()
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(randomBytes(2 * PART_BYTES + 1))
  const transferId = await untilHeld(world, sending, 2)
  const { stdout } = await world.run('status', transferId, '--profile', 'alice')
  expect(stdout).toContain('dump.sql, 128 KiB (so far, size not known yet), from alice to bob')
  const list = await world.run('status', '--profile', 'alice')
  expect(list.stdout).toContain('(so far, size not known yet)')
})

test('when a sender is killed, the portal deletes everything after the upload timeout', async () => {
  await using world = await worldOf('--upload-timeout', '1s')
  await world.receiver('bob')
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(randomBytes(4 * PART_BYTES))
  const transferId = await untilHeld(world, sending, 2)
  await sending.stop('SIGKILL')
  const client = await world.client('alice')
  // Not by its status: a sender that asks for it is alive.
  const state = async () => (await client.transfers()).transfers[0]?.state
  await until(async () => (await state()) === 'refused', 'the portal gave it up')
  expect((await client.transfer(transferId)).problem?.code).toBe('upload-timeout')
  await expectNothingLeft(world)
})

test('a sender that is interrupted cancels its stream', async () => {
  await using world = await worldOf()
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.write(randomBytes(4 * PART_BYTES))
  const transferId = await untilHeld(world, sending, 2)
  expect(await sending.stop('SIGTERM')).toMatchObject({ code: 130 })
  const client = await world.client('alice')
  expect((await client.transfer(transferId)).state).toBe('cancelled')
  await expectNothingLeft(world)
})

test('a stream continues after the portal was killed: unacknowledged parts are in memory', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  const portal = await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  await world.receiver('bob')
  let parts = 0
  network.rule = (seen) => {
    if (partOf(seen) !== null && ++parts === 7) portal.signal('SIGKILL')
    return null
  }
  const content = randomBytes(20 * PART_BYTES + 5)
  const sending = world.sendInput('bob', ...SMALL_PARTS, '--answer-timeout', '60s')
  sending.input.write(content.subarray(0, 12 * PART_BYTES))
  await portal.ended
  await world.portal()
  sending.input.end(content.subarray(12 * PART_BYTES))
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(await sha256Of(world.path('inbox', 'bob', 'dump.sql'))).toBe(sha256(content))
})

test('a stream to a portal that stays away ends with exit code 5, and says that the whole input has to be sent again', async () => {
  await using world = await World.create()
  const portal = await world.portal()
  await world.join(['alice', 'bob'])
  const args = ['send', '-', '--name', 'dump.sql', '--to', 'bob', '--profile', 'alice', '--answer-timeout', '2s']
  const sending = world.start([...args, ...SMALL_PARTS], { hasInput: true })
  sending.child.stdin?.on('error', () => {})
  sending.child.stdin?.write(randomBytes(3 * PART_BYTES))
  await sending.line((one) => one.includes('size not known yet'))
  await portal.stop('SIGKILL')
  sending.child.stdin?.write(randomBytes(3 * PART_BYTES))
  const { code, stdout } = await sending.ended
  expect(code).toBe(5)
  expect(stdout).toContain('stream-broken')
  expect(stdout).toContain('Run the whole pipeline again')
})

test('a damaged part is sent again from memory', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  await world.receiver('bob')
  let isDamaged = false
  network.rule = (seen) => {
    if (partOf(seen) !== 3 || isDamaged) return null
    isDamaged = true
    return { corruptRequest: true }
  }
  const content = randomBytes(6 * PART_BYTES)
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  sending.input.end(content)
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(isDamaged).toBe(true)
  expect(sending.json.some((one) => one.phase === 'repeating')).toBe(true)
  expect(await sha256Of(world.path('inbox', 'bob', 'dump.sql'))).toBe(sha256(content))
})

test('a stream that exceeds the quota is refused, its input is closed, and nothing is left', async () => {
  await using world = await worldOf('--quota', '1MiB')
  await world.receiver('bob')
  const sending = world.sendInput('bob', ...SMALL_PARTS)
  const endless = Readable.from(
    (function* () {
      for (;;) yield randomBytes(PART_BYTES)
    })(),
  )
  const writing = pipeline(endless, sending.input).then(
    () => 'ended',
    () => 'broken pipe',
  )
  expect(await sending.ended).toMatchObject({ code: 4 })
  expect(await writing).toBe('broken pipe')
  expect(summaryOf(sending.json)).toMatchObject({ outcome: 'refused', problem: { code: 'storage-full' } })
  await expectNothingLeft(world)
})

test('an older portal without streams gets its own problem code; content that fits into one part is still sent', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const { streams: _, ...limits } = (await (await fetch(`${world.portalUrl}/v1/limits`)).json()) as Limits
  network.rule = ({ path }) =>
    path === '/v1/limits' ? { answer: { status: 200, body: JSON.stringify(limits) } } : null
  const long = world.sendInput('bob', ...SMALL_PARTS)
  long.input.end(randomBytes(PART_BYTES + 1))
  expect(await long.ended).toMatchObject({ code: 4 })
  expect(summaryOf(long.json)).toMatchObject({ outcome: 'refused', problem: { code: 'stream-unsupported' } })
  const short = world.sendInput('bob', '--no-wait', ...SMALL_PARTS)
  short.input.end('short')
  expect(await short.ended).toMatchObject({ code: 0 })
})

test('process substitution, FIFOs and redirections of a shell are streams, too', async () => {
  await using world = await worldOf()
  await world.receiver('bob')
  const content = randomBytes(3 * PART_BYTES + 7)
  await writeFile(world.path('content'), content)
  const shell = (script: string) =>
    world.start([], { wrapper: ['bash', '-euc', `to="--to bob --profile alice --part-size 64KiB"; ${script}`, 'sh'] })
      .ended
  expect(await shell('"$@" send <(cat content) --name substituted $to')).toMatchObject({ code: 0 })
  expect(await shell('mkfifo fifo; (sleep 0.5; cat content > fifo) & "$@" send fifo $to')).toMatchObject({ code: 0 })
  expect(await shell('"$@" send - --name redirected $to < content')).toMatchObject({ code: 0 })
  expect(await world.received('bob')).toEqual(['fifo', 'redirected', 'substituted'])
  for (const name of await readdir(world.inbox('bob'))) {
    if (name !== '.golooader') expect(await sha256Of(world.path('inbox', 'bob', name)), name).toBe(sha256(content))
  }
})

test('standard input needs a name, and cannot be combined with files', async () => {
  await using world = await worldOf()
  const base = ['--to', 'bob', '--profile', 'alice'] as const
  expect(await world.run('send', '-', ...base)).toMatchObject({ code: 2, stderr: expect.stringContaining('--name') })
  const path = await world.file('a.bin', 1)
  expect(await world.run('send', '-', path, '--name', 'x', ...base)).toMatchObject({ code: 2 })
  expect(await world.run('send', path, '--name', 'x', ...base)).toMatchObject({ code: 2 })
})

test("hundreds of MiB pass through a pipe in bounded memory, without a copy on the sender's disk", async () => {
  await using world = await worldOf()
  const sizeBytes = 400 * MIB
  const sending = world.sendInput('bob', '--no-wait')
  const block = randomBytes(MIB)
  const hash = createHash('sha256')
  let peakKib = 0
  for (let written = 0; written < sizeBytes; written += block.length) {
    block.writeUInt32LE(written / MIB)
    hash.update(block)
    if (!sending.input.write(Buffer.from(block))) await new Promise((resolve) => sending.input.once('drain', resolve))
    if ((written / MIB) % 20 === 0) {
      const status = await readFile(`/proc/${sending.child.pid}/status`, 'utf8')
      peakKib = Math.max(peakKib, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]))
    }
  }
  sending.input.end()
  await finished(sending.input)
  expect(await sending.ended).toMatchObject({ code: 0 })
  console.log(`peak memory of the sender: ${Math.round(peakKib / 1024)} MiB`)
  // 80 MiB of the program itself, and two parts.
  expect(peakKib).toBeLessThan(165 * 1024)
  await world.receiver('bob')
  await until(async () => (await world.received('bob')).length === 1, 'it was received')
  expect(await sha256Of(world.path('inbox', 'bob', 'dump.sql'))).toBe(hash.digest('hex'))
})
