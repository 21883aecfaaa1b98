/** The machine interferes with a command: its output is not read, a port is taken, a folder cannot be written to. */
import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { World } from '../harness/world.ts'

/** Runs a command with its standard output, or its standard error, on a full disk. */
const fullStdout = ['sh', '-c', 'exec "$0" "$@" >/dev/full']
const fullStderr = ['sh', '-c', 'exec "$0" "$@" 2>/dev/full']
const fullBoth = ['sh', '-c', 'exec "$0" "$@" >/dev/full 2>/dev/full']

test.each([
  ['lines', []],
  ['JSON', ['--json']],
])('a send whose %s cannot be written does its work and ends with its usual exit code', async (_what, args) => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('a.bin', 3_000_000)
  const send = ['send', path, '--to', 'bob', '--profile', 'alice', ...args]
  for (const wrapper of [fullStdout, fullBoth]) {
    expect(await world.start([...send, '--wait', '1s'], { wrapper }).ended).toMatchObject({ code: 6 })
  }
  const client = await world.client('alice')
  expect((await client.transfers()).transfers).toMatchObject([{ state: 'stored' }])

  await world.receiver('bob')
  // The work is done and the result could not be printed. That has an exit code of its own.
  expect(await world.start(send, { wrapper: fullStdout }).ended).toMatchObject({ code: 7 })
  expect(await world.received('bob')).toEqual(['a.bin'])
})

test('a send whose reader goes away does its work and ends with its usual exit code', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('a.bin', 3_000_000)
  const send = ['send', path, '--to', 'bob', '--profile', 'alice', '--json', '--wait', '1s']
  const wrapper = ['sh', '-c', '{ "$0" "$@"; echo "$?" >&2; } | head -1']
  const { stderr } = await world.start(send, { wrapper }).ended
  expect(stderr.trim()).toBe('6')
})

test('a portal whose log cannot be written continues to serve, and stops when it is told to', async () => {
  await using world = await World.create()
  const portal = await world.portal(['--log-level', 'info'], { wrapper: fullStderr })
  await world.join(['alice', 'bob'])
  const bob = await world.receiver('bob', ['--once'])
  const sending = world.send(await world.file('a.bin', 100_000), 'bob')
  expect(await sending.ended).toMatchObject({ code: 0 })
  expect(await bob.ended).toMatchObject({ code: 0 })
  expect(await portal.stop('SIGTERM')).toMatchObject({ code: 0 })
})

test('an address that is taken, and paths that are no folders, are reported plainly', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  await writeFile(world.path('a.txt'), 'a')
  const taken = world.portalUrl.replace('http://', '')
  const inFile = world.path('a.txt', 'folder')
  const cases: readonly (readonly [args: string[], env: Record<string, string>, message: RegExp])[] = [
    [['portal', '--listen', taken, '--data', 'other'], {}, new RegExp(`${taken} is in use[\\s\\S]*--listen`)],
    [['portal', '--listen', '192.0.2.1:0', '--data', 'other'], {}, /no address 192\.0\.2\.1[\s\S]*--listen/],
    [['portal', '--listen', '127.0.0.1:0', '--data', inFile], {}, /a\.txt\/folder[\s\S]*not a folder[\s\S]*--data/],
    [['invite', 'carol', '--data', inFile], {}, /a\.txt\/folder[\s\S]*not a folder/],
    [
      ['send', 'a.txt', '--to', 'bob', '--profile', 'alice'],
      { XDG_STATE_HOME: inFile },
      /a\.txt\/folder[\s\S]*not a folder[\s\S]*XDG_STATE_HOME/,
    ],
    [['status'], { XDG_CONFIG_HOME: inFile }, /a\.txt\/folder[\s\S]*not a folder[\s\S]*XDG_CONFIG_HOME/],
  ]
  for (const [args, env, message] of cases) {
    const { code, stderr } = await world.start(args, { env }).ended
    expect(stderr, args.join(' ')).toMatch(message)
    expect(stderr, args.join(' ')).not.toMatch(/this is a bug|\n\s+at /)
    expect(code, args.join(' ')).toBe(2)
  }
})
