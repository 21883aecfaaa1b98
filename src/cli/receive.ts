import { relative } from 'node:path'
import { text } from 'node:stream/consumers'
import { type Command, InvalidArgumentError } from 'commander'
import { GoLooaderError } from '../library/error.ts'
import type { Profile } from '../library/profile.ts'
import { offersOpenMax } from '../protocol/index.ts'
import type { ReceiveEvent } from '../receiver/index.ts'
import { Commands, type ExecFlags, execOption, execTimeoutOption, receiveHandlers, requireExec } from './exec.ts'
import { printCommands } from './exec-text.ts'
import { exitCodes, interruptSignal, UsageError } from './exit.ts'
import {
  accountNames,
  flag,
  insecureOption,
  jsonOption,
  limitRateOption,
  listOption,
  openedProfile,
  option,
  type ProfileFlags,
  pathOf,
  profileOption,
  systemCaOption,
  verboseOption,
  wholeNumber,
} from './options.ts'
import { contentOutput, print, sayError, traceRequests, warnOfTemporaryState } from './output.ts'
import { type PassphraseFlags, passphraseFileOption, passphraseOption } from './passphrase.ts'
import { problemText } from './send-lines.ts'
import { receiverReports } from './service/receiver-reports.ts'
import { supervisor } from './service/supervisor.ts'
import { bytesText, printable, senderText, treeText } from './text.ts'

export interface ReceiveFlags extends ProfileFlags, PassphraseFlags, ExecFlags {
  readonly into?: string
  readonly toStdout?: boolean
  readonly create?: boolean
  readonly once?: boolean
  /** False for `--no-times`. */
  readonly times?: boolean
  readonly from?: readonly string[]
  readonly json?: boolean
  readonly transfers?: number
  readonly verbose?: boolean
}

export function receiveCommand(program: Command): void {
  program
    .command('receive')
    .summary('receive the files that are sent to you')
    .description(
      'Receives what is sent to you, and tells the portal only when a file is complete, verified and durable\n' +
        'in the folder. Runs until it is stopped; started again, it continues.',
    )
    .argument(
      '[link]',
      "a link by which one file can be received without an account; or '-' to read it from standard input",
    )
    .addOption(
      option('--into <dir>', 'folder for the files; it must have been used before, or give --create').argParser(pathOf),
    )
    .addOption(flag('--to-stdout', 'with --once: write the content to standard output, instead of a file in a folder'))
    .addOption(flag('--create', 'create the folder, or accept one that no receiver has used'))
    .addOption(listOption('--from <names>', 'accept files only from these accounts', accountNames))
    .addOption(flag('--once', 'receive one file, then end'))
    .addOption(execOption('command for /bin/sh, run for each file once it is in the folder; see below'))
    .addOption(
      flag('--exec-before-answer', 'run it before the sender hears of the file: if it fails, the file is refused'),
    )
    .addOption(execTimeoutOption())
    .addOption(passphraseOption('with a link that needs one: ask for the passphrase; done without this option, too'))
    .addOption(passphraseFileOption())
    .addOption(flag('--no-times', 'let files have the time of their arrival, not that of their last modification'))
    .addOption(profileOption())
    .addOption(
      option('--transfers <number>', 'files to receive at the same time; 16 if not given, of large ones 4').argParser(
        transfersAtOnce,
      ),
    )
    .addOption(limitRateOption())
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addOption(jsonOption())
    .addOption(verboseOption())
    .addHelpText(
      'after',
      `
Examples:
  golooader receive --into ~/Inbox --create   the first time: create the folder, or accept it as it is
  golooader receive --into ~/Inbox            receive until Ctrl-C
  golooader receive --into in --once          wait for one file
  golooader receive --into in --profile bob   as bob, where several accounts have joined
  golooader receive --into in --exec './import.sh "$GOLOOADER_EXEC_PATH"'   import each file
  golooader receive --once --to-stdout | psql      the content of one file, into a program
  golooader receive 'https://…/g#glg_…' --into in     one file by a link; no account is needed

Without --create a folder that is missing, or that no receiver has used before, is refused: its disk may not be
mounted. A folder that vanishes while this runs is waited for, and the files wait at the portal.

A file that exists is never overwritten: 'report.pdf' becomes 'report (1).pdf'. Unfinished files lie in
DIR/.golooader until they are complete.

--to-stdout writes parts as they are verified, in their order, and messages to standard error. What is written cannot be
taken back: only exit code 0 says that all of it was right. Then a receipt is signed. A reader that ends early (exit code 7)
leaves the file at the portal. So begin a script with: set -o pipefail

--exec runs its command for one file at a time, in the order in which they came, and at least once for each: what a kill has
prevented runs first at the next start with --exec. So the command should do nothing the second time for the same
GOLOOADER_EXEC_TRANSFER_ID. It gets GOLOOADER_EXEC_PATH, _NAME, _FROM, _SIZE, _KIND (file or folder), _TRANSFER_ID, _RECEIPT and _EVENT
(received), and the same as JSON on standard input. Its exit code and its last lines are printed here. With
--exec-before-answer a file for which it fails is removed again, and the sender gets its last line as the reason; exit code 75
leaves the file for later instead. Interrupted, this ends the command, and runs it again at the next start.

With a link, the one file of the link is received, and the folder is made if it is missing. Started again, it continues. Nothing but
the file and DIR/.golooader stays on this machine. In a shell the link needs quotes.

Exit codes: 0 stopped, or one file received with --once · 2 wrong usage · 3 --once, and the file was refused ·
4 the portal refused this account, its certificate is not trusted, or another process receives as the same instance
(of a copied folder, for one) · 7 standard output could not be written · 8 --once, and the command of --exec failed
for a received file · 130 interrupted before the one file of --once came`,
    )
    .action(async (link: string | undefined, flags: ReceiveFlags) => {
      requireExec(flags)
      if (link !== undefined) {
        const { receiveByLink } = await import('./receive-by-link.ts')
        process.exitCode = await receiveByLink(link === '-' ? await text(process.stdin) : link, flags)
        return
      }
      const target = targetOf(flags)
      const signal = interruptSignal()
      await using me = await openedProfile(flags)
      if (flags.verbose === true) await traceRequests(me.portalUrl)
      if (me.isStateTemporary) warnOfTemporaryState()
      if (target === null) return await receiveToStdout(me, flags, signal)
      const show = shower(print, target, flags)
      const reports = receiverReports(await supervisor(), new URL(me.portalUrl).host)
      const commands = Commands.of(flags, printCommands(print, flags.json), reports.onCommandFailed)
      let [received, refused] = [0, 0]
      const files = me.receive(target, {
        create: flags.create === true,
        once: flags.once === true,
        times: flags.times !== false,
        ...(flags.from === undefined ? {} : { from: flags.from }),
        ...(flags.transfers === undefined ? {} : { transfersAtOnce: flags.transfers }),
        ...(commands === null ? {} : receiveHandlers(commands, target, flags)),
        signal,
        onEvent: (event) => {
          if (event.type === 'refused') refused++
          show(event)
          reports.onEvent(event)
        },
      })
      for await (const _file of files) received++
      if (flags.once === true && received === 0) {
        process.exitCode = refused > 0 ? exitCodes.failed : exitCodes.interrupted
      } else if (flags.once === true && commands?.hasFailed === true) {
        process.exitCode = exitCodes.commandFailed
      }
    })
}

