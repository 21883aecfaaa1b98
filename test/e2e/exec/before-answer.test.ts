/** `receive --exec-before-answer`: the sender hears that its file was received only when the command has succeeded. */
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Running, sha256Of, until, World } from '../harness/world.ts'
import { DISPOSITION, isDisposition, MIB, notifiedOf, recordOf, store, unfinished } from '../second-hop/scene.ts'
import { commandEnded, commandsOf, isAlive, Notes } from './scene.ts'

const BEFORE = '--exec-before-answer'

interface Scene {
  readonly world: World
  readonly notes: Notes
  readonly network: FaultyNetwork
}

async function scene(...portal: string[]): Promise<Scene & AsyncDisposable> {
  const world = await World.create()
  await world.portal(portal)
  const network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  return {
    ...{ world, network, notes: new Notes(world) },
    [Symbol.asyncDispose]: async () => {
      endLeftRunning(world)
      await network[Symbol.asyncDispose]()
    },
  }
}

/** A receiver that was killed leaves its command running, until the next command of its folder. */
function endLeftRunning(world: World): void {
  const note = join(world.inbox('bob'), '.golooader', 'handling', 'running')
  if (!existsSync(note)) return
  const { pid } = JSON.parse(readFileSync(note, 'utf8'))
  if (isAlive(pid)) process.kill(-pid, 'SIGKILL')
}

/** What the receiver still has to do. */
async function records(world: World): Promise<string[]> {
  const names = await readdir(join(world.inbox('bob'), '.golooader', 'handling')).catch(() => [])
  // Says which command runs, or ran when its receiver was killed.
  return names.filter((name) => name !== 'running')
}

async function isTidy(world: World): Promise<void> {
  await until(async () => (await records(world)).length === 0, 'nothing is left to be done')
  expect(await unfinished(world, 'bob')).toEqual(['handling'])
}

function failureOf(sending: Running): unknown {
  const summary = sending.json.find(({ type }) => type === 'summary') as
    | { transfers?: { failures?: unknown[] }[] }
    | undefined
  return summary?.transfers?.[0]?.failures?.[0]
}

test.each([
  ['a small file', 10],
  ['a file of several parts', 3 * MIB],
])(
  '%s is received when the command succeeds; when it fails, the sender hears why and the file is gone',
  async (_what, size) => {
    await using one = await scene()
    const { world, notes } = one
    const fails = `case "$GOLOOADER_EXEC_NAME" in bad*) echo reading; echo "no such table: rows"; exit 3;; esac`
    const bob = await world.receiver('bob', [
      '--exec',
      notes.command(`(test -e "$GOLOOADER_EXEC_PATH" && ${fails})`),
      BEFORE,
    ])
    const good = world.send(await world.file('good.bin', size), 'bob')
    expect((await good.ended).code).toBe(0)
    const bad = world.send(await world.file('bad.bin', size), 'bob', '--part-size', '1MiB')
    expect((await bad.ended).code).toBe(3)
    expect(failureOf(bad)).toMatchObject({
      receiver: 'bob',
      problem: { code: 'exec-failed', title: 'The import failed', detail: 'no such table: rows', exitCode: 3 },
    })
    expect(await bob.object(({ type }) => type === 'refused')).toMatchObject({ name: 'bad.bin' })
    expect(await world.received('bob')).toEqual(['good.bin'])
    await isTidy(world)
    expect(notes.lines).toEqual(['begin good.bin', 'end good.bin', 'begin bad.bin'])

    // The name is free again.
    await bob.stop()
    await world.receiver('bob', ['--exec', 'true', BEFORE])
    expect((await world.send(world.path('files', 'bad.bin'), 'bob').ended).code).toBe(0)
    expect(await world.received('bob')).toEqual(['bad.bin', 'good.bin'])
  },
)

test('a sender reads the reason in one line', async () => {
  await using one = await scene()
  const { world } = one
  await world.receiver('bob', ['--exec', 'echo "no such table: rows" >&2; exit 1', BEFORE])
  const { code, stdout } = await world.run('send', await world.file('a.bin', 10), '--to', 'bob', '--profile', 'alice')
  expect(code).toBe(3)
  expect(stdout).toContain('The import failed: no such table: rows (exec-failed)')
})

test('a folder for which the command fails is removed as a whole', async () => {
  await using one = await scene()
  const { world } = one
  await mkdir(world.path('files', 'tree', 'sub'), { recursive: true })
  await writeFile(world.path('files', 'tree', 'sub', 'a.txt'), 'a')
  await world.receiver('bob', ['--exec', 'cat "$GOLOOADER_EXEC_PATH/sub/a.txt"; exit 1', BEFORE])
  const sending = world.send(world.path('files', 'tree'), 'bob')
  expect((await sending.ended).code).toBe(3)
  expect(failureOf(sending)).toMatchObject({ problem: { code: 'exec-failed', detail: 'a' } })
  expect(await world.received('bob')).toEqual([])
  await isTidy(world)
})

