/** `--exec`: runs a command of the user for an event, and reports how it ended. */
import { basename, join, resolve } from 'node:path'
import type { Option } from 'commander'
import { Semaphore } from '../async/index.ts'
import type { CommandEnd } from '../exec/index.ts'
import type { ReceiveOptions } from '../library/receiving.ts'
import type { WatchOptions } from '../library/watching.ts'
import type { StoredFile, WatchedFile } from '../outbox/events.ts'
import { sendingFolderName } from '../outbox/left-alone.ts'
import { Problem, type ProblemJson, problemSentence } from '../protocol/index.ts'
import { reasonForSender } from '../receiver/decision.ts'
import type { HandledFile } from '../receiver/index.ts'
import { inboxFolderName } from '../receiver/names.ts'
import type { SendEvent, SendOutcome } from '../sender/events.ts'
import { type CommandReport, endText, type OnCommand, TEMPFAIL } from './exec-text.ts'
import { UsageError } from './exit.ts'
import { durationMs, option } from './options.ts'
import { durationFlag, printable, senderText } from './text.ts'

export interface ExecFlags {
  readonly exec?: string
  readonly execBeforeAnswer?: boolean
  readonly execTimeout?: number
}

const TIMEOUT_MS_DEFAULT = 3_600_000

/** A command gets each as `GOLOOADER_EXEC_<NAME>`, those that its event has. */
export const commandVariables = [
  ...['EVENT', 'TRANSFER_ID', 'NAME', 'PATH'],
  ...['FROM', 'SIZE', 'KIND', 'RECEIPT'],
  ...['TO', 'PROBLEM'],
] as const
type Variables = { readonly [Name in (typeof commandVariables)[number]]?: string }

export const execOption = (description: string): Option => option('--exec <command>', description)

/** What `--exec` of `send` and `watch` is. */
export const execOfSender =
  'command for /bin/sh, run when a file is stored, and when it is delivered, failed or refused'

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

/** The commands of one run of this program, one at a time. */
export class Commands {
  readonly #command: string
  readonly #timeoutMs: number
  readonly #onEnded: OnCommand
  readonly #onFailed: () => void
  readonly #turn = new Semaphore(1)
  /** Whether one has failed, where that changes nothing else. */
  hasFailed = false

  private constructor(
    command: string,
    { execTimeout = TIMEOUT_MS_DEFAULT }: ExecFlags,
    onEnded: OnCommand,
    onFailed: () => void,
  ) {
    this.#command = command
    this.#timeoutMs = execTimeout
    this.#onEnded = onEnded
    this.#onFailed = onFailed
  }

  /**
   * The commands of `--exec`; null without it.
   *
   * @param onFailed called whenever one has failed, where that changes nothing else
   */
  static of(flags: ExecFlags, onEnded: OnCommand, onFailed: () => void = () => {}): Commands | null {
    return flags.exec === undefined ? null : new Commands(flags.exec, flags, onEnded, onFailed)
  }

  /** Notes how one has ended, where that changes nothing else. */
  note({ exitCode }: CommandEnd): void {
    if (exitCode === 0) return
    this.hasFailed = true
    this.#onFailed()
  }

