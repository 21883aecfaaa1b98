/**
 * The output of a command is lost: the disk is full, the device fails, or the reader has closed the pipe. Only the last
 * is no error.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Command } from 'commander'
import { expect, onTestFinished, test } from 'vitest'
import { commandLine } from '../../../src/cli/main.ts'
import { type Ended, World } from '../harness/world.ts'

/** Every write fails at once with ENOSPC or EIO: no process may write at address 0 of its memory. */
const full = ['sh', '-c', 'exec "$0" "$@" >/dev/full']
const broken = ['sh', '-c', 'exec 3>/proc/self/mem; "$0" "$@" >&3']

/** Commands that do something themselves, besides what their subcommands do. */
const hasAction = ['contacts', 'request']

/** Commands that need a service manager: `test/e2e/services/` has their tests. */
const needManager = ['service', 'logs']

function leavesOf(command: Command, path: readonly string[] = []): string[] {
  if (path.length === 1 && needManager.includes(path[0] ?? '')) return []
  const own =
    path.length > 0 && (command.commands.length === 0 || hasAction.includes(path.at(-1) ?? '')) ? [path.join(' ')] : []
  return [...own, ...command.commands.flatMap((one) => leavesOf(one, [...path, one.name()]))]
}

/** Arguments for a folder whose ledger has been moved: the command only says so. */
async function movedBefore(world: World): Promise<readonly string[]> {
  const [folder, to] = [world.path('moved'), 'postgres://db.example/x']
  await mkdir(folder)
  await writeFile(`${folder}/ledger.sqlite`, '')
  const mark = { state: 'moved', ledgerId: '', to: { ledger: to, parts: folder }, at: '' }
  await writeFile(`${folder}/moved.json`, JSON.stringify(mark))
  return ['--data', folder, '--database', to]
}

/** A profile in a file of an account that this machine does not have, and profiles of accounts to be renamed and removed. */
async function exportedProfile(world: World): Promise<{ exported: string; secret: readonly string[] }> {
  await world.join(['erik', 'renamed', 'removed'])
  const exported = world.path('erik.glp')
  await writeFile(world.path('passphrase'), 'correct horse battery')
  const secret = ['--passphrase-file', world.path('passphrase')]
  const { code, stderr } = await world.run('profile', 'export', 'erik', '--out', exported, ...secret)
  expect(code, stderr).toBe(0)
  await world.run('profile', 'remove', 'erik', '--yes')
  return { exported, secret }
}

