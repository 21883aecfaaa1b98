/** `--exec`: runs a command of the user for an event, and reports how it ended. */
import { join } from 'node:path'
import type { Option } from 'commander'
import { type CommandEnd, endText, runCommand } from '../exec/index.ts'
import type { ReceiveOptions } from '../library/receiving.ts'
import { durationText, Problem } from '../protocol/index.ts'
import type { HandledFile } from '../receiver/index.ts'
import { inboxFolderName } from '../receiver/names.ts'
import { UsageError } from './exit.ts'
import { durationMs, option } from './options.ts'
import { durationFlag, printable, senderText } from './text.ts'

export interface ExecFlags {
  readonly exec?: string
  readonly execBeforeAnswer?: boolean
  readonly execTimeout?: number
}

const TIMEOUT_MS_DEFAULT = 3_600_000
/** EX_TEMPFAIL of sysexits.h: not now. */
const TEMPFAIL = 75
/** The longest reason that the sender gets, in characters. */
const REASON_CHARACTERS_MAX = 500

/** A command gets each as `GOLOOADER_EXEC_<NAME>`, those that its event has. */
export const commandVariables = ['EVENT', 'TRANSFER_ID', 'NAME', 'PATH', 'FROM', 'SIZE', 'KIND', 'RECEIPT'] as const
type Variables = { readonly [Name in (typeof commandVariables)[number]]?: string }

export const execOption = (description: string): Option => option('--exec <command>', description)

export const execTimeoutOption = (): Option =>
  option(
    '--exec-timeout <time>',
    `time limit of a command, which then counts as failed; ${durationFlag(TIMEOUT_MS_DEFAULT)} if not given`,
  ).argParser(durationMs)

/** @throws UsageError for options that need `--exec` */
export function requireExec({ exec, execBeforeAnswer = false, execTimeout }: ExecFlags): void {
  if (exec !== undefined && exec.trim() === '') throw new UsageError('--exec needs a command for /bin/sh')
  if (exec !== undefined) return
  if (execBeforeAnswer) throw new UsageError('--exec-before-answer needs a command: --exec COMMAND')
  if (execTimeout !== undefined) throw new UsageError('--exec-timeout needs a command: --exec COMMAND')
}

/** How a command ended for one event: a line of `--json`. */
export interface CommandReport extends CommandEnd {
  readonly type: 'command'
  readonly event: string
  readonly transferId: string
  readonly name: string
}

/** The commands of one run of this program. */
export class Commands {
  readonly #command: string
  readonly #timeoutMs: number
  readonly #say: (text: string) => void
  readonly #isJson: boolean
  /** Whether one has failed, where that changes nothing else. */
  hasFailed = false

  constructor(
    command: string,
    { execTimeout = TIMEOUT_MS_DEFAULT }: ExecFlags,
    say: (text: string) => void,
    json = false,
  ) {
    this.#command = command
    this.#timeoutMs = execTimeout
    this.#say = say
    this.#isJson = json
  }

  /**
   * Runs the command, and reports how it ended.
   *
   * @param what names the file to a person
   * @throws like `runCommand`
   */
  async run(
    event: { readonly event: string; readonly transferId: string; readonly name: string },
    what: string,
    variables: Variables,
    { signal, notePath = null }: { readonly signal: AbortSignal; readonly notePath?: string | null },
  ): Promise<CommandEnd> {
    const { transferId, name } = event
    const all = { EVENT: event.event, TRANSFER_ID: transferId, NAME: name, ...variables }
    const end = await runCommand({
      ...{ command: this.#command, timeoutMs: this.#timeoutMs, event, variables: all, signal, notePath },
    })
    if (this.#isJson) {
      const report: CommandReport = { type: 'command', event: event.event, transferId, name, ...end }
      this.#say(`${JSON.stringify(report)}\n`)
      return end
    }
    const sign = end.exitCode === 0 ? '✔' : end.exitCode === TEMPFAIL ? '…' : '!'
    const lines = end.lastLines.map((line) => `    ${line}\n`)
    this.#say(`${sign} ${what}: command: ${endText(end)}, after ${durationText(end.durationMs)}\n${lines.join('')}`)
    return end
  }
}

/**
 * What `receive --exec` does with the files in its folder.
 *
 * @param folder the folder that files are received into
 */
export function receiveHandlers(
  commands: Commands,
  folder: string,
  { execBeforeAnswer = false }: ExecFlags,
): Pick<ReceiveOptions, 'beforeAnswer' | 'handle'> {
  const notePath = join(folder, inboxFolderName, 'handling', 'running')
  const run = (file: HandledFile, signal: AbortSignal): Promise<CommandEnd> => {
    const what = `${printable(file.name)} from ${senderText(file.from, file.request?.label)}`
    const variables = {
      PATH: file.path,
      FROM: file.from,
      SIZE: String(file.sizeBytes),
      KIND: file.tree === null ? 'file' : 'folder',
      RECEIPT: file.receipt ?? '',
    }
    return commands.run({ event: 'received', ...file }, what, variables, { signal, notePath })
  }
  if (!execBeforeAnswer) {
    return {
      handle: async (file, signal) => {
        const { exitCode } = await run(file, signal)
        commands.hasFailed ||= exitCode !== 0
      },
    }
  }
  return {
    beforeAnswer: async (file, signal) => {
      const end = await run(file, signal)
      if (end.exitCode === TEMPFAIL) return 'later'
      if (end.exitCode !== 0) throw refusalOf(end)
      return undefined
    },
  }
}

/** The problem for the sender: the last line of the output, or how the command ended. */
function refusalOf(end: CommandEnd): Problem {
  const line = end.isTimedOut ? undefined : end.lastLines.at(-1)
  const { exitCode, isTimedOut } = end
  const detail = [...(line ?? endText(end))].slice(0, REASON_CHARACTERS_MAX).join('')
  return new Problem('exec-failed', {
    detail,
    ...(exitCode === null ? {} : { exitCode }),
    ...(isTimedOut ? { isTimedOut } : {}),
  })
}
