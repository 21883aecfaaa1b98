/** `receive --exec`: a command runs for each file in the folder, at least once, however often the receiver is killed. */
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { until, World } from '../harness/world.ts'
import { LinkWorld } from '../links/scene.ts'
import { DISPOSITION, isDisposition, MIB, notifiedOf, store, unfinished } from '../second-hop/scene.ts'
import { commandEnded, commandsOf, isAlive, Notes } from './scene.ts'

async function joined(): Promise<{ world: World; notes: Notes }> {
  const world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  return { world, notes: new Notes(world) }
}

test('the command gets the file, its sender and the receipt by variables and as JSON, and no name reaches the shell', async () => {
  const { world } = await joined()
  const name = `it's "a" $(touch pwned) \`touch pwned\`\n; touch pwned #.txt`
  await world.file(name, 1000)
  const seen = world.path('seen')
  const bob = await world.receiver('bob', ['--exec', `cat > '${seen}.json'; env -0 > '${seen}.env'; echo done`], {
    env: { GOLOOADER_INTO: 'elsewhere', GOLOOADER_KEEP: 'no', OWN: 'yes' },
  })
  const sending = world.send(world.path('files', name), 'bob')
  expect((await sending.ended).code).toBe(0)
  const received = await bob.object(({ type }) => type === 'received')
  expect(await commandEnded(bob)).toMatchObject({
    event: 'received',
    name,
    exitCode: 0,
    signal: null,
    lastLines: ['done'],
  })

  const event = JSON.parse(await readFile(`${seen}.json`, 'utf8'))
  const { path, transferId, signedBy } = received
  expect(event).toMatchObject({
    event: 'received',
    transferId,
    from: 'alice',
    name,
    path,
    sizeBytes: 1000,
    isSealed: true,
  })
  expect(event).toMatchObject({ signedBy, receipt: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/) })
  const variables = Object.fromEntries(
    (await readFile(`${seen}.env`, 'utf8'))
      .split('\0')
      .map((one) => [one.split('=', 1)[0], one.slice(one.indexOf('=') + 1)]),
  )
  expect(variables).toMatchObject({
    GOLOOADER_EXEC_EVENT: 'received',
    GOLOOADER_EXEC_TRANSFER_ID: transferId,
    GOLOOADER_EXEC_PATH: path,
    GOLOOADER_EXEC_NAME: name,
    GOLOOADER_EXEC_FROM: 'alice',
    GOLOOADER_EXEC_SIZE: '1000',
    GOLOOADER_EXEC_KIND: 'file',
    GOLOOADER_EXEC_RECEIPT: event.receipt,
    OWN: 'yes',
  })
  const others = Object.keys(variables).filter(
    (one) => one.startsWith('GOLOOADER_') && !one.startsWith('GOLOOADER_EXEC_'),
  )
  expect(others).toEqual([])
  expect(existsSync(world.path('pwned'))).toBe(false)
  expect((await sending.notification('delivered')).receipt).toBe(event.receipt)
  expect(await unfinished(world, 'bob')).toEqual(['handling'])
})

test('one command runs at a time, in the order in which the files were published; a failing one stops nothing', async () => {
  const { world, notes } = await joined()
  const fails = 'sleep 0.1; case "$GOLOOADER_EXEC_NAME" in *3*) echo "no such table" >&2; exit 9;; esac'
  const names = ['1.bin', '2.bin', '3.bin', '4.bin', '5.bin', '6.bin']
  for (const [index, name] of names.entries()) await store(world, name, index % 2)
  const bob = await world.receiver('bob', ['--exec', `${notes.command(`(${fails})`)}`])
  await until(() => commandsOf(bob).length === names.length, 'all commands have ended')
  const published = bob.json.flatMap(({ type, name }) => (type === 'received' ? [String(name)] : []))
  expect(published.toSorted()).toEqual(names)
  const expected = notes.lines.flatMap((line) => (line.startsWith('begin') ? [line.slice(6)] : []))
  expect(expected.toSorted()).toEqual(names)
  expect(notes.lines).toEqual(
    expected.flatMap((name) => (name === '3.bin' ? [`begin ${name}`] : [`begin ${name}`, `end ${name}`])),
  )
  expect(commandsOf(bob).find(({ name }) => name === '3.bin')).toMatchObject({
    exitCode: 9,
    lastLines: ['no such table'],
  })
  expect(await world.received('bob')).toEqual(names)
})