/** Where a file is. */
function placeText(path: string): string {
  return path === '-' ? 'written to standard output' : `received as ${printable(relative('', path) || path)}`
}

/** For `argParser`: a number of transfers that the protocol allows at a time. */
function transfersAtOnce(text: string): number {
  const count = wholeNumber(text)
  if (count > offersOpenMax) throw new InvalidArgumentError(`Give a number from 1 to ${offersOpenMax}.`)
  return count
}

export const noFileToRunFor =
  '--exec runs its command for a file in a folder: with --to-stdout use a pipe, or give --into DIR'

/** @returns the folder; null for standard output. @throws UsageError */
function targetOf({ into, toStdout = false, once = false, exec }: ReceiveFlags): string | null {
  if (toStdout && exec !== undefined) throw new UsageError(noFileToRunFor)
  if (!toStdout && into !== undefined) return into
  if (!toStdout) throw new UsageError("required option '--into <dir>' not specified; or --once --to-stdout")
  if (into !== undefined) throw new UsageError('--to-stdout takes no folder: leave --into out')
  if (!once) throw new UsageError('--to-stdout writes one file: add --once')
  return null
}

/** Writes the content of one file to standard output. Everything else goes to standard error. */
async function receiveToStdout(me: Profile, flags: ReceiveFlags, signal: AbortSignal): Promise<void> {
  const from = flags.from === undefined ? {} : { from: flags.from }
  await intoStdout(flags, (onEvent) => me.receiveInto(contentOutput(), { ...from, signal, onEvent }))
}

/** Runs `receive`, and reports when standard output does not have the whole file. */
export async function intoStdout(
  flags: ReceiveFlags,
  receive: (onEvent: (event: ReceiveEvent) => void) => Promise<unknown>,
): Promise<void> {
  const say: Say = (line) => sayError(line.trimEnd())
  const show = shower(say, 'standard output', flags)
  let hasEnded = false
  try {
    await receive((event) => {
      if (event.type === 'refused' || event.type === 'withdrawn') hasEnded = true
      show(event)
    })
  } catch (error) {
    if (!(error instanceof GoLooaderError)) throw error
    if (error.code === 'write-failed') {
      say(`golooader: standard output takes no more (${error.message}): the file stays at the portal`)
      process.exitCode = exitCodes.outputLost
    } else if (hasEnded) {
      say('golooader: what was written to standard output is not the whole file')
      process.exitCode = exitCodes.failed
    } else {
      throw error
    }
  }
}