test('a command beyond its time limit counts as failed', async () => {
  await using one = await scene()
  const { world } = one
  await world.receiver('bob', ['--exec', 'echo begun; sleep 1000', BEFORE, '--exec-timeout', '400ms'])
  const sending = world.send(await world.file('a.bin', 10), 'bob')
  expect((await sending.ended).code).toBe(3)
  expect(failureOf(sending)).toMatchObject({
    problem: {
      code: 'exec-failed',
      isTimedOut: true,
      detail: expect.stringMatching(/^ended after .*by its time limit$/),
    },
  })
  expect(await world.received('bob')).toEqual([])
})

test.each(['SIGKILL', 'SIGTERM'] as const)(
  'a receiver that gets %s while the command runs, runs it again before it answers',
  async (signal) => {
    await using one = await scene()
    const { world, notes } = one
    const command = notes.command(notes.waits)
    const bob = await world.receiver('bob', ['--exec', command, BEFORE])
    const path = await world.file('a.bin', MIB)
    const sending = world.send(path, 'bob')
    await notes.has('begin a.bin')
    expect(await world.received('bob')).toEqual(['a.bin'])
    await bob.stop(signal)
    expect(notifiedOf(sending)).toEqual(['stored'])

    const restarted = await world.receiver('bob', ['--exec', command, BEFORE])
    await notes.has('begin a.bin', 2)
    expect(notifiedOf(sending)).toEqual(['stored'])
    await notes.open()
    expect((await sending.ended).code).toBe(0)
    await restarted.object(({ type }) => type === 'received')
    expect(notes.lines).toEqual(['begin a.bin', 'begin a.bin', 'end a.bin'])
    expect(await world.received('bob')).toEqual(['a.bin'])
    expect(await sha256Of(join(world.inbox('bob'), 'a.bin'))).toBe(await sha256Of(path))
    await isTidy(world)
  },
)

test.each([
  ['before the portal has the answer', { hang: true }],
  ['when the portal has it already', { loseAnswer: true }],
])(
  'a receiver that is killed after the command has succeeded, %s, never runs it again and keeps the file',
  async (_when, fault) => {
    await using one = await scene()
    const { world, notes, network } = one
    network.rule = (seen) => (isDisposition(seen) ? (seen.count === 1 ? fault : { hang: true }) : null)
    const bob = await world.receiver('bob', ['--exec', notes.command(), BEFORE])
    const sending = world.send(await world.file('a.bin', MIB), 'bob')
    await until(() => network.count('POST', DISPOSITION) > 0, 'the receiver has answered')
    await bob.stop('SIGKILL')
    network.rule = () => null
    // A command that would fail now is not asked any more.
    const restarted = await world.receiver('bob', ['--exec', 'exit 1', BEFORE])
    expect((await sending.ended).code).toBe(0)
    await isTidy(world)
    expect(commandsOf(restarted)).toEqual([])
    expect(await world.received('bob')).toEqual(['a.bin'])
  },
)

test('a file whose sender cancels while the command runs is removed, and the command is ended', async () => {
  await using one = await scene()
  const { world } = one
  const pid = world.path('pid')
  const bob = await world.receiver('bob', ['--exec', `echo $$ > '${pid}'; sleep 1000`, BEFORE])
  const { transferId } = await store(world, 'a.bin', 1)
  await until(() => existsSync(pid) && readFileSync(pid, 'utf8') !== '', 'the command runs')
  expect((await world.run('cancel', transferId, '--profile', 'alice')).code).toBe(0)
  const { problem } = await bob.object(({ type }) => type === 'withdrawn')
  expect(problem).toMatchObject({ code: 'cancelled' })
  expect(problem).not.toHaveProperty('detail', expect.stringContaining('kept'))
  expect(isAlive(Number(readFileSync(pid, 'utf8')))).toBe(false)
  expect(await world.received('bob')).toEqual([])
  await isTidy(world)
})

test('a file whose sender cancelled after the receiver was killed during the command is removed at the next start', async () => {
  await using one = await scene()
  const { world, notes } = one
  const bob = await world.receiver('bob', ['--exec', notes.command('sleep 1000'), BEFORE])
  const { transferId } = await store(world, 'a.bin', 1)
  await notes.has('begin a.bin')
  await bob.stop('SIGKILL')
  expect((await world.run('cancel', transferId, '--profile', 'alice')).code).toBe(0)
  expect(await world.received('bob')).toEqual(['a.bin'])
  await world.receiver('bob', ['--exec', notes.command(), BEFORE])
  await until(async () => (await world.received('bob')).length === 0, 'the file is gone')
  await isTidy(world)
  expect(notes.lines).toEqual(['begin a.bin'])
})