test('a command that writes megabytes and reads nothing is run to its end; its last lines are kept', async () => {
  const { world } = await joined()
  const bob = await world.receiver('bob', [
    '--exec',
    'exec 0<&-; yes noise | head -c 20000000; seq 1 50; printf "\\033[31mred\\n"',
  ])
  await store(world, 'a.bin', 1)
  const { exitCode, lastLines } = await commandEnded(bob)
  expect(exitCode).toBe(0)
  expect(lastLines).toEqual([...Array.from({ length: 19 }, (_, index) => String(32 + index)), '\\u001b[31mred'])
})

test('a command that takes longer than its time limit is ended with all that it has started', async () => {
  const { world } = await joined()
  const pids = world.path('pids')
  const hangs = `trap '' TERM; (trap '' TERM; echo $$ >> '${pids}'; exec sleep 1000) & sleep 1000 & echo $! >> '${pids}'; echo waiting; wait`
  const bob = await world.receiver('bob', ['--exec', `${hangs}; ${hangs}`, '--exec-timeout', '500ms'])
  await store(world, 'a.bin', 1)
  expect(await commandEnded(bob)).toMatchObject({ isTimedOut: true, lastLines: ['waiting'] })
  const found = readFileSync(pids, 'utf8').trim().split('\n').map(Number)
  expect(found.length).toBeGreaterThan(1)
  await until(() => found.every((pid) => !isAlive(pid)), 'all have ended')
})

test('a command of another user, as under sudo, is not waited for after its time limit, nor when the receiver stops', async () => {
  if (process.getuid?.() !== 0) return console.log('not tested: only root may become another user')
  const { world } = await joined()
  const pids = world.path('pids')
  // The receiver may not signal the processes of others, like a receiver that is not root.
  const wrapper = ['setpriv', '--bounding-set=-kill', '--inh-caps=-kill']
  const command = `echo $$ >> '${pids}'; exec setpriv --reuid 65534 --clear-groups sleep 1000`
  const flags = ['receive', '--into', world.inbox('bob'), '--create', '--json', '--profile', 'bob', '--exec', command]
  const pidsOf = () => (existsSync(pids) ? readFileSync(pids, 'utf8').trim().split('\n').map(Number) : [])
  try {
    const bob = world.start([...flags, '--exec-timeout', '500ms'], { wrapper })
    await store(world, 'a.bin', 1)
    expect(await commandEnded(bob)).toMatchObject({ isTimedOut: true, isStillRunning: true, exitCode: null })
    await bob.stop()
    const again = world.start(flags, { wrapper })
    await store(world, 'b.bin', 1)
    await until(() => pidsOf().length === 2, 'the second command runs')
    expect(await again.stop()).toMatchObject({ code: 0, stderr: '' })
    expect(pidsOf().every(isAlive)).toBe(true)
  } finally {
    for (const pid of pidsOf()) process.kill(pid, 'SIGKILL')
  }
})

test('what a command leaves in the background holds nothing up', async () => {
  const { world } = await joined()
  const bob = await world.receiver('bob', ['--exec', 'sleep 1000 & echo $!'])
  await store(world, 'a.bin', 1)
  const { lastLines } = await commandEnded(bob)
  const pid = Number((lastLines as string[])[0])
  expect(isAlive(pid)).toBe(true)
  process.kill(pid)
})

