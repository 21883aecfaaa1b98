/** `golooader service` and `golooader logs` under a real systemd, as its user sees them. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import { UserManager } from '../../servers/user-manager.ts'
import { type Ended, until, World } from '../harness/world.ts'

/** A world whose user has a systemd manager. */
class ServiceWorld {
  readonly world: World
  readonly manager: UserManager

  private constructor(world: World, manager: UserManager) {
    this.world = world
    this.manager = manager
  }

  static async create(): Promise<ServiceWorld> {
    const world = await World.create()
    const manager = await UserManager.start(world.folder)
    onTestFinished(() => manager[Symbol.asyncDispose]())
    return new ServiceWorld(world, manager)
  }

  start(...args: string[]) {
    return this.world.start(args, { wrapper: this.manager.wrapper, env: this.manager.env })
  }

  /** Runs a command to its end, whose exit code is expected. */
  async run(code: number, ...args: string[]): Promise<Ended> {
    const ended = await this.start(...args).ended
    expect(ended.code, `${args.join(' ')}\n${ended.stdout}\n${ended.stderr}`).toBe(code)
    return ended
  }

  async status(name: string): Promise<Record<string, unknown>> {
    const { stdout } = await this.start('service', 'status', name, '--json').ended
    return JSON.parse(stdout)
  }

  unitPath(name: string): string {
    return this.world.path('.config/systemd/user', `golooader-${name}.service`)
  }

  /** Runs systemctl of that user. */
  systemctl(...args: string[]): string {
    const [program = '', ...rest] = [...this.manager.wrapper, 'systemctl', '--user', ...args]
    return execFileSync(program, rest, {
      encoding: 'utf8',
      cwd: this.world.folder,
      env: { PATH: process.env.PATH, ...this.manager.env },
    })
  }
}

test('a receiver is installed as a service, receives, is started again, and is removed', async () => {
  const services = await ServiceWorld.create()
  const { world } = services
  await world.portal()
  await world.join(['alice', 'bob'])
  const flags = ['--into', 'in', '--profile', 'bob']
  const missing = await services.run(2, 'service', 'install', 'receive', ...flags)
  expect(missing.stderr).toContain('--create')

  const made = await services.run(0, 'service', 'install', 'receive', ...flags, '--create')
  expect(made.stdout).toContain('✔ receive: installed, runs: golooader receive --into in --profile bob\n')
  expect(made.stdout).toMatch(/✔ receive: running since .*: connected to 127\.0\.0\.1:\d+: 0 received/)
  expect(made.stderr).toContain('loginctl enable-linger')

  const sent = await world.send(await world.file('a.bin', 100_000), 'bob').ended
  expect(sent.code, sent.stderr).toBe(0)
  expect(readFileSync(world.path('in/a.bin'))).toEqual(readFileSync(world.path('files/a.bin')))
  await until(
    async () => String((await services.status('receive')).says).includes('1 received, the last one at'),
    'says',
  )
  const logs = await services.run(0, 'logs', 'receive')
  expect(logs.stdout).toMatch(/connected, waiting for files into in\n/)
  expect(logs.stdout).toMatch(/✔ a\.bin from alice, signed: received as in\/a\.bin\n/)

  const { pid } = await services.status('receive')
  services.systemctl('kill', '--signal=KILL', 'golooader-receive')
  await until(async () => {
    const status = await services.status('receive')
    return status.state === 'running' && status.pid !== pid
  }, 'it is started again')
  const list = await services.run(0, 'service')
  expect(list.stdout).toMatch(/✔ receive: running since .*, started again 1 time: connected/)
  expect(list.stdout).toContain('\n  golooader receive --into in --profile bob\n')

  await services.run(0, 'service', 'stop', 'receive')
  expect(await services.status('receive')).toMatchObject({ state: 'stopped', pid: null })
  await services.run(3, 'service', 'status', 'receive')
  await services.run(0, 'service', 'start', 'receive')
  await services.run(0, 'service', 'restart', 'receive')

  const other = await services.run(2, 'service', 'install', 'receive', ...flags, '--from', 'alice')
  expect(other.stderr).toContain('runs another command')
  await services.run(0, 'service', 'install', 'receive', ...flags)

  const removed = await services.run(0, 'service', 'remove', 'receive')
  expect(removed.stdout).toContain(services.unitPath('receive'))
  expect(existsSync(services.unitPath('receive'))).toBe(false)
  expect(services.systemctl('list-units', '--all', '--no-legend', 'golooader-*').trim()).toBe('')
  const gone = await services.run(2, 'logs', 'receive')
  expect(gone.stderr).toContain('there is no service receive; none is installed')
})

