/** Services under the systemd manager of this user. systemctl(1), org.freedesktop.systemd1(5) */
import { existsSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { replaceFile } from '../../fs/index.ts'
import { UsageError } from '../exit.ts'
import type { ServiceDefinition } from './definition.ts'
import { servicesIn } from './installed.ts'
import type { ServiceManager, ServiceState, ServiceStatus } from './manager.ts'
import { run, runWell } from './run.ts'
import { commandOfUnit, serviceOf, unitOf, unitText } from './systemd-unit.ts'

/** Who may read the unit: its settings may be secrets. */
const OWNER_ONLY = 0o600
const LINGER_FOLDER = '/var/lib/systemd/linger'

export function systemd(): ServiceManager {
  return {
    textOf: unitText,
    install,
    list: async () => servicesIn(await unitFolder(), serviceOf, commandOfUnit),
    status,
    start: (name) => control('start', name),
    stop: (name) => control('stop', name),
    restart: (name) => control('restart', name),
    remove,
    logCommand: (name, { isFollowing, lines }) => [
      'journalctl',
      `--user-unit=${unitOf(name)}`,
      `--lines=${lines}`,
      '--output=short-iso',
      '--no-pager',
      '--quiet',
      ...(isFollowing ? ['--follow'] : []),
    ],
    advice,
  }
}

async function install(service: ServiceDefinition): Promise<void> {
  const folder = await unitFolder()
  await mkdir(folder, { recursive: true })
  await replaceFile(join(folder, unitOf(service.name)), unitText(service), { mode: OWNER_ONLY })
  await systemctl('daemon-reload')
  await systemctl('enable', unitOf(service.name))
  await control('restart', service.name)
}

async function remove(name: string): Promise<void> {
  const path = join(await unitFolder(), unitOf(name))
  await systemctl('disable', '--now', unitOf(name))
  await rm(path)
  await systemctl('daemon-reload')
  // Otherwise the manager would remember a failure of what is gone.
  await run('systemctl', ['--user', 'reset-failed', unitOf(name)], managerEnv())
}

/** A start waits until the service is ready, which may need a portal that is away: it is not waited for. */
async function control(verb: 'start' | 'stop' | 'restart', name: string): Promise<void> {
  await systemctl(verb, ...(verb === 'stop' ? [] : ['--no-block']), unitOf(name))
}

async function status(name: string): Promise<ServiceStatus> {
  const asked = ['ActiveState', 'SubState', 'StatusText', 'NRestarts', 'MainPID', 'StateChangeTimestamp']
  // A timestamp of that form needs systemd 247.
  const text = await systemctl('show', '--timestamp=unix', ...asked.map((one) => `--property=${one}`), unitOf(name))
  const found = new Map(text.split('\n').map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]))
  const [, seconds] = /^@(\d+)$/.exec(found.get('StateChangeTimestamp') ?? '') ?? []
  const pid = Number(found.get('MainPID') ?? 0)
  const restarts = Number(found.get('NRestarts') ?? 0)
  return {
    state: stateOf(found.get('ActiveState') ?? '', found.get('SubState') ?? ''),
    says: found.get('StatusText') ?? '',
    restarts,
    since: seconds === undefined ? null : new Date(Number(seconds) * 1000).toISOString(),
    pid: pid === 0 ? null : pid,
  }
}

function stateOf(active: string, sub: string): ServiceState {
  if (active === 'active' || active === 'reloading') return 'running'
  if (active === 'failed' || sub === 'auto-restart') return 'failing'
  if (active === 'activating') return 'starting'
  return active === 'inactive' || active === 'deactivating' ? 'stopped' : 'unknown'
}

async function advice(): Promise<string | null> {
  const { username } = userInfo()
  if (existsSync(join(LINGER_FOLDER, username))) return null
  return `it starts when ${username} logs in, and ends at the last logout. To run it from boot on: loginctl enable-linger ${username}`
}

/** The folder for units of this user, as the manager knows it: its environment may differ from that of this shell. */
async function unitFolder(): Promise<string> {
  const path = await systemctl('show', '--property=UnitPath', '--value')
  // The first one of the user's own; `user.control` is the manager's.
  const folder = path.split(' ').find((one) => one.endsWith('/systemd/user'))
  if (folder === undefined) throw new UsageError(`the user's systemd names no folder for units: ${path.trim()}`)
  return folder
}

function systemctl(...args: readonly string[]): Promise<string> {
  return runWell('systemctl', ['--user', ...args], managerEnv()).catch((error: unknown) => {
    if (!(error instanceof UsageError) || !/connect to (?:user scope )?bus|XDG_RUNTIME_DIR/.test(error.message))
      throw error
    throw new UsageError(
      `this user has no running systemd manager (${error.message}).\n` +
        'Log in as that user, not by su or sudo, or run: loginctl enable-linger. For services of root: deploy/README.md',
      { cause: error },
    )
  })
}

/** Under su, cron or sudo the address of the manager is missing, though it runs. */
function managerEnv(): NodeJS.ProcessEnv {
  const folder = `/run/user/${process.getuid?.() ?? 0}`
  if (process.env.XDG_RUNTIME_DIR || !existsSync(folder)) return process.env
  return { ...process.env, XDG_RUNTIME_DIR: folder }
}
