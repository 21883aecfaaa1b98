/** `send --exec` and `watch --exec`: a command runs when a file is stored, and again at its end, at least once for each. */
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Running, until, World } from '../harness/world.ts'
import { MIB } from '../second-hop/scene.ts'
import { commandsOf, isAlive } from './scene.ts'

interface Noted {
  readonly event: string
  readonly transferId: string
  readonly [member: string]: unknown
}

/** A command that notes its event as a line of JSON. */
function noting(world: World): { readonly command: string; events(): Noted[] } {
  const path = world.path('events')
  return {
    command: `cat >> '${path}'`,
    events: () => {
      const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
      const lines = text.split('\n').slice(0, -1)
      return lines.map((line) => JSON.parse(line))
    },
  }
}

async function joined(): Promise<World> {
  const world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob', 'carol'])
  return world
}

function watch(world: World, ...args: string[]): Running {
  const folder = world.path('outbox')
  return world.start([
    'watch',
    folder,
    '--create',
    '--to',
    'bob',
    '--profile',
    'alice',
    '--json',
    '--settle',
    '0s',
    ...args,
  ])
}

test('a sender runs the command when the file is stored, and when its receivers have it, with their receipts', async () => {
  const world = await joined()
  await world.receiver('bob')
  await world.receiver('carol')
  const { command, events } = noting(world)
  const variables = world.path('variables')
  const path = await world.file(`it's $(touch pwned).csv`, MIB)
  const sending = world.send(
    path,
    'bob,carol',
    '--exec',
    `${command}; echo "$GOLOOADER_EXEC_EVENT $GOLOOADER_EXEC_PATH $GOLOOADER_EXEC_TO" >> '${variables}'`,
  )
  expect((await sending.ended).code).toBe(0)
  expect(events().map(({ event }) => event)).toEqual(['stored', 'delivered'])
  const [stored, delivered] = events()
  expect(stored).toMatchObject({ path, name: `it's $(touch pwned).csv`, to: ['bob', 'carol'], receipts: [] })
  expect(delivered).toMatchObject({ transferId: stored?.transferId, path, to: ['bob', 'carol'] })
  const receipt = expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/)
  const receipts = ['bob', 'carol'].map((receiver) => ({ receiver, receipt }))
  expect(delivered?.receipts).toHaveLength(2)
  expect(delivered?.receipts).toEqual(expect.arrayContaining(receipts))
  expect(await readFile(variables, 'utf8')).toBe(`stored ${path} bob,carol\ndelivered ${path} bob,carol\n`)
  expect(existsSync(world.path('pwned'))).toBe(false)
  expect(commandsOf(sending)).toMatchObject([
    { event: 'stored', exitCode: 0 },
    { event: 'delivered', exitCode: 0 },
  ])
})

test('a sender runs the command with the reason when a delivery fails, and says when a command failed', async () => {
  const world = await joined()
  const { command, events } = noting(world)
  await world.receiver('bob', ['--exec', 'echo no such table; exit 1', '--exec-before-answer'])
  const reason = world.path('reason')
  const failing = world.send(
    await world.file('a.bin', 10),
    'bob',
    '--exec',
    `${command}; echo "$GOLOOADER_EXEC_PROBLEM" > '${reason}'`,
  )
  expect((await failing.ended).code).toBe(3)
  expect(events()).toMatchObject([
    { event: 'stored' },
    { event: 'failed', failures: [{ receiver: 'bob', problem: { code: 'exec-failed', detail: 'no such table' } }] },
  ])
  expect(await readFile(reason, 'utf8')).toBe('bob: The import failed: no such table\n')

  await world.receiver('carol')
  const sent = world.send(await world.file('b.bin', 10), 'carol', '--exec', 'exit 2')
  expect((await sent.ended).code).toBe(8)
  expect(sent.json.find(({ type }) => type === 'summary')).toMatchObject({ exitCode: 8 })
})