test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
  'a command that a receiver has begun when it gets %s runs again at the next start, and never beside itself',
  async (signal) => {
    const { world, notes } = await joined()
    const pids = world.path('pids')
    const command = notes.command(`(echo $$ >> '${pids}'; ${notes.waits})`)
    const bob = await world.receiver('bob', ['--exec', command])
    const [first, second] = [await store(world, '1.bin', 1), await store(world, '2.bin', 0)]
    await notes.has('begin 1.bin')
    await until(() => bob.json.filter(({ type }) => type === 'received').length === 2, 'both are received')
    expect((await bob.stop(signal)).code).toBe(signal === 'SIGKILL' ? 137 : 0)
    const pid = Number(readFileSync(pids, 'utf8'))
    expect(isAlive(pid)).toBe(signal === 'SIGKILL')

    const restarted = await world.receiver('bob', ['--exec', command])
    await notes.has('begin 1.bin', 2)
    expect(isAlive(pid)).toBe(false)
    await notes.open()
    await until(() => commandsOf(restarted).length === 2, 'both commands have ended')
    expect(commandsOf(restarted).map(({ transferId }) => transferId)).toEqual([first.transferId, second.transferId])
    expect(notes.lines).toEqual(['begin 1.bin', 'begin 1.bin', 'end 1.bin', 'begin 2.bin', 'end 2.bin'])
    await restarted.stop()
    const third = await world.receiver('bob', ['--exec', command])
    await third.stop()
    expect(commandsOf(third)).toEqual([])
  },
)

test.each([
  ['before the portal has the answer', { hang: true }],
  ['when the portal has the answer, which it does not know', { loseAnswer: true }],
])('a receiver that is killed %s runs the command of a file again only if that has not ended', async (_when, fault) => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const notes = new Notes(world)
  network.rule = (seen) => (isDisposition(seen) ? (seen.count === 1 ? fault : { hang: true }) : null)
  const bob = await world.receiver('bob', ['--exec', notes.command()])
  const sending = world.send(await world.file('a.bin', MIB), 'bob')
  const { transferId } = await commandEnded(bob)
  const record = join(world.inbox('bob'), '.golooader', 'handling', String(transferId))
  await until(() => readFileSync(record, 'utf8').includes('"isToHandle":false'), 'it is recorded')
  await until(() => network.count('POST', DISPOSITION) > 0, 'the receiver has answered')
  await bob.stop('SIGKILL')

  network.rule = () => null
  const restarted = await world.receiver('bob', ['--exec', notes.command()])
  expect((await sending.ended).code).toBe(0)
  expect(notifiedOf(sending)).toEqual(['stored', 'delivered'])
  await until(() => !existsSync(record), 'nothing is left to be done')
  await restarted.stop()
  expect(notes.lines).toEqual(['begin a.bin', 'end a.bin'])
  expect(await world.received('bob')).toEqual(['a.bin'])
  const last = await world.receiver('bob', ['--exec', notes.command()])
  await last.stop()
  expect(notes.lines).toEqual(['begin a.bin', 'end a.bin'])
})

test('files that an earlier run without --exec has published, and not answered, get their command', async () => {
  await using world = await World.create()
  await world.portal()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { bob: network })
  const notes = new Notes(world)
  network.rule = (seen) => (isDisposition(seen) ? { hang: true } : null)
  const bob = await world.receiver('bob')
  const small = world.send(await world.file('small.bin', 10), 'bob')
  const large = world.send(await world.file('large.bin', MIB), 'bob')
  await until(() => network.count('POST', /disposition/) >= 1, 'it answers')
  await until(async () => (await world.received('bob')).length === 2, 'both are published')
  await bob.stop('SIGKILL')
  network.rule = () => null
  const restarted = await world.receiver('bob', ['--exec', notes.command()])
  for (const sending of [small, large]) expect((await sending.ended).code).toBe(0)
  await until(() => commandsOf(restarted).length === 2, 'both commands have run')
  expect(notes.lines.toSorted()).toEqual(['begin large.bin', 'begin small.bin', 'end large.bin', 'end small.bin'])
})