  /**
   * Runs the command, and reports how it ended.
   *
   * @param what names the file to a person
   * @throws like `runCommand`
   */
  async run(
    event: Pick<CommandReport, 'event' | 'transferId' | 'name'>,
    what: string,
    variables: Variables,
    { signal, notePath = null }: { readonly signal: AbortSignal; readonly notePath?: string | null },
  ): Promise<CommandEnd> {
    const { transferId, name } = event
    const all = { EVENT: event.event, TRANSFER_ID: transferId ?? '', NAME: name, ...variables }
    const options = { command: this.#command, timeoutMs: this.#timeoutMs, event, variables: all, signal, notePath }
    const { runCommand } = await import('../exec/index.ts')
    const end = await this.#turn.run(() => runCommand(options), signal)
    this.#onEnded({ type: 'command', event: event.event, transferId, name, ...end }, what)
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
    return commands.run({ ...file, event: 'received' }, what, variables, { signal, notePath })
  }
  if (!execBeforeAnswer) {
    return {
      handle: async (file, signal) => {
        commands.note(await run(file, signal))
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
  return new Problem('exec-failed', {
    detail: reasonForSender(line ?? endText(end)),
    ...(exitCode === null ? {} : { exitCode }),
    ...(isTimedOut ? { isTimedOut } : {}),
  })
}

/** What `--exec` of a sender tells its command. */
interface SentEvent {
  readonly event: 'stored' | 'delivered' | 'failed' | 'refused'
  readonly transferId: string | null
  readonly name: string
  /** Where the file is; null for standard input, and where it is not any more. */
  readonly path: string | null
  readonly to: readonly string[]
  /** The receipts of those who have it. */
  readonly receipts: readonly { readonly receiver: string; readonly receipt: string }[]
  /** The receivers that do not have it, and why. */
  readonly failures?: readonly { readonly receiver: string; readonly problem: ProblemJson }[]
  /** Why it was refused. */
  readonly problem?: ProblemJson
}

/** Runs the command for an event of a sender. A command that fails changes nothing but the exit code. */
async function runForSent(
  commands: Commands,
  event: SentEvent,
  context: { readonly signal: AbortSignal; readonly notePath?: string },
): Promise<void> {
  const { path, to, failures = [], problem } = event
  const reasons = problem === undefined ? [] : [problemSentence(problem)]
  for (const { receiver, problem: reason } of failures) reasons.push(`${receiver}: ${problemSentence(reason)}`)
  const variables = { PATH: path ?? '', TO: to.join(','), PROBLEM: reasons.join('; ') }
  commands.note(await commands.run(event, `${printable(event.name)}, ${event.event}`, variables, context))
}

/** What is sent, as the command line says it. */
interface Sent {
  readonly to?: readonly string[]
  /** The name of standard input. */
  readonly name?: string
  /** The name of the folder that is made of several paths. */
  readonly as?: string
}

/** What `send --exec` does with events and outcomes. The receipts come with events. */
export function sendHandlers(commands: Commands, { to = [], name, as: folderName }: Sent, signal: AbortSignal) {
  const receipts = new Map<string, { receiver: string; receipt: string }[]>()
  return {
    onEvent: (event: SendEvent): void => {
      if (event.type !== 'notification' || event.notification.notification !== 'delivered') return
      const { transferId, receiver, receipt } = event.notification
      if (receipt !== undefined) receipts.set(transferId, [...(receipts.get(transferId) ?? []), { receiver, receipt }])
    },
    onOutcome: async (outcome: SendOutcome): Promise<void> => {
      const { outcome: event, transferId, path } = outcome
      if (event === 'undelivered' || event === 'no-answer') return
      await runForSent(
        commands,
        {
          ...{ event, transferId, name: folderName ?? name ?? basename(path), to },
          path: name === undefined && folderName === undefined ? resolve(path) : null,
          receipts: receipts.get(transferId ?? '') ?? [],
          ...reasonsOf(outcome),
        },
        { signal },
      )
      if (event !== 'stored') receipts.delete(transferId ?? '')
    },
  }
}

function reasonsOf(outcome: SendOutcome | WatchedFile | StoredFile): Pick<SentEvent, 'failures' | 'problem'> {
  if (outcome.outcome === 'failed') return { failures: outcome.failures }
  return outcome.outcome === 'refused' ? { problem: outcome.problem } : {}
}

/** What `watch --exec` does with the ends of files. @param folder the drop folder */
export function watchHandlers(
  commands: Commands,
  folder: string,
  { to }: { readonly to: readonly string[] },
  signal: AbortSignal,
): Required<Pick<WatchOptions, 'onOutcome'>> {
  const notePath = join(folder, sendingFolderName, 'running')
  return {
    onOutcome: async (file) => {
      const { outcome: event, transferId, name, path } = file
      const receipts = 'receipts' in file ? file.receipts.map(({ receiver, receipt }) => ({ receiver, receipt })) : []
      const told = { event, transferId, name, path, to, receipts, ...reasonsOf(file) }
      await runForSent(commands, told, { signal, notePath })
    },
  }
}
