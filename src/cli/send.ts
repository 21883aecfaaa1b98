import type { Command } from 'commander'
import { never } from '../async/index.ts'
import type { SendInput, SendOptions } from '../library/sending.ts'
import { withoutUndefined } from '../protocol/index.ts'
import type { SendOutcome } from '../sender/events.ts'
import {
  Commands,
  type ExecFlags,
  execOfSender,
  execOption,
  execTimeoutOption,
  requireExec,
  sendHandlers,
} from './exec.ts'
import { exitCodeFor, exitCodeOfAll, exitCodes, InterruptedError, interruptSignal, UsageError } from './exit.ts'
import {
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
  receivers,
  systemCaOption,
  type UploadFlags,
  uploadOptionsOf,
  verboseOption,
  wholeNumber,
} from './options.ts'
import { linesBesideLink, output, sayError, traceRequests, warnOfTemporaryState } from './output.ts'
import { type PassphraseFlags, passphraseFileOption, passphraseOf, passphraseOption } from './passphrase.ts'
import { listSources } from './send-dry-run.ts'
import { chooseView, type SendView } from './send-view.ts'

export interface SendFlags extends ProfileFlags, UploadFlags, PassphraseFlags, Omit<ExecFlags, 'execBeforeAnswer'> {
  readonly to?: readonly string[]
  readonly link?: boolean
  readonly takes?: number
  readonly expiry?: number
  readonly name?: string
  readonly json?: boolean
  readonly answerTimeout?: number
  /** `--wait 10m`; false for `--no-wait`; true or undefined to wait without a limit. */
  readonly wait?: number | boolean
  readonly as?: string
  readonly dryRun?: boolean
  readonly verbose?: boolean
}

const ONLY_STANDARD_INPUT =
  'standard input (-) is sent by itself: leave the other files out. A file that is called - is ./-'
const NAME_NEEDED = 'standard input has no name: give the one for the receiver, like --name dump.sql'

export function sendCommand(program: Command): void {
  program
    .command('send')
    .summary('send files and folders, and report when the portal has each, and when its receivers do')
    .description(
      'Sends files and folders to one or more receivers through the portal, and reports twice about each:\n' +
        'first whether the portal has it (stored, refused), then whether the receiver has it (delivered, failed).\n' +
        'A folder is one delivery: it arrives as a whole or not at all.',
    )
    .argument('<path...>', 'files and folders to send; - for standard input')
    .addOption(
      listOption('--to <names>', 'receivers, separated by commas; or the link of a request for files', receivers),
    )
    .addOption(flag('--link', 'print a link by which people without an account receive it; they sign for it, too'))
    .addOption(
      option('--takes <number>', 'with --link: how many people can receive it, once each; 1 if not given').argParser(
        wholeNumber,
      ),
    )
    .addOption(
      option(
        '--expiry <duration>',
        'with --link: how long it works; 7d, or less by the portal, if not given',
      ).argParser(durationMs),
    )
    .addOption(passphraseOption('with --link: ask for a passphrase, which is needed besides the link'))
    .addOption(passphraseFileOption())
    .addOption(option('--name <name>', 'the name for the receivers of standard input (-) or of a FIFO'))
    .addOption(profileOption())
    .addOption(
      option('--answer-timeout <duration>', 'time without a response before send gives up with exit code 5')
        .argParser(durationMs)
        .default(undefined, '60s'),
    )
    .addOption(
      option(
        '--wait <duration>',
        'how long to wait for the receivers once the file is stored; without a limit if not given',
      ).argParser(durationMs),
    )
    .addOption(flag('--no-wait', 'return after the first notification (stored)'))
    .addOption(plainOption())
    .addOption(noTimesOption())
    .addOption(
      option(
        '--as <name>',
        'send all paths together, as one folder of this name; otherwise each is a delivery of its own',
      ),
    )
    .addOption(excludeOption('leave out of folders what matches, as in .gitignore; may be repeated'))
    .addOption(flag('--strict', 'refuse a folder with something that cannot be sent, instead of leaving that out'))
    .addOption(execOption(execOfSender))
    .addOption(execTimeoutOption())
    .addOption(flag('--dry-run', 'list what would be sent, and send nothing'))
    .addOption(limitRateOption())
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addOption(jsonOption())
    .addOption(verboseOption())
    .addOption(partSizeOption())
    .addOption(partsInFlightOption())
    .addHelpText('after', sendHelp)
    .action(async (paths: string[], flags: SendFlags) => {
      requireExec(flags)
      if (paths.includes('-')) {
        if (paths.length > 1) throw new UsageError(ONLY_STANDARD_INPUT)
        if (flags.name === undefined) throw new UsageError(NAME_NEEDED)
      }
      if (flags.dryRun === true) return listSources(paths, flags)
      const requestLink = requestLinkIn(flags)
      const link = await linkOf(flags)
      const signal = interruptSignal()
      if (requestLink !== null) {
        const { sendByRequest } = await import('./send-by-request.ts')
        process.exitCode = await sendByRequest(requestLink, paths, flags, signal)
        return
      }
      await using me = await openedProfile(flags)
      if (me.isStateTemporary) warnOfTemporaryState()
      if (flags.verbose === true) await traceRequests(me.portalUrl)
      const isJson = flags.json === true
      const lines = link === undefined || isJson ? output() : linesBesideLink()
      const view = await chooseView(lines, isJson, flags.verbose === true, paths)
      const given = { ...sendOptions(flags), ...(link === undefined ? {} : { link }), signal }
      process.exitCode = await runSend(me, paths, given, view, flags)
    })
}