test('a folder is one file for a command', async () => {
  const { world, notes } = await joined()
  await mkdir(world.path('files', 'tree', 'sub'), { recursive: true })
  await writeFile(world.path('files', 'tree', 'sub', 'a.txt'), 'a')
  await writeFile(world.path('files', 'tree', 'b.txt'), 'b')
  const bob = await world.receiver('bob', [
    '--exec',
    notes.command('cat "$GOLOOADER_EXEC_PATH/sub/a.txt"; echo; echo $GOLOOADER_EXEC_KIND'),
  ])
  expect((await world.send(world.path('files', 'tree'), 'bob').ended).code).toBe(0)
  expect(await commandEnded(bob)).toMatchObject({ exitCode: 0, lastLines: ['a', 'folder'] })
  expect(notes.lines).toEqual(['begin tree', 'end tree'])
})

test('"receive --once" ends when its command has ended, and says with its exit code whether that failed', async () => {
  const { world } = await joined()
  await store(world, 'a.bin', 1)
  await store(world, 'b.bin', 1)
  const good = await world.receiver('bob', ['--once', '--exec', 'sleep 0.3; echo ok'])
  expect((await good.ended).code).toBe(0)
  expect(commandsOf(good)).toMatchObject([{ exitCode: 0 }])
  const bad = await world.receiver('bob', ['--once', '--exec', 'exit 4'])
  expect((await bad.ended).code).toBe(8)
})

test('for people, the exit code and the last lines are printed; a relative command works in the folder of the call', async () => {
  const { world } = await joined()
  await writeFile(world.path('import.sh'), '#!/bin/sh\necho "read 3 rows"\necho "no such table" >&2\nexit 5\n', {
    mode: 0o755,
  })
  await store(world, 'a.bin', 1)
  const args = [
    'receive',
    '--into',
    world.inbox('bob'),
    '--create',
    '--profile',
    'bob',
    '--once',
    '--exec',
    './import.sh',
  ]
  const { code, stdout } = await world.run(...args)
  expect(code).toBe(8)
  expect(stdout).toMatch(/! a\.bin from alice: command: exit code 5, after [\d.]+ s\n/)
  expect(stdout).toContain('    read 3 rows\n')
  expect(stdout).toContain('    no such table\n')
})

test('a person with a link gets the command for its file, and one that a kill has prevented at the next start', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  const notes = new Notes(world)
  const { link } = await scene.link(await world.file('a.bin', MIB))
  const command = notes.command(notes.waits)
  const first = scene.receive(link, 'guest', ['--exec', command])
  await notes.has('begin a.bin')
  await first.object(({ type }) => type === 'received')
  await first.stop('SIGKILL')
  const second = scene.receive(link, 'guest', ['--exec', command])
  await notes.has('begin a.bin', 2)
  await notes.open()
  expect((await second.ended).code).toBe(0)
  expect(second.json.map(({ type }) => type)).toEqual(['command', 'received-before'])
  expect(notes.lines).toEqual(['begin a.bin', 'begin a.bin', 'end a.bin'])
  const third = scene.receive(link, 'guest', ['--exec', command])
  expect((await third.ended).code).toBe(0)
  expect(third.json.map(({ type }) => type)).toEqual(['received-before'])
})

test('options that make no sense together are refused', async () => {
  const { world } = await joined()
  const into = ['receive', '--into', world.inbox('bob'), '--create', '--profile', 'bob']
  const refused = async (args: readonly string[], text: string): Promise<void> => {
    const { code, stderr } = await world.run(...args)
    expect([code, stderr]).toEqual([2, expect.stringContaining(text)])
  }
  await refused(
    ['receive', '--once', '--to-stdout', '--profile', 'bob', '--exec', 'true'],
    '--exec runs its command for a file in a folder',
  )
  await refused(
    ['receive', 'https://x.example/g#glg_x', '--to-stdout', '--exec', 'true'],
    '--exec runs its command for a file in a folder',
  )
  await refused([...into, '--exec-before-answer'], '--exec-before-answer needs a command')
  await refused([...into, '--exec-timeout', '5s'], '--exec-timeout needs a command')
  await refused([...into, '--exec', ' '], '--exec needs a command')
})
