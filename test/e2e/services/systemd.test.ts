/** `golooader service` and `golooader logs` under a real systemd, as its user sees them. */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Machine } from '../../servers/machine.ts'
import { until, World } from '../harness/world.ts'

test('a receiver is installed as a service, receives, is started again, and is removed', async () => {
  const world = await World.create()
  const machine = await Machine.start(world, world.path('bob'))
  await world.portal()
  await world.join(['alice'])
  await machine.join('bob')
  const flags = ['--into', 'in', '--profile', 'bob']
  const missing = await machine.run(2, 'service', 'install', 'receive', ...flags)
  expect(missing.stderr).toContain('--create')

  const made = await machine.run(0, 'service', 'install', 'receive', ...flags, '--create')
  expect(made.stdout).toContain('✔ receive: installed, runs: golooader receive --into in --profile bob\n')
  expect(made.stdout).toMatch(/✔ receive: running since .*: connected to 127\.0\.0\.1:\d+: 0 received/)
  expect(made.stderr).toContain('loginctl enable-linger')

  const sent = await world.send(await world.file('a.bin', 100_000), 'bob').ended
  expect(sent.code, sent.stderr).toBe(0)
  expect(readFileSync(machine.path('in/a.bin'))).toEqual(readFileSync(world.path('files/a.bin')))
  await until(
    async () => String((await machine.status('receive')).says).includes('1 received, the last one at'),
    'says',
  )
  const logs = await machine.run(0, 'logs', 'receive')
  expect(logs.stdout).toMatch(/connected, waiting for files into in\n/)
  expect(logs.stdout).toMatch(/✔ a\.bin from alice, signed: received as in\/a\.bin\n/)

  const { pid } = await machine.status('receive')
  await machine.systemctl('kill', '--signal=KILL', 'golooader-receive')
  await until(async () => {
    const status = await machine.status('receive')
    return status.state === 'running' && status.pid !== pid
  }, 'it is started again')
  const list = await machine.run(0, 'service')
  expect(list.stdout).toMatch(/✔ receive: running since .*, started again 1 time: connected/)
  expect(list.stdout).toContain('\n  golooader receive --into in --profile bob\n')

  await machine.run(0, 'service', 'stop', 'receive')
  expect(await machine.status('receive')).toMatchObject({ state: 'stopped', pid: null })
  await machine.run(3, 'service', 'status', 'receive')
  await machine.run(0, 'service', 'start', 'receive')
  await machine.run(0, 'service', 'restart', 'receive')

  const other = await machine.run(2, 'service', 'install', 'receive', ...flags, '--from', 'alice')
  expect(other.stderr).toContain('runs another command')
  await machine.run(0, 'service', 'install', 'receive', ...flags)

  const removed = await machine.run(0, 'service', 'remove', 'receive')
  expect(removed.stdout).toContain(machine.unitPath('receive'))
  expect(existsSync(machine.unitPath('receive'))).toBe(false)
  expect((await machine.systemctl('list-units', '--all', '--no-legend', 'golooader-*')).trim()).toBe('')
  const gone = await machine.run(2, 'logs', 'receive')
  expect(gone.stderr).toContain('there is no service receive; none is installed')
})

test('a drop folder is watched by a service, which says how many are delivered and on the way', async () => {
  const world = await World.create()
  const machine = await Machine.start(world, world.path('alice'))
  const portal = await world.portal()
  await world.join(['bob'])
  await machine.join('alice')
  const args = ['service', 'install', 'watch', 'out', '--to', 'bob', '--settle', '100ms']
  expect((await machine.run(2, ...args)).stderr).toContain('--create')
  expect((await machine.run(2, ...args, '--create', '--once')).stderr).toContain('leave out --once')
  const made = await machine.run(0, ...args, '--create')
  expect(made.stdout).toContain('✔ watch: installed, runs: golooader watch out --to bob --settle 100ms\n')
  // The same command again is no mistake: the folder is its own.
  await machine.run(0, ...args)
  const says = async (text: string): Promise<void> =>
    until(async () => String((await machine.status('watch')).says).includes(text), text)

  writeFileSync(machine.path('out/a.txt'), 'a')
  await says(': 0 delivered, 1 on the way')
  await world.receiver('bob')
  await says(': 1 delivered, 0 on the way')
  expect(existsSync(machine.path('out/sent/a.txt.receipt.json'))).toBe(true)
  await portal.stop()
  writeFileSync(machine.path('out/b.txt'), 'b')
  await says(' does not answer')
  // It owns the folder, and takes files meanwhile.
  expect(await machine.status('watch')).toMatchObject({ state: 'running' })
  await world.portal()
  await says(': 2 delivered, 0 on the way')
})