const WHO = 'say who receives it: --to NAME; or print a link for people without an account: --link'
const LINK_ALONE = 'by the link of a request, files go to who made it: leave the other receivers and --link out'

/** @returns the link to which files go; null where accounts, or people with a link, receive. @throws UsageError */
function requestLinkIn({ to = [], link = false, plain }: SendFlags): string | null {
  if (to.length === 0 && !link) throw new UsageError(WHO)
  const found = to.find((one) => one.includes('://'))
  if (found === undefined) return null
  if (to.length > 1 || link) throw new UsageError(LINK_ALONE)
  if (plain === true) throw new UsageError('what is sent by a link is always sealed: leave --plain out')
  return found
}

/** @throws UsageError; InterruptedError */
async function linkOf(flags: SendFlags): Promise<SendOptions['link']> {
  const { link = false, takes, expiry } = flags
  if (!link) {
    const isFor = takes !== undefined || expiry !== undefined || flags.passphrase === true
    if (isFor || flags.passphraseFile !== undefined) {
      throw new UsageError('--takes, --expiry and --passphrase are for links: add --link')
    }
    return undefined
  }
  const passphrase = await passphraseOf(flags, { isNew: true })
  return withoutUndefined({ takes, expiryMs: expiry, passphrase: passphrase ?? undefined })
}