test('another file that has taken the name meanwhile is never removed', async () => {
  await using one = await scene()
  const { world } = one
  const moves = 'mv "$GOLOOADER_EXEC_PATH" moved; echo mine > "$GOLOOADER_EXEC_PATH"; exit 1'
  await world.receiver('bob', ['--exec', moves, BEFORE])
  expect((await world.send(await world.file('a.bin', 100), 'bob').ended).code).toBe(3)
  expect(await readFile(join(world.inbox('bob'), 'a.bin'), 'utf8')).toBe('mine\n')
  await isTidy(world)
})

test('a file that a command that succeeds moves away was delivered', async () => {
  await using one = await scene()
  const { world } = one
  await world.receiver('bob', ['--exec', 'mv "$GOLOOADER_EXEC_PATH" archive', BEFORE])
  const path = await world.file('a.bin', 100)
  expect((await world.send(path, 'bob').ended).code).toBe(0)
  expect(await world.received('bob')).toEqual([])
  expect(await sha256Of(world.path('archive'))).toBe(await sha256Of(path))
  await isTidy(world)
})

test('with exit code 75 the file waits, and the command runs again later', async () => {
  await using one = await scene('--lease', '1s')
  const { world, notes } = one
  const command = notes.command(`(test -e '${world.path('ready')}' || exit 75)`)
  const bob = await world.receiver('bob', ['--exec', command, BEFORE])
  const sending = world.send(await world.file('a.bin', 100), 'bob')
  await notes.has('begin a.bin', 2)
  expect(bob.json.filter(({ type }) => type === 'given-up').length).toBeGreaterThan(0)
  expect(notifiedOf(sending)).toEqual(['stored'])
  await writeFile(world.path('ready'), '')
  expect((await sending.ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['a.bin'])
  expect(notes.lines.filter((line) => line.startsWith('end'))).toEqual(['end a.bin'])
  await isTidy(world)
})

test('the lease is kept while the command runs for several times its length, and files that wait for their turn keep theirs', async () => {
  await using one = await scene('--lease', '400ms')
  const { world, notes } = one
  const bob = await world.receiver('bob', ['--exec', notes.command('sleep 2'), BEFORE])
  const sendings = ['1.bin', '2.bin'].map(async (name) => world.send(await world.file(name, 100), 'bob'))
  for (const sending of await Promise.all(sendings)) expect((await sending.ended).code).toBe(0)
  expect(notes.lines).toHaveLength(4)
  const [first = ''] = notes.lines
  expect(notes.lines[1]).toBe(first.replace('begin', 'end'))
  for (const { transferId } of commandsOf(bob)) {
    expect((await recordOf(world, String(transferId))).deliveries).toMatchObject([{ state: 'delivered' }])
  }
  expect(bob.json.filter(({ type }) => type === 'offered')).toHaveLength(2)
})

test('of two files at once, the one whose command fails is refused and the other one received', async () => {
  await using one = await scene()
  const { world } = one
  await store(world, 'good.bin', 1)
  await store(world, 'bad.bin', 1)
  const bob = await world.receiver('bob', ['--exec', 'case "$GOLOOADER_EXEC_NAME" in bad*) exit 1;; esac', BEFORE])
  await bob.object(({ type }) => type === 'refused')
  await bob.object(({ type }) => type === 'received')
  expect(await world.received('bob')).toEqual(['good.bin'])
})

test('a receiver without the option answers for a file that an earlier one was killed with, and keeps it', async () => {
  await using one = await scene()
  const { world, notes, network } = one
  const bob = await world.receiver('bob', ['--exec', notes.command('sleep 1000'), BEFORE])
  const sending = world.send(await world.file('a.bin', 100), 'bob')
  await notes.has('begin a.bin')
  await bob.stop('SIGKILL')
  // It is killed when the portal knows, and it does not.
  network.rule = (seen) => (isDisposition(seen) ? (seen.count === 1 ? { loseAnswer: true } : { hang: true }) : null)
  const plain = await world.receiver('bob')
  await sending.notification('delivered')
  await plain.stop('SIGKILL')
  network.rule = () => null
  await world.receiver('bob', ['--exec', 'exit 1', BEFORE])
  await isTidy(world)
  expect(await world.received('bob')).toEqual(['a.bin'])
})

test('with --once, a command that fails ends the receiver as a refusal does', async () => {
  await using one = await scene()
  const { world } = one
  await store(world, 'a.bin', 1)
  const once = await world.receiver('bob', ['--once', '--exec', 'exit 1', BEFORE])
  expect((await once.ended).code).toBe(3)
  await store(world, 'b.bin', 1)
  const good = await world.receiver('bob', ['--once', '--exec', 'true', BEFORE])
  await commandEnded(good)
  expect((await good.ended).code).toBe(0)
})