test('the status of a service says how many commands of --exec failed', async () => {
  const world = await World.create()
  const machine = await Machine.start(world, world.path('bob'))
  await world.portal()
  await machine.join('bob')
  const install = (...args: string[]) => machine.run(0, 'service', 'install', ...args, '--create', '--exec', 'exit 3')
  await install('receive', '--into', 'in')
  await install('watch', 'out', '--to', 'bob', '--settle', '100ms')
  const says = async (name: string, text: string): Promise<void> =>
    until(async () => String((await machine.status(name)).says).endsWith(text), text)
  writeFileSync(machine.path('out/a.txt'), 'a')
  await says('receive', ', 1 command failed')
  // Of a file that is sent it runs twice: for `stored`, and for `delivered`.
  await says('watch', ': 1 delivered, 0 on the way, 2 commands failed')
})

test('a service whose process hangs is killed and started again', async () => {
  const machine = await Machine.start(await World.create())
  await machine.run(0, 'service', 'install', 'portal', '--listen', '127.0.0.1:0')
  expect(String((await machine.status('portal')).says)).toMatch(/^listening on http:\/\/127\.0\.0\.1:\d+$/)
  await machine.adjust('portal', 'WatchdogSec=3s\nRestartSec=100ms')
  await machine.run(0, 'service', 'restart', 'portal')
  const { pid } = await machine.status('portal')
  // It is watched, and lives: three times the time without a restart.
  const since = performance.now()
  await until(async () => {
    expect(await machine.status('portal')).toMatchObject({ pid, restarts: 0 })
    return performance.now() - since > 9_000
  }, 'three watchdog times')
  await machine.systemctl('kill', '--signal=STOP', 'golooader-portal')
  await until(async () => (await machine.status('portal')).restarts === 1, 'it is started again')
  expect((await machine.run(0, 'service', 'list')).stdout).toContain('started again 1 time')
})

test('after a loss of power the services start with the machine', async () => {
  const world = await World.create()
  const machine = await Machine.start(world, world.path('bob'))
  await world.portal()
  await world.join(['alice'])
  await machine.join('bob')
  await machine.run(0, 'service', 'install', 'receive', '--into', 'in', '--create')
  await machine.reboot()
  const sent = await world.send(await world.file('a.bin', 100_000), 'bob').ended
  expect(sent.code, sent.stderr).toBe(0)
  expect(existsSync(machine.path('in/a.bin'))).toBe(true)
})

test('a receiver waits for a portal that is away, and the service says so', async () => {
  const world = await World.create()
  const machine = await Machine.start(world, world.path('bob'))
  const portal = await world.portal()
  await machine.join('bob')
  await portal.stop()
  const made = await machine.run(0, 'service', 'install', 'receive', '--into', 'in', '--create')
  expect(made.stdout).toMatch(/… receive: starting since .*: 127\.0\.0\.1:\d+ does not answer/)
  await machine.run(3, 'service', 'status', 'receive')
  await world.portal()
  await until(async () => (await machine.status('receive')).state === 'running', 'it is ready')
})

test('a service that fails at its start shows why, with the end of its log', async () => {
  const machine = await Machine.start(await World.create())
  const made = await machine.run(3, 'service', 'install', 'portal', '--listen', '127.0.0.1:1', '--data', '/proc/no')
  expect(made.stdout).toMatch(/✘ portal: ended by itself, and is started again/)
  expect(made.stdout).toMatch(/\n {2}\S+ \S+ golooader?.*\/proc\/no|\/proc\/no/)
  expect(made.stdout).toContain('golooader logs portal')
})

test('a user without a service manager is told what is missing', async () => {
  const world = await World.create()
  const { code, stderr } = await world.start(['service'], { env: { XDG_RUNTIME_DIR: world.path('none') } }).ended
  expect(code).toBe(2)
  expect(stderr).toMatch(/this user has no running systemd manager[\s\S]*loginctl enable-linger/)
})

