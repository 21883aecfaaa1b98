import { basename, relative } from 'node:path'
import type { Command } from 'commander'
import type { WatchOptions } from '../library/watching.ts'
import type { WatchEvent, WatchedFile } from '../outbox/events.ts'
import { unfinishedNames } from '../outbox/left-alone.ts'
import { withoutUndefined } from '../protocol/index.ts'
import {
  Commands,
  type ExecFlags,
  execOfSender,
  execOption,
  execTimeoutOption,
  requireExec,
  watchHandlers,
} from './exec.ts'
import { printCommands } from './exec-text.ts'
import { exitCodeOfAll, exitCodes, interruptSignal, UsageError } from './exit.ts'
import {
  accountNames,
  durationMs,
  excludeOption,
  flag,
  insecureOption,
  jsonOption,
  limitRateOption,
  listOption,
  noTimesOption,
  openedProfile,
  option,
  type ProfileFlags,
  partSizeOption,
  partsInFlightOption,
  plainOption,
  profileOption,
  systemCaOption,
  type UploadFlags,
  uploadOptionsOf,
  verboseOption,
} from './options.ts'
import { print, traceRequests, warnOfTemporaryState } from './output.ts'
import { eventLine, problemText } from './send-lines.ts'
import { supervisor } from './service/supervisor.ts'
import { watchReports } from './service/watch-reports.ts'
import { printable, receiversText } from './text.ts'

export interface WatchFlags extends ProfileFlags, UploadFlags, Omit<ExecFlags, 'execBeforeAnswer'> {
  readonly to: readonly string[]
  readonly settle?: number
  readonly poll?: number
  readonly create?: boolean
  readonly delete?: boolean
  readonly once?: boolean
  readonly wait?: number
  readonly answerTimeout?: number
  readonly json?: boolean
  readonly verbose?: boolean
}

export function watchCommand(program: Command): void {
  program
    .command('watch')
    .summary('send whatever is put into a folder')
    .description(
      'Sends whatever is put into a folder: each file, and each folder in it, as a delivery of its own.\n' +
        "Then it lies in the folder's 'sent' with its receipt, or in 'failed' with the reason. Runs until it is stopped;\n" +
        'started again, it continues: no file is lost, and none is sent twice.',
    )
    .argument('<folder>', 'the drop folder')
    .addOption(listOption('--to <names>', 'receivers, separated by commas', accountNames).makeOptionMandatory())
    .addOption(
      option('--settle <duration>', 'how long a file has to stay as it is before it is sent')
        .argParser(durationMs)
        .default(undefined, '2s'),
    )
    .addOption(
      option('--poll <duration>', 'time between looks where the system reports no changes, as on network disks')
        .argParser(durationMs)
        .default(undefined, '10s'),
    )
    .addOption(flag('--create', 'make the folder if it is missing'))
    .addOption(flag('--delete', "delete what was delivered, instead of moving it to 'sent'"))
    .addOption(flag('--once', 'send what is there, then end; for cron'))
    .addOption(
      option(
        '--wait <duration>',
        'with --once: how long to wait for the receivers; the next run continues. Without a limit if not given',
      ).argParser(durationMs),
    )
    .addOption(
      option(
        '--answer-timeout <duration>',
        'with --once: time without a response before it gives up with exit code 5; 60s if not given',
      ).argParser(durationMs),
    )
    .addOption(plainOption())
    .addOption(noTimesOption())
    .addOption(excludeOption('leave out what matches, in the folder and in folders in it, as in .gitignore'))
    .addOption(
      flag('--strict', "move a folder with something that cannot be sent to 'failed', instead of leaving that out"),
    )
    .addOption(execOption(execOfSender))
    .addOption(execTimeoutOption())
    .addOption(profileOption())
    .addOption(limitRateOption())
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addOption(jsonOption())
    .addOption(verboseOption())
    .addOption(partSizeOption())
    .addOption(partsInFlightOption())
    .addHelpText('after', watchHelp)
    .action(async (folder: string, flags: WatchFlags) => {
      requireSensible(flags)
      const signal = interruptSignal()
      await using me = await openedProfile(flags)
      if (me.isStateTemporary) warnOfTemporaryState()
      if (flags.verbose === true) await traceRequests(me.portalUrl)
      const show = flags.json === true ? showJson : textShower(flags)
      const counted = new Set<WatchedFile['outcome'] | 'no-answer' | 'undelivered'>()
      const reports = watchReports(await supervisor(), new URL(me.portalUrl).host)
      const onEvent = (event: WatchEvent): void => {
        if (event.type === 'ended' || event.type === 'unfinished') counted.add(event.outcome)
        show(event)
        reports.onEvent(event)
      }
      const commands = Commands.of(flags, printCommands(print, flags.json), reports.onCommandFailed)
      const handlers = commands === null ? {} : watchHandlers(commands, folder, flags, signal)
      for await (const _file of me.watch(folder, { ...watchOptions(flags), ...handlers, signal, onEvent })) {
        // `onEvent` has shown it.
      }
      if (flags.once !== true) return
      const code = signal.aborted ? exitCodes.interrupted : exitCodeOfAll(counted)
      process.exitCode = code === exitCodes.ok && commands?.hasFailed === true ? exitCodes.commandFailed : code
    })
}

/** @throws UsageError for options that need others */
export function requireSensible(flags: WatchFlags): void {
  requireExec(flags)
  if (flags.once !== true && (flags.wait !== undefined || flags.answerTimeout !== undefined)) {
    throw new UsageError('without --once it waits as long as it takes: leave --wait and --answer-timeout out')
  }
}

