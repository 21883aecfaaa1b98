/** Services under launchd, as agents of this user. launchctl(1) */
import { mkdir, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { replaceFile } from '../../fs/index.ts'
import type { ServiceDefinition } from './definition.ts'
import { servicesIn } from './installed.ts'
import { commandOfPlist, labelOf, plistOf, plistText, serviceOfPlist } from './launchd-plist.ts'
import type { ServiceManager, ServiceStatus } from './manager.ts'
import { run, runWell } from './run.ts'

/** Who may read the agent's file and its log: settings may be secrets, and lines name files. */
const OWNER_ONLY = { file: 0o600, folder: 0o700 }

export function launchd(home: string = homedir()): ServiceManager {
  const agents = join(home, 'Library', 'LaunchAgents')
  const logs = join(home, 'Library', 'Logs', 'golooader')
  const domain = `gui/${process.getuid?.() ?? 0}`
  const pathOf = (name: string): string => join(agents, plistOf(name))
  const logOf = (name: string): string => join(logs, `${name}.log`)
  const target = (name: string): string => `${domain}/${labelOf(name)}`
  const isLoaded = async (name: string): Promise<boolean> =>
    (await run('launchctl', ['print', target(name)])).code === 0
  const textOf = (service: ServiceDefinition): string => plistText(service, logOf(service.name))

  // With KeepAlive a stopped agent would start again, so that stopping takes it out of launchd until it is started.
  async function stop(name: string): Promise<void> {
    if (await isLoaded(name)) await runWell('launchctl', ['bootout', target(name)])
  }

  async function start(name: string): Promise<void> {
    if (await isLoaded(name)) await runWell('launchctl', ['kickstart', target(name)])
    else await runWell('launchctl', ['bootstrap', domain, pathOf(name)])
  }

  return {
    textOf,
    start,
    stop,
    install: async (service) => {
      await mkdir(agents, { recursive: true })
      await mkdir(logs, { recursive: true, mode: OWNER_ONLY.folder })
      await stop(service.name)
      await replaceFile(pathOf(service.name), textOf(service), { mode: OWNER_ONLY.file })
      await start(service.name)
    },
    list: () => servicesIn(agents, serviceOfPlist, commandOfPlist),
    status: async (name) => statusIn(await run('launchctl', ['print', target(name)])),
    restart: async (name) => {
      if (await isLoaded(name)) await runWell('launchctl', ['kickstart', '-k', target(name)])
      else await start(name)
    },
    remove: async (name) => {
      await stop(name)
      await rm(pathOf(name))
    },
    logCommand: (name, { isFollowing, lines }) => [
      'tail',
      '-n',
      String(lines),
      ...(isFollowing ? ['-F'] : []),
      logOf(name),
    ],
    advice: async () => 'it starts when you log in, and ends when you log out',
  }
}

/** launchd keeps neither a line of the service nor its number of starts. `launchctl print` is for people, so only two lines are read. */
function statusIn({ code, stdout }: { readonly code: number; readonly stdout: string }): ServiceStatus {
  const [, state] = /^\s*state = (.+)$/m.exec(stdout) ?? []
  const [, pid] = /^\s*pid = (\d+)$/m.exec(stdout) ?? []
  return {
    state: code !== 0 ? 'stopped' : state === 'running' ? 'running' : state === undefined ? 'unknown' : 'failing',
    says: '',
    restarts: null,
    since: null,
    pid: pid === undefined ? null : Number(pid),
  }
}