function expectLost({ code, stderr }: Ended, what: string, code_ = 7): void {
  expect(stderr, what).toMatch(/cannot be written \((?:ENOSPC|EIO)|could not be written \((?:ENOSPC|EIO)/)
  expect(stderr, what).not.toMatch(/this is a bug|\n\s+at /)
  expect(code, `${what}: ${stderr}`).toBe(code_)
}

test('every command whose output is lost ends with exit code 7 and says so', async () => {
  await using world = await World.create()
  const hooks = createServer((request, response) => void request.resume().on('end', () => response.end()))
  await new Promise<void>((resolve) => hooks.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void hooks.close())
  const hookUrl = `http://127.0.0.1:${(hooks.address() as AddressInfo).port}/`
  await world.portal(['--guests', '--webhook-networks', '127.0.0.1'])
  await world.join(['alice', 'bob', 'carol'])
  const [alice, data] = [
    ['--profile', 'alice'],
    ['--data', world.dataFolder],
  ]
  const bob = await world.receiver('bob')
  const path = await world.file('a.bin', 10_000)
  const delivered = await world.send(path, 'bob').ended
  expect(delivered.code, delivered.stderr).toBe(0)
  await bob.stop()
  const waiting = await world.send(path, 'carol', '--no-wait').notification('stored')
  const done = JSON.parse(delivered.stdout.split('\n').find((line) => line.includes('"delivered"')) ?? '')
  const id = String(done.transferId)
  expect((await world.run('receipt', id, '--out', world.path('a.receipt'), ...alice)).code).toBe(0)
  const link = (await world.run('invite', 'dave', ...data)).stdout.trim()
  const requestId = JSON.parse((await world.run('request', '--from-anybody', '--json', ...alice)).stdout).requestId
  const hook = await world.run('webhook', 'add', hookUrl, '--json', ...alice)
  const { webhookId } = JSON.parse(hook.stdout)
  const fingerprint = JSON.parse((await world.run('whoami', '--json', '--profile', 'bob')).stdout).fingerprint

  const { exported, secret } = await exportedProfile(world)

  const commands: Readonly<Record<string, readonly string[]>> = {
    invite: ['erin', ...data],
    'accounts list': data,
    'accounts rotate': ['carol', ...data],
    'accounts operator': ['carol', ...data],
    'accounts move': await movedBefore(world),
    join: [link],
    send: [path, '--to', 'bob', '--no-wait', ...alice],
    receive: ['--into', world.inbox('late'), '--create', '--once', '--profile', 'bob'],
    watch: [world.path('outbox'), '--create', '--once', '--to', 'bob', ...alice],
    status: alice,
    cancel: [String(waiting.transferId), ...alice],
    receipt: [id, ...alice],
    verify: [path, '--receipt', world.path('a.receipt')],
    contacts: alice,
    request: alice,
    'request close': [requestId, ...alice],
    'webhook list': alice,
    'webhook add': [hookUrl, ...alice],
    'webhook log': [webhookId, ...alice],
    'webhook test': [webhookId, ...alice],
    'webhook remove': [webhookId, ...alice],
    'contacts trust': ['bob', fingerprint, ...alice],
    whoami: alice,
    'profile list': [],
    'profile show': ['alice'],
    'profile export': ['alice', '--out', world.path('alice.glp'), ...secret],
    'profile import': [exported, '--as', 'frank', ...secret],
    'profile rename': ['renamed', 'again'],
    'profile address': ['alice', world.portalUrl],
    'profile remove': ['removed', '--yes'],
    doctor: alice,
    'accounts revoke': ['carol', ...data],
    demo: [path],
    completion: ['bash'],
  }
  for (const [command, args] of Object.entries(commands)) {
    expectLost(await world.start([...command.split(' '), ...args], { wrapper: full }).ended, command)
  }
  const portal = world.start(['portal', '--listen', '127.0.0.1:0', '--data', 'other'], { wrapper: full })
  await expect.poll(() => portal.stderr, { timeout: 90_000 }).toContain('cannot be written')
  expectLost(await portal.stop('SIGTERM'), 'portal')
  expect([...Object.keys(commands), 'portal'].sort()).toEqual(leavesOf(await commandLine()).sort())
  for (const args of [['--help'], ['--version'], ['send', '--help']]) {
    expectLost(await world.start(args, { wrapper: full }).ended, args.join(' '))
  }
  // The commands did their work. Only the output is lost.
  expect(await world.received('late')).toEqual(['a.bin'])
  expect((await world.run('status', '--profile', 'dave')).code).toBe(0)
})

test('a device that fails, and a disk with room for a part of the output, count as lost output', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'])
  // A disk of one page with a few free bytes: they hold the beginning of a line and not the rest.
  const mount = 'mount -t tmpfs -o size=4k,mode=700 tmpfs "$0" && head -c 4090 /dev/zero >"$0/out" && "$@" >>"$0/out"'
  const tmpfs = [
    'unshare',
    '-r',
    '-m',
    'sh',
    '-c',
    `${mount}; code=$?; cp "$0/out" "$0.out"; exit $code`,
    world.path('small'),
  ]
  await mkdir(world.path('small'))
  const data = ['--data', world.dataFolder]
  for (const wrapper of [broken, tmpfs]) {
    for (const args of [
      ['accounts', '--json', ...data],
      ['whoami', '--json'],
      ['invite', 'bob', ...data],
    ]) {
      const ended = await world.start(args, { wrapper }).ended
      expectLost(ended, args.join(' '))
      // A lost link is reported, with the command that creates another one.
      if (args[0] === 'invite') expect(ended.stderr).toContain(`golooader invite bob --data ${world.dataFolder}`)
    }
  }
  const out = await readFile(world.path('small.out'))
  expect(out.length, 'a part of the line was written').toBe(4096)
})

test('a link whose reader has gone is reported as lost; for other output nothing is said', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'])
  const data = ['--data', world.dataFolder]
  for (const [args, code] of [
    [['invite', 'bob', ...data], 7],
    [['accounts', 'rotate', 'alice', ...data], 7],
    [['accounts', 'list', ...data], 0],
    [['--help'], 0],
  ] as const) {
    const running = world.start(args)
    running.child.stdout?.destroy()
    const ended = await running.ended
    expect(ended.code, ended.stderr).toBe(code)
    if (code === 0) expect(ended.stderr).toBe('')
    else expect(ended.stderr).toMatch(/the link could not be written \(.*EPIPE.*\): it is lost[\s\S]*golooader/)
  }
})

test('lost output does not hide other messages of a command', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  await writeFile(world.path('a.txt'), 'a')
  const send = ['send', 'a.txt', '--to', 'bob', '--profile', 'alice', '--wait', '1s']
  expectLost(await world.start(send, { wrapper: full }).ended, 'send --wait', 6)
})

test('a link that is written to a closed output or to the null device is reported as lost', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'])
  for (const redirect of ['>&-', '>/dev/null']) {
    const wrapper = ['sh', '-c', `exec "$0" "$@" ${redirect}`]
    for (const args of [
      ['invite', 'bob'],
      ['accounts', 'rotate', 'alice'],
    ]) {
      const { code, stderr } = await world.start([...args, '--data', world.dataFolder], { wrapper }).ended
      expect(stderr).toMatch(/the link could not be written \(it is closed, or \/dev\/null\): it is lost/)
      expect(code, stderr).toBe(7)
    }
  }
})