const sendHelp = `
Examples:
  golooader send report.pdf --to bob                 wait until bob has it
  golooader send *.jpg --to bob,carol                several files, several receivers
  golooader send photos --to bob                     a folder, as one delivery
  golooader send report.pdf --link                   print a link: one person without an account can receive it
  golooader send report.pdf --link --takes 5 --expiry 2d     five people, within two days
  golooader send tax.pdf --to 'https://…/r#glr_…'    to who asked for files by this link; no account is needed
  golooader send big.iso --to bob --no-wait          return once the portal has it; see later: golooader status
  golooader send big.iso --to bob --wait 10m         wait for bob ten minutes at most
  golooader send data.csv --to bob --json            one JSON object a line
  golooader send data.csv --to bob --exec './sent.sh'    run a command when it is stored, and when bob has it
  pg_dump db | golooader send - --name dump.sql --to bob   what a program writes, of any length

Files are sealed for their receivers, that is, end-to-end encrypted: the portal can read neither them nor their names.
Receivers sign a receipt, and 'delivered' is said only with a valid one: golooader receipt TRANSFER.

A path that is a symbolic link is followed: what it leads to is sent, under the name of the link. In a folder, links
stay links. Folders keep times, the executable bit, empty folders, and links that stay inside. What a file .golooaderignore in
a folder names is left out, as with .gitignore. See what would be sent: --dry-run.

With --link, standard output has the link alone, once the file is stored. A person who opens it in a browser, or gives it
to 'golooader receive LINK', takes the file, and this command says so. Ctrl-C does not end the link: 'golooader cancel' does.
Anyone who has the link can take the file, so send it by a way that you trust, or add --passphrase.

Interrupted? Run the same command again: it continues, with the same link.

Standard input, FIFOs and <(…) of a shell are sent while they come, without a copy on the disk. They cannot be
continued: what breaks off is deleted at the portal (exit code 5), and is sent again from its beginning. A pipe does
not tell whether the program before it failed. So begin a script with: set -o pipefail

--exec runs its command for each file when it is stored, and again when it is delivered, failed or refused: at least once for each, one at a
time. It gets GOLOOADER_EXEC_EVENT (one of these words), _TRANSFER_ID, _NAME, _PATH, _TO and _PROBLEM, and the same as JSON with the receipts
on standard input. Interrupted, run the same send again: it runs the command again. Without an answer (5, 6) it does not run.

Exit codes:
  0    delivered to all receivers (with --no-wait: stored)
  1    a bug in golooader
  2    wrong usage: nothing was sent
  3    stored, but a delivery failed; the reason was shown
  4    refused by the portal, or its certificate is not trusted: sending again will not help
  5    no answer: assume that it was not received; run the same command again
  6    stored, but not yet delivered when --wait ran out
  7    delivered, or with --no-wait stored, but standard output could not be written
  8    delivered, or with --no-wait stored, but a command of --exec failed
  130  interrupted
  Of several files, the first of 5, 4, 3, 6 that happened to any of them.`

/** The options of a send, as the library takes them. */
export function sendOptions(flags: SendFlags): SendOptions {
  const { to, name, wait, as, answerTimeout } = flags
  return withoutUndefined({
    ...uploadOptionsOf(flags),
    to,
    name,
    as,
    until: wait === false ? ('stored' as const) : ('delivered' as const),
    deliveryTimeoutMs: typeof wait === 'number' ? wait : undefined,
    responseTimeoutMs: answerTimeout,
  })
}

/** Sends files and shows the progress. @returns the exit code */
export async function runSend<Options extends Pick<SendOptions, 'signal' | 'onEvent' | 'onOutcome'>>(
  me: { send(input: SendInput, options: Options): Promise<SendOutcome[]> },
  paths: readonly string[],
  options: Options,
  view: SendView,
  flags: Pick<SendFlags, 'to' | 'name' | 'as' | 'exec' | 'execTimeout'> = {},
): Promise<number> {
  let outcomes: SendOutcome[] = []
  let linked: string | null = null
  const commands = Commands.of(flags, view.onCommand)
  const handlers = commands === null ? null : sendHandlers(commands, flags, options.signal ?? never)
  const onEvent: SendOptions['onEvent'] = (event) => {
    if (event.type === 'link') linked = event.transferId
    view.onEvent(event)
    handlers?.onEvent(event)
  }
  const given = { ...options, onEvent, ...(handlers === null ? {} : { onOutcome: handlers.onOutcome }) }
  try {
    const { standardInput } = await import('../sender/node-stream-input.ts')
    outcomes = await me.send(paths[0] === '-' ? standardInput() : paths, given)
  } catch (error) {
    view.end([], exitCodeFor(error))
    if (linked !== null && error instanceof InterruptedError) {
      sayError(`The link keeps working. See it again: golooader status ${linked}; end it: golooader cancel ${linked}`)
    }
    throw error
  }
  const sent = exitCodeOfAll(new Set(outcomes.map(({ outcome }) => outcome)))
  const exitCode = sent === exitCodes.ok && commands?.hasFailed === true ? exitCodes.commandFailed : sent
  view.end(outcomes, exitCode)
  return exitCode
}