const watchHelp = `
Examples:
  golooader watch outbox --create --to bob       the first time: make the folder
  golooader watch outbox --to bob,carol          until Ctrl-C
  golooader watch outbox --to bob --once         send what is there, then end: for cron
  golooader watch outbox --to bob --delete       keep nothing of what was delivered
  golooader watch /mnt/nas/outbox --to bob --settle 1m     a network disk, on which other machines write slowly

A file is sent once nothing has changed it for the time of --settle; one that is renamed into the folder later than that
after its last change is sent at once. The safest way to put a file there: write it under a name that is left alone,
then rename it. Left alone are names that begin with a dot, and ${unfinishedNames.slice(1, -1).join(', ')} and ${unfinishedNames.at(-1)}.

While a file is sent it lies in FOLDER/.sending. A file in FOLDER/failed is sent again when you move it back. No file is
deleted that was not delivered. A file that is written to after it was sent is sent again.

The portal may be away, and the receivers may be offline: the files wait. What was delivered is proven by the receipt
beside the file: golooader verify FOLDER/sent/a.pdf --receipt FOLDER/sent/a.pdf.receipt.json.

--exec runs its command for each file when it is stored, and again when it lies in its place, delivered, failed or refused: at least once for
each, one at a time, also after a kill. It gets GOLOOADER_EXEC_EVENT (one of these words), _TRANSFER_ID, _NAME, _PATH, _TO and _PROBLEM, and the
same as JSON with the receipts on standard input.

Exit codes: 0 stopped, or with --once all was delivered · 2 wrong usage, or the folder cannot be used · 3 --once, and a
delivery failed · 4 --once, and a file was refused; the portal refused this account; or another process watches the
folder · 5 --once, and the portal did not answer · 6 --once, and --wait ran out · 7 standard output could not be written ·
8 --once, all was delivered, and a command of --exec failed ·
130 --once was interrupted. Of several files, the first of 5, 4, 3, 6 that happened to any of them.`

function watchOptions(flags: WatchFlags): Omit<WatchOptions, 'signal' | 'onEvent'> {
  const { to, settle, poll, create, delete: isDeleting, once, wait, answerTimeout } = flags
  return withoutUndefined({
    ...uploadOptionsOf(flags),
    to,
    settleMs: settle,
    pollMs: poll,
    create,
    delete: isDeleting,
    once,
    deliveryTimeoutMs: wait,
    responseTimeoutMs: answerTimeout,
  })
}

/** Prints each step as an object. Progress within a file is left out. */
function showJson(event: WatchEvent): void {
  if (event.type === 'uploading' || event.type === 'fetched') return
  if (event.type === 'notification') print(`${JSON.stringify({ type: event.type, ...event.notification })}\n`)
  else print(`${JSON.stringify(event)}\n`)
}

/** Prints a line for each step that people want to know of. An outage of the portal is told once, and its end. */
function textShower({ to, plain }: Pick<WatchFlags, 'to' | 'plain'>): (event: WatchEvent) => void {
  const how = plain === true ? ', NOT SEALED' : ''
  let isAway = false
  const names = new Map<string, string>()
  const say = (line: string): void => print(`${line}\n`)
  const name = (transferId: string): string => printable(names.get(transferId) ?? transferId)
  return (event) => {
    switch (event.type) {
      case 'watching': {
        const before = event.unfinished === 0 ? '' : `, and continuing with ${event.unfinished} from before`
        return say(`watching the folder ${printable(event.folder)} for files to ${receiversText(to)}${how}${before}`)
      }
      case 'connected':
        if (isAway) say('… the portal answers again')
        isAway = false
        return
      case 'silence':
        if (!isAway) say(`… the portal does not answer (${printable(event.reason)}): the files wait for it`)
        isAway = true
        return
      case 'started':
        names.set(event.transferId, basename(event.path))
        return say(
          `… ${name(event.transferId)}: ${event.isResumed ? 'resuming' : 'sending'}, transfer ${event.transferId}`,
        )
      case 'notification':
        if (event.notification.notification !== 'stored') return
        return say(`✔ ${name(event.notification.transferId)}: stored at the portal`)
      case 'left-alone':
        return say(`! ${printable(event.name)} is left where it is: ${printable(event.reason)}`)
      case 'changed':
        if (event.transferId !== null) names.delete(event.transferId)
        return say(`↻ ${printable(event.name)}: ${printable(event.reason)}. It is sent again`)
      case 'vanished':
        if (event.transferId !== null) names.delete(event.transferId)
        return say(`! ${printable(event.name)} was taken away while it was sent`)
      case 'waiting':
        return say(`… waiting: ${printable(event.reason)}`)
      case 'polling':
        return say(
          `… the system reports no changes here (${printable(event.reason)}): looking every ${event.everyMs / 1000} s`,
        )
      case 'unfinished':
        return say(`… ${printable(event.name)} is under way: the next run continues`)
      case 'ended':
        if (event.transferId !== null) names.delete(event.transferId)
        return say(endLine(event))
      case 'clock-off':
      case 'held-back':
      case 'repeating':
      case 'smaller-parts':
      case 'left-out':
      case 'receipt-unkept': {
        const line = eventLine(event, null)
        if (line !== null) say(line)
        return
      }
    }
  }
}

function endLine(file: WatchedFile): string {
  const name = printable(file.name)
  const place = file.path === null ? '' : `. It is ${printable(relative('', file.path))} now`
  switch (file.outcome) {
    case 'delivered': {
      const signed = file.receipts.length === 0 ? ', without a receipt' : ', receipt verified'
      return `✔ ${name}: delivered${signed}${place}`
    }
    case 'failed': {
      const reasons = file.failures.map(({ receiver, problem }) => `${receiver}: ${problemText(problem)}`)
      return `✘ ${name}: ${reasons.join('; ')}${place}`
    }
    case 'refused':
      return `✘ ${name}: ${problemText(file.problem)}${place}`
  }
}