test('a service whose process hangs is killed and started again', async () => {
  const services = await ServiceWorld.create()
  await services.run(0, 'service', 'install', 'portal', '--listen', '127.0.0.1:0')
  expect(String((await services.status('portal')).says)).toMatch(/^listening on http:\/\/127\.0\.0\.1:\d+$/)
  await mkdir(`${services.unitPath('portal')}.d`)
  await writeFile(`${services.unitPath('portal')}.d/fast.conf`, '[Service]\nWatchdogSec=3s\nRestartSec=100ms\n')
  services.systemctl('daemon-reload')
  await services.run(0, 'service', 'restart', 'portal')
  const { pid } = await services.status('portal')
  // It is watched, and lives: three times the time without a restart.
  const since = performance.now()
  await until(async () => {
    expect(await services.status('portal')).toMatchObject({ pid, restarts: 0 })
    return performance.now() - since > 9_000
  }, 'three watchdog times')
  services.systemctl('kill', '--signal=STOP', 'golooader-portal')
  await until(async () => (await services.status('portal')).restarts === 1, 'it is started again')
  expect((await services.run(0, 'service', 'list')).stdout).toContain('started again 1 time')
})

test('a receiver waits for a portal that is away, and the service says so', async () => {
  const services = await ServiceWorld.create()
  const { world } = services
  const portal = await world.portal()
  await world.join(['bob'])
  await portal.stop()
  const made = await services.run(0, 'service', 'install', 'receive', '--into', 'in', '--create')
  expect(made.stdout).toMatch(/… receive: starting since .*: 127\.0\.0\.1:\d+ does not answer/)
  await services.run(3, 'service', 'status', 'receive')
  await world.portal()
  await until(async () => (await services.status('receive')).state === 'running', 'it is ready')
})

test('a service that fails at its start shows why, with the end of its log', async () => {
  const services = await ServiceWorld.create()
  const made = await services.run(3, 'service', 'install', 'portal', '--listen', '127.0.0.1:1', '--data', '/proc/no')
  expect(made.stdout).toMatch(/✘ portal: ended by itself, and is started again/)
  expect(made.stdout).toMatch(/\n {2}\S+ \S+ golooader?.*\/proc\/no|\/proc\/no/)
  expect(made.stdout).toContain('golooader logs portal')
})

test('mistakes in the command line of a service are found before anything is installed', async () => {
  const services = await ServiceWorld.create()
  const { world } = services
  await world.portal()
  await world.join(['bob'])
  const mistakes: readonly (readonly [said: string, ...args: string[]])[] = [
    ["required option '--into <dir>' not specified", 'receive'],
    ["unknown option '--onto'", 'receive', '--onto', 'in'],
    ['leave out --once', 'receive', '--into', 'in', '--create', '--once'],
    ['a link is received once', 'receive', 'https://portal.example/g#glg_x', '--into', 'in'],
    ['no profile', 'receive', '--into', 'in', '--create', '--profile', 'carol'],
    ['Give HOST:PORT', 'portal', '--listen', '7878'],
    ["unknown command 'send'", 'send', 'a.bin'],
    ['lower-case letters', '--name', 'A/B', 'portal'],
  ]
  for (const [said, ...args] of mistakes) {
    const { stderr } = await services.run(2, 'service', 'install', ...args)
    expect(stderr).toContain(said)
  }
  expect((await services.run(0, 'service', 'list')).stdout).toMatch(/^no services/)
})

test('a unit keeps arguments, settings and the folder as they are, readable for its user alone', async () => {
  const services = await ServiceWorld.create()
  const { world } = services
  await world.portal()
  await world.join(['bob'])
  const folder = `in %n $HOME "two" it's \\n`
  world.env.GOLOOADER_FROM = 'alice'
  world.env.PGPASSWORD = 'no setting of a receiver'
  await services.run(0, 'service', 'install', '--name', 'odd', 'receive', '--into', folder, '--create')
  expect(existsSync(world.path(folder, '.golooader'))).toBe(true)
  const unit = readFileSync(services.unitPath('odd'), 'utf8')
  expect(unit).toContain('GOLOOADER_FROM=alice')
  expect(unit).not.toMatch(/PGPASSWORD|--create/)
  expect(statSync(services.unitPath('odd')).mode & 0o777).toBe(0o600)
  const { pid, args } = await services.status('odd')
  expect(args).toEqual(['receive', '--into', folder])
  const [program = '', ...rest] = [...services.manager.wrapper, 'cat', `/proc/${pid}/cmdline`]
  const words = execFileSync(program, rest, { encoding: 'utf8', cwd: world.folder }).split('\0')
  expect(words).toContain(folder)
})

test('the commands of services report lost output', async () => {
  const services = await ServiceWorld.create()
  const full = [...services.manager.wrapper, 'sh', '-c', 'exec "$0" "$@" >/dev/full']
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
    const { code, stderr } = await services.world.start(words, { wrapper: full, env: services.manager.env }).ended
    expect(stderr, words.join(' ')).toContain('standard output cannot be written (ENOSPC')
    expect(code, `${words.join(' ')}: ${stderr}`).toBe(7)
  }
})
