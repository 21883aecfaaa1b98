import { existsSync, realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { OutboxFolder } from '../outbox/outbox-folder.ts'
import { Problem } from '../protocol/index.ts'
import { openInbox, requireInbox } from '../receiver/node-inbox.ts'
import { requireExec } from './exec.ts'
import { exitCodes, UsageError } from './exit.ts'
import { flag, jsonOption, openedProfile, option } from './options.ts'
import { print, sayError } from './output.ts'
import { portalCommand, tlsFilesOf } from './portal.ts'
import { type ReceiveFlags, receiveCommand } from './receive.ts'
import {
  keptEnvironment,
  type ServedCommand,
  type ServiceDefinition,
  serviceName,
  shellWords,
} from './service/definition.ts'
import { type InstalledService, type ServiceManager, type ServiceStatus, serviceManager } from './service/manager.ts'
import { localTime, printable } from './text.ts'
import { requireSensible, type WatchFlags, watchCommand } from './watch.ts'

/** How long `install`, `start` and `restart` wait for a service that is not ready yet. It continues without them. */
const READY_WITHIN_MS = 10_000
const LOOK_EVERY_MS = 200
/** Lines of the log that are shown with a service that fails. */
const LAST_LINES = 5

/** A command that can be a service. */
interface Servable {
  readonly add: (program: Command) => void
  /**
   * Checks what the command itself would find out only when it runs.
   *
   * @throws UsageError, and the error that the command would end with
   */
  readonly check: (operands: readonly string[], flags: never) => Promise<void>
  /** Flags that are done now, or make no sense in a service. Their variables are not kept either. */
  readonly dropped: readonly string[]
}

const servable: Readonly<Record<string, Servable>> = {
  receive: { add: receiveCommand, check: checkReceive, dropped: ['--create'] },
  watch: { add: watchCommand, check: checkWatch, dropped: ['--create'] },
  portal: { add: portalCommand, check: async (_operands, flags) => void tlsFilesOf(flags), dropped: [] },
}

export function serviceCommand(program: Command): void {
  const service = program
    .command('service')
    .summary('run receive, watch or a portal by itself: from login or boot on')
    .description(
      'Makes a service of a command that would run until Ctrl-C: a unit of your systemd, or an agent of launchd on\n' +
        'macOS. It is started now and at each login, and again when it ends. Nothing here needs root.',
    )
    .addHelpText(
      'after',
      `
Examples:
  golooader service install receive --into ~/Inbox
  golooader service install watch outbox --to bob
  golooader service install --name nightly receive --into ~/in --profile work
  golooader service                      the services of this user, and how they are
  golooader service status receive
  golooader logs receive --follow
  golooader service remove receive

To keep it running while you are logged out, and from boot on: loginctl enable-linger
For a portal of a machine, which is better run by a user of its own: deploy/README.md has units for root.`,
    )

  const install = service
    .command('install')
    .summary('make a service of a command, and start it')
    .description(
      'Checks the command line as the command itself would, writes the file for the service manager, and starts the\n' +
        'service. Give the command with its flags as you would run it in this folder. The service keeps this folder,\n' +
        'the GOLOOADER_… variables of this shell, and its PATH. The same name again replaces the same command.',
    )
    .addOption(option('--name <name>', 'name of the service; that of its command if not given').argParser(serviceName))
    .addOption(flag('--print', 'print the file for the service manager, and install nothing'))
    .addHelpText('after', INSTALL_HELP)
  for (const [name, { add, check, dropped }] of Object.entries(servable)) {
    add(install)
    const own = install.commands.find((one) => one.name() === name)
    own?.action(async () => {
      await check(own.args, own.opts() as never)
      const { name: serviceNamed = name, print: isPrinted = false } = install.opts<InstallFlags>()
      const args = install.args.filter((word) => !dropped.includes(word))
      const definition = {
        name: serviceNamed,
        program: [process.execPath, realpathSync(process.argv[1] ?? '')],
        args,
        folder: process.cwd(),
        env: keptEnvironment(process.env, name, dropped.map(variableOf)),
        runsCommands: args.some((word) => /^--exec(?:=|$)/.test(word)) || process.env.GOLOOADER_EXEC !== undefined,
      }
      const manager = await serviceManager()
      if (isPrinted) print(manager.textOf(definition))
      else process.exitCode = await installService(manager, definition)
    })
  }

  service
    .command('list', { isDefault: true })
    .summary('show the services of this user (the default)')
    .description('Shows the services of this user: name, state, command line.')
    .addOption(jsonOption())
    .action(async ({ json = false }: { json?: boolean }) => list(await serviceManager(), json))

  service
    .command('status')
    .summary('show how a service is')
    .description('Shows the state of a service, what it says about itself, and the end of its log when it fails.')
    .argument('<name>', 'the service', serviceName)
    .addOption(jsonOption())
    .addHelpText('after', '\nExit codes: 0 it runs · 3 it does not, or not yet')
    .action(async (name: string, { json = false }: { json?: boolean }) => {
      const manager = await serviceManager()
      process.exitCode = await showStatus(manager, await installed(manager, name), json)
    })

  for (const verb of ['start', 'stop', 'restart'] as const) {
    service
      .command(verb)
      .summary(`${verb} a service`)
      .description(DESCRIPTIONS[verb])
      .argument('<name>', 'the service', serviceName)
      .action(async (name: string) => {
        const manager = await serviceManager()
        const service = await installed(manager, name)
        await manager[verb](name)
        if (verb === 'stop') print(`✔ ${name}: stopped, until the next login or: golooader service start ${name}\n`)
        else process.exitCode = await reportStart(manager, service)
      })
  }

  service
    .command('remove')
    .summary('stop a service and remove it')
    .description('Stops a service and deletes its file. Profiles, folders and files that were received stay.')
    .argument('<name>', 'the service', serviceName)
    .action(async (name: string) => {
      const manager = await serviceManager()
      const { path } = await installed(manager, name)
      await manager.remove(name)
      print(`✔ ${name}: stopped and removed (${printable(path)})\n`)
    })
}

const DESCRIPTIONS = {
  start: 'Starts a service that was stopped, and waits up to 10 seconds until it is ready.',
  stop: 'Stops a service. It starts again at the next login.',
  restart: 'Stops and starts a service, for instance after an update, and waits up to 10 seconds until it is ready.',
} as const

const INSTALL_HELP = `
Examples:
  golooader service install receive --into ~/Inbox --create
  golooader service install --print receive --into ~/Inbox

--create is done once, now: later a folder that is missing is one whose disk is not mounted, and is waited for.

The service may do what you may, but no program gets more rights through it, and unusual system calls fail. A service with
--exec is not confined: what its command needs is not known here.

After an update of Node or of GoLooader that moved either, install the service again.

Exit codes: 0 it runs, or waits for its portal · 2 wrong usage, or no service manager · 3 it ends by itself: its last lines are shown`

interface InstallFlags {
  readonly name?: string
  readonly print?: boolean
}

const variableOf = (flagName: string): string =>
  `GOLOOADER_${flagName.replace(/^--/, '').replaceAll('-', '_').toUpperCase()}`

async function checkReceive(operands: readonly string[], flags: ReceiveFlags): Promise<void> {
  if (operands.length > 0) throw new UsageError('a link is received once: run golooader receive LINK by itself')
  if (flags.once === true || flags.toStdout === true) {
    throw new UsageError('a service runs until it is stopped: leave out --once and --to-stdout')
  }
  requireExec(flags)
  if (flags.into === undefined) throw new UsageError("required option '--into <dir>' not specified")
  // The profile has to be there, and unambiguous.
  await using _me = await openedProfile(flags)
  const folder = resolve(flags.into)
  if (flags.create === true) await requireInbox(folder).catch(() => makeInbox(folder))
  else await requireInbox(folder)
}

async function makeInbox(folder: string): Promise<void> {
  await using _inbox = await openInbox(folder, { mayCreate: true })
}

async function checkWatch([folder = '']: readonly string[], flags: WatchFlags): Promise<void> {
  if (flags.once === true) throw new UsageError('a service runs until it is stopped: leave out --once')
  requireSensible(flags)
  await using _me = await openedProfile(flags)
  await OutboxFolder.open(resolve(folder), { mayCreate: flags.create === true }).then(
    (outbox) => outbox[Symbol.asyncDispose](),
    (error: unknown) => {
      // The service may run already. A watch that is none of its own is in the log of the service.
      if (!(error instanceof Problem) || error.code !== 'outbox-busy') throw error
    },
  )
}

/** @returns the exit code */
async function installService(manager: ServiceManager, definition: ServiceDefinition): Promise<number> {
  const { name, args, folder } = definition
  if (/\p{Cc}/u.test(folder))
    throw new UsageError('the name of this folder has a line break: a service cannot run in it')
  const existing = (await manager.list()).find((one) => one.name === name)
  if (existing !== undefined && shellWords(existing.args) !== shellWords(args)) {
    throw new UsageError(
      `the service ${name} runs another command: ${shellWords(existing.args)}\n` +
        `Give this one a --name, or remove that one first: golooader service remove ${name}`,
    )
  }
  if (existing !== undefined && existing.folder !== folder) {
    throw new UsageError(
      `the service ${name} runs this command in another folder: ${existing.folder}\n` +
        `Give this one a --name, or remove that one first: golooader service remove ${name}`,
    )
  }
  await manager.install(definition)
  print(`✔ ${name}: installed, runs: golooader ${printable(shellWords(args))}\n`)
  const code = await reportStart(manager, definition)
  const advice = await manager.advice()
  if (advice !== null) sayError(`golooader: ${name}: ${advice}`)
  return code
}

/** Waits until a service is ready, fails, or says for what it waits. @returns the exit code */
async function reportStart(manager: ServiceManager, service: ServedCommand & { name: string }): Promise<number> {
  const { name } = service
  const deadlineMs = performance.now() + READY_WITHIN_MS
  let status = await manager.status(name)
  // The manager may not have begun with it yet.
  while ((status.state === 'starting' || status.state === 'stopped') && performance.now() < deadlineMs) {
    await sleep(LOOK_EVERY_MS)
    status = await manager.status(name)
  }
  print(`${statusLine(name, status)}\n`)
  if (status.state === 'running' || status.state === 'starting') return exitCodes.ok
  await showLastLines(manager, name)
  warnOfMissing(service)
  return exitCodes.failed
}

/** An update of Node or of this program may have moved either. */
function warnOfMissing({ name, program, args, folder }: ServedCommand & { readonly name: string }): void {
  const missing = program.find((path) => !existsSync(path))
  if (missing === undefined) return
  const named = name === args[0] ? [] : ['--name', name]
  const again = shellWords(['golooader', 'service', 'install', ...named, ...args])
  print(`  ${printable(missing)} is not there any more: an update has moved it. Install the service again:\n`)
  print(`  cd ${printable(shellWords([folder]))} && ${printable(again)}\n`)
}

const MARKS = { running: '✔', starting: '…', stopped: '-', failing: '✘', unknown: '?' } as const
const STATES = {
  running: 'running',
  starting: 'starting',
  stopped: 'stopped',
  failing: 'ended by itself, and is started again',
  unknown: 'unknown',
} as const

function statusLine(name: string, { state, says, since, restarts }: ServiceStatus): string {
  const from = since === null || state === 'failing' ? '' : ` since ${localTime(since)}`
  const count =
    restarts === null || restarts === 0 ? '' : `, started again ${restarts} ${restarts === 1 ? 'time' : 'times'}`
  return `${MARKS[state]} ${name}: ${STATES[state]}${from}${count}${says === '' || state === 'stopped' ? '' : `: ${printable(says)}`}`
}

async function list(manager: ServiceManager, isJson: boolean): Promise<void> {
  const services = await manager.list()
  if (services.length === 0 && !isJson) print('no services: golooader service install receive --into DIR\n')
  for (const service of services) {
    const status = await manager.status(service.name)
    if (isJson) print(`${JSON.stringify({ ...service, ...status })}\n`)
    else {
      print(`${statusLine(service.name, status)}\n  golooader ${printable(shellWords(service.args))}\n`)
      warnOfMissing(service)
    }
  }
}

/** @returns the exit code */
async function showStatus(manager: ServiceManager, service: InstalledService, isJson: boolean): Promise<number> {
  const { name, args, path } = service
  const status = await manager.status(name)
  if (isJson) print(`${JSON.stringify({ ...service, ...status })}\n`)
  else {
    print(`${statusLine(name, status)}\n  golooader ${printable(shellWords(args))}\n  ${printable(path)}\n`)
    if (status.state === 'failing') await showLastLines(manager, name)
    warnOfMissing(service)
  }
  return status.state === 'running' ? exitCodes.ok : exitCodes.failed
}

async function showLastLines(manager: ServiceManager, name: string): Promise<void> {
  const { run } = await import('./service/run.ts')
  const [program = '', ...args] = manager.logCommand(name, { isFollowing: false, lines: LAST_LINES })
  const { stdout } = await run(program, args)
  for (const line of stdout.trimEnd().split('\n')) print(`  ${printable(line)}\n`)
  print(`  all of it: golooader logs ${name}\n`)
}

/** @throws UsageError when there is no such service */
export async function installed(manager: ServiceManager, name: string): Promise<InstalledService> {
  const services = await manager.list()
  const found = services.find((one) => one.name === name)
  if (found !== undefined) return found
  const others =
    services.length === 0 ? 'none is installed' : `there are: ${services.map((one) => one.name).join(', ')}`
  throw new UsageError(`there is no service ${name}; ${others}`)
}