test('mistakes in the command line of a service are found before anything is installed', async () => {
  const world = await World.create()
  const machine = await Machine.start(world, world.path('bob'))
  await world.portal()
  await machine.join('bob')
  const mistakes: readonly (readonly [said: string, ...args: string[]])[] = [
    ["required option '--into <dir>' not specified", 'receive'],
    ["unknown option '--onto'", 'receive', '--onto', 'in'],
    ['leave out --once', 'receive', '--into', 'in', '--create', '--once'],
    ['--exec-before-answer needs a command', 'receive', '--into', 'in', '--create', '--exec-before-answer'],
    ['a link is received once', 'receive', 'https://portal.example/g#glg_x', '--into', 'in'],
    ['leave --wait and --answer-timeout out', 'watch', 'out', '--to', 'bob', '--create', '--wait', '10m'],
    ['--exec-timeout needs a command', 'watch', 'out', '--to', 'bob', '--create', '--exec-timeout', '10m'],
    ['no profile', 'receive', '--into', 'in', '--create', '--profile', 'carol'],
    ['--tls-cert and --tls-key belong together', 'portal', '--tls-cert', 'a.pem'],
    ['Give HOST:PORT', 'portal', '--listen', '7878'],
    ["unknown command 'send'", 'send', 'a.bin'],
    ['lower-case letters', '--name', 'A/B', 'portal'],
  ]
  for (const [said, ...args] of mistakes) {
    const { stderr } = await machine.run(2, 'service', 'install', ...args)
    expect(stderr).toContain(said)
  }
  expect((await machine.run(0, 'service', 'list')).stdout).toMatch(/^no services/)
})

test('a unit keeps arguments, settings and the folder as they are, readable for its user alone', async () => {
  const world = await World.create()
  const machine = await Machine.start(world, world.path('bob'))
  await world.portal()
  await machine.join('bob')
  const folder = `in %n $HOME "two" it's \\n`
  world.env.GOLOOADER_FROM = 'alice'
  world.env.PGPASSWORD = 'no setting of a receiver'
  await machine.run(0, 'service', 'install', 'receive', '--into', folder, '--create', '--name', 'odd')
  expect(existsSync(machine.path(folder, '.golooader'))).toBe(true)
  const unit = readFileSync(machine.unitPath('odd'), 'utf8')
  expect(unit).toContain('GOLOOADER_FROM=alice')
  expect(unit).not.toMatch(/PGPASSWORD|--create/)
  expect(statSync(machine.unitPath('odd')).mode & 0o777).toBe(0o600)
  const { pid, args } = await machine.status('odd')
  expect(args).toEqual(['receive', '--into', folder])
  const words = (await machine.shell(`cat /proc/${pid}/cmdline`)).split('\0')
  expect(words).toContain(folder)
})

test('the same command in another folder is another service, and a program that was moved is named', async () => {
  const machine = await Machine.start(await World.create())
  const args = ['portal', '--listen', '127.0.0.1:0']
  await machine.run(0, 'service', 'install', ...args)
  const other = machine.path('other \\')
  mkdirSync(other)
  const there = ['sh', '-c', `cd '${other}' && exec "$0" "$@"`]
  const refused = await machine.start(['service', 'install', ...args], there).ended
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('runs this command in another folder: ') })
  const made = await machine.start(['service', 'install', '--name', 'other', ...args], there).ended
  expect(made.code, made.stderr).toBe(0)
  const { pid } = await machine.status('other')
  expect((await machine.shell(`readlink /proc/${pid}/cwd`)).trim()).toBe(other)

  // An update has moved Node.
  const unit = machine.unitPath('portal')
  writeFileSync(unit, readFileSync(unit, 'utf8').replaceAll(process.execPath, '/opt/node-24.0/bin/node'))
  await machine.systemctl('daemon-reload')
  const gone = await machine.run(3, 'service', 'restart', 'portal')
  expect(gone.stdout).toContain('/opt/node-24.0/bin/node is not there any more: an update has moved it')
  const again = /\n {2}cd (\S+) && golooader (service install portal .*)\n/.exec(gone.stdout)
  expect(again?.[1]).toBe(machine.path())
  expect((await machine.run(0, 'service', 'list')).stdout).toContain('Install the service again')
  expect((await machine.run(3, 'service', 'status', 'portal')).stdout).toContain('Install the service again')
  await machine.run(0, ...String(again?.[2]).split(' '))
  expect(await machine.status('portal')).toMatchObject({ state: 'running' })
})

test('the commands of services report lost output', async () => {
  const machine = await Machine.start(await World.create())
  const full = ['sh', '-c', 'exec "$0" "$@" >/dev/full']
  const commands = [
    ['install', 'portal', '--listen', '127.0.0.1:0'],
    ['list'],
    ['status', 'portal'],
    ['restart', 'portal'],
    ['stop', 'portal'],
    ['start', 'portal'],
    ['logs', 'portal'],
    ['remove', 'portal'],
  ]
  for (const args of commands) {
    const words = args[0] === 'logs' ? args : ['service', ...args]
    const { code, stderr } = await machine.start(words, full).ended
    expect(stderr, words.join(' ')).toContain('standard output cannot be written (ENOSPC')
    expect(code, `${words.join(' ')}: ${stderr}`).toBe(7)
  }
})