test.each(['SIGKILL', 'SIGINT'] as const)(
  'a sender that gets %s during its command runs it again when it is started again',
  async (signal) => {
    const world = await joined()
    await world.receiver('bob')
    const { command, events } = noting(world)
    const pid = world.path('pid')
    const hangs = `${command}; [ $GOLOOADER_EXEC_EVENT = stored ] || { echo $$ > '${pid}'; sleep 1000; }`
    const path = await world.file('a.bin', MIB)
    const first = world.send(path, 'bob', '--exec', hangs)
    await until(() => existsSync(pid) && readFileSync(pid, 'utf8') !== '', 'the command for the end runs')
    expect((await first.stop(signal)).code).toBe(signal === 'SIGKILL' ? 137 : 130)
    const left = Number(readFileSync(pid, 'utf8'))
    expect(isAlive(left)).toBe(signal === 'SIGKILL')
    if (signal === 'SIGKILL') process.kill(left)

    const again = world.send(path, 'bob', '--exec', command)
    expect((await again.ended).code).toBe(0)
    expect(events().at(-1)).toMatchObject({ event: 'delivered', receipts: [{ receiver: 'bob' }] })
    expect(new Set(events().map(({ transferId }) => transferId)).size).toBe(1)
  },
)

test('standard input and folders of several paths have a name, and no path', async () => {
  const world = await joined()
  await world.receiver('bob')
  const { command, events } = noting(world)
  const sending = world.sendInput('bob', '--exec', command)
  sending.input.end('rows')
  expect((await sending.ended).code).toBe(0)
  expect(events()).toMatchObject([
    { event: 'stored', name: 'dump.sql', path: null },
    { event: 'delivered', name: 'dump.sql', path: null },
  ])
})

test('a drop folder runs the command for each file, also when the watcher is killed during it', async () => {
  const world = await joined()
  await world.receiver('bob')
  const { command, events } = noting(world)
  const pid = world.path('pid')
  const hangs = `${command}; [ $GOLOOADER_EXEC_EVENT = stored ] || { echo $$ > '${pid}'; sleep 1000; }`
  const outbox = world.path('outbox')
  await mkdir(outbox)
  await writeFile(join(outbox, 'a.csv'), 'rows')
  const first = watch(world, '--exec', hangs)
  await until(() => existsSync(pid) && readFileSync(pid, 'utf8') !== '', 'the command for the end runs')
  await first.stop('SIGKILL')
  const left = Number(readFileSync(pid, 'utf8'))
  expect(isAlive(left)).toBe(true)

  const again = watch(world, '--once', '--exec', command)
  const { code, stderr } = await again.ended
  expect([code, stderr]).toEqual([0, ''])
  expect(isAlive(left)).toBe(false)
  expect(events().map(({ event }) => event)).toEqual(['stored', 'delivered', 'delivered'])
  expect(events().at(-1)).toMatchObject({
    name: 'a.csv',
    path: join(outbox, 'sent', 'a.csv'),
    to: ['bob'],
    receipts: [{ receiver: 'bob' }],
  })
  expect(await readFile(join(outbox, 'sent', 'a.csv'), 'utf8')).toBe('rows')

  await writeFile(join(outbox, 'b.csv'), 'rows')
  const failing = watch(world, '--once', '--exec', 'exit 1')
  expect((await failing.ended).code).toBe(8)
  expect(existsSync(join(outbox, 'sent', 'b.csv'))).toBe(true)
  const third = watch(world, '--once', '--exec', command)
  expect((await third.ended).code).toBe(0)
  expect(commandsOf(third)).toEqual([])
})

test('a watcher that is stopped during its command ends it, and runs it again at its next start', async () => {
  const world = await joined()
  await world.receiver('bob')
  const { command, events } = noting(world)
  const outbox = world.path('outbox')
  await mkdir(outbox)
  await writeFile(join(outbox, 'a.csv'), 'rows')
  const first = watch(world, '--exec', `${command}; sleep 1000`)
  await until(() => events().length === 1, 'the command runs')
  const { code, stderr } = await first.stop('SIGTERM')
  expect([code, stderr]).toEqual([0, ''])
  const again = watch(world, '--once', '--exec', command)
  expect((await again.ended).code).toBe(0)
  expect(events().map(({ event }) => event)).toEqual(['stored', 'stored', 'delivered'])
})