export type Say = (text: string) => void

/** Shows events: one object a line for programs, or lines for people. @param target the folder, as people know it */
export function shower(say: Say, target: string, { json = false }: Pick<ReceiveFlags, 'json'>) {
  return json ? showJson(say) : textShower(say, target)
}

function showJson(say: Say): (event: ReceiveEvent) => void {
  return (event) => say(`${JSON.stringify(event)}\n`)
}

/** Prints lines for people. Progress is printed at most every few seconds. */
function textShower(write: Say, folder: string): (event: ReceiveEvent) => void {
  const FETCHING_EVERY_MS = 5_000
  const toldAtMs = new Map<string, number>()
  const say = (line: string): void => {
    write(`${line}\n`)
  }
  return (event) => {
    if (event.type === 'connected') return say(`connected, waiting for files into ${printable(folder)}`)
    if (event.type === 'held-back') return say(`… ${event.reason}`)
    if (event.type === 'disconnected')
      return say(`… the portal does not answer (${printable(event.reason)}), trying again`)
    if (event.type === 'waiting')
      return say(`… ${printable(event.reason)}: files wait at the portal until that is solved`)
    if (event.type === 'clock-off') {
      const waiting = event.isWaiting ? '. Files wait at the portal until the clocks agree' : ''
      return say(`! ${problemText(event.problem)}${waiting}`)
    }
    if (event.type === 'contested') return say(`! ${problemText(event.problem)}`)
    const what = `${event.name === '' ? 'a sealed file' : printable(event.name)} from ${senderText(event.from, event.request?.label)}`
    switch (event.type) {
      case 'offered':
        toldAtMs.set(event.transferId, performance.now())
        return say(`… ${event.isResumed ? 'going on with ' : ''}${what}, ${sizeText(event)}`)
      case 'fetching': {
        if (performance.now() - (toldAtMs.get(event.transferId) ?? 0) < FETCHING_EVERY_MS) return
        toldAtMs.set(event.transferId, performance.now())
        return say(`  ${what}: ${progressText(event)}`)
      }
      case 'entries-renamed':
        for (const { path, writtenAs } of event.renamed)
          say(`! ${what}: ${printable(path)} is written as ${printable(writtenAs)}`)
        return
      case 'links-left-out':
        for (const path of event.paths)
          say(`! ${what}: ${printable(path)} is left out: this disk has no symbolic links`)
        if (event.linkCount > event.paths.length)
          say(`! ${what}: ${event.linkCount - event.paths.length} more links are left out`)
        return
      case 'link-failed':
        return say(`  ${what}: not from the portal's storage (${printable(event.reason)}), from the portal instead`)
      case 'repeating':
        return say(`↻ ${what}: ${problemText(event.problem)}. Deleted, fetching it again`)
      case 'received': {
        const note = event.isRenamed ? ' (renamed)' : ''
        toldAtMs.delete(event.transferId)
        return say(`✔ ${what}${event.signedBy === null ? '' : ', signed'}: ${placeText(event.path)}${note}`)
      }
      case 'refused':
        toldAtMs.delete(event.transferId)
        return say(`✘ ${what}: refused: ${problemText(event.problem)}. The sender is told`)
      case 'given-up':
        toldAtMs.delete(event.transferId)
        return say(`… ${what}: left for later: ${printable(event.reason)}`)
      case 'withdrawn':
        toldAtMs.delete(event.transferId)
        return say(`✘ ${what}: withdrawn: ${problemText(event.problem)}`)
    }
  }
}

/** For a folder, the number and size of its files, without the overhead of the tar. */
function sizeText({
  tree,
  sizeBytes,
  isSizeKnown,
}: Pick<ReceiveEvent & { type: 'offered' }, 'tree' | 'sizeBytes' | 'isSizeKnown'>): string {
  if (isSizeKnown === false) return 'size not known yet'
  return tree === null ? bytesText(sizeBytes) : treeText(tree)
}

function progressText({
  tree,
  unpacked,
  heldBytes,
  sizeBytes,
  isSizeKnown,
}: ReceiveEvent & { type: 'fetching' }): string {
  if (isSizeKnown === false) return `${bytesText(heldBytes)} so far, size not known yet`
  if (tree === null || unpacked === null) return `${bytesText(heldBytes)} of ${bytesText(sizeBytes)}`
  const { fileCount, contentBytes, path } = unpacked
  const file = path === null ? '' : `, ${printable(path)}`
  return `${fileCount} of ${tree.fileCount} files, ${bytesText(contentBytes)} of ${bytesText(tree.contentBytes)}${file}`
}
