import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Command } from 'commander'
import { hasCode } from '../fs/error-code.ts'
import { exitCodes, interruptSignal, UsageError } from './exit.ts'
import { flag, option, wholeNumber } from './options.ts'
import { print, sayError } from './output.ts'
import { serviceName } from './service/definition.ts'
import { serviceManager } from './service/manager.ts'
import { installed } from './service.ts'
import { printable } from './text.ts'

interface LogFlags {
  readonly follow?: boolean
  readonly lines: number
}

export function logsCommand(program: Command): void {
  program
    .command('logs')
    .summary('print what a service has written')
    .description(
      'Prints the log of a service: a line for each step, from the journal of systemd, or from its file on macOS.',
    )
    .argument('<name>', 'the service', serviceName)
    .addOption(flag('-f, --follow', 'wait for more, until Ctrl-C'))
    .addOption(option('-n, --lines <number>', 'begin so many lines before the end').argParser(wholeNumber).default(100))
    .addHelpText(
      'after',
      `
Examples:
  golooader logs receive
  golooader logs receive -f
  golooader logs receive --lines 1000 | grep refused`,
    )
    .action(async (name: string, { follow = false, lines }: LogFlags) => {
      const manager = await serviceManager()
      await installed(manager, name)
      process.exitCode = await showLog(manager.logCommand(name, { isFollowing: follow, lines }))
    })
}

/** A journal in memory is one for all users. A user may read only a journal of its own. */
const VOLATILE =
  '\nThis machine keeps its journal in memory, where users have none of their own. As root: mkdir /var/log/journal && ' +
  'systemctl restart systemd-journald'

/** @returns the exit code */
async function showLog([program = '', ...args]: readonly string[]): Promise<number> {
  const signal = interruptSignal()
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  // Ctrl-C reaches the child, too; SIGTERM does not.
  signal.addEventListener('abort', () => child.kill())
  const ended = new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', (cause) => {
      const reason = hasCode(cause, 'ENOENT') ? `${program} is missing` : `${program}: ${cause.message}`
      reject(new UsageError(`${reason}, so that the log cannot be read`, { cause }))
    })
    child.once('close', (code, by) => resolve(code ?? by))
  })
  // It is awaited once all lines are printed.
  ended.catch(() => {})
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text
  })
  // A log line may hold anything that a peer has sent, so that it is made safe for a terminal.
  for await (const line of createInterface({ input: child.stdout })) print(`${printable(line)}\n`)
  const code = await ended
  if (signal.aborted || code === 0) return exitCodes.ok
  const hint = /insufficient permissions/.test(complaint) ? VOLATILE : ''
  const reason = complaint.trim() === '' ? `it has ended (${code})` : printable(complaint.trim())
  sayError(`golooader: ${program}: ${reason}${hint}`)
  return exitCodes.failed
}
