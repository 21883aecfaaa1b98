import type { Command } from 'commander'
import { Patience } from '../client/index.ts'
import { FileReceipts } from '../profile/index.ts'
import type { SendOutcome } from '../sender/events.ts'
import { send } from '../sender/node.ts'
import { type Connection, connect, knownSelf } from './connect.ts'
import { exitCodeFor, exitCodes, interruptSignal, UsageError } from './exit.ts'
import {
  accountNames,
  durationMs,
  flag,
  insecureOption,
  jsonOption,
  option,
  profileOption,
  sizeBytes,
  wholeNumber,
} from './options.ts'
import { stateFolder } from './profiles.ts'
import { chooseView, type SendView } from './send-view.ts'

interface SendFlags {
  readonly to: readonly string[]
  readonly profile?: string
  readonly insecure?: boolean
  readonly json?: boolean
  readonly answerTimeout: number
  /** `--wait 10m`; false for `--no-wait`; true or undefined for as long as it takes. */
  readonly wait?: number | boolean
  readonly plain?: boolean
  readonly partSize?: number
  readonly partsInFlight?: number
}

const ANSWER_TIMEOUT_MS_DEFAULT = 60_000
const NO_KEYS =
  'without keys nothing can be sealed. Set GOLOOADER_KEYS to the "keys" of the profile, or send it readable for the portal: --plain'

export function sendCommand(program: Command): void {
  program
    .command('send')
    .summary('send files, and hear twice what became of each')
    .description(
      'Sends files to one or more receivers by way of the portal, and tells twice what became of each:\n' +
        'first whether the portal has it (stored, refused), then whether the receiver has it (delivered, failed).',
    )
    .argument('<file...>', 'files to send')
    .addOption(option('--to <names>', 'receivers, separated by commas').argParser(accountNames).makeOptionMandatory())
    .addOption(profileOption())
    .addOption(
      option('--answer-timeout <duration>', 'how long to bear silence before giving up with exit code 5')
        .argParser(durationMs)
        .default(ANSWER_TIMEOUT_MS_DEFAULT, '60s'),
    )
    .addOption(
      option(
        '--wait <duration>',
        'how long to wait for the receivers once the file is stored; for ever if not given',
      ).argParser(durationMs),
    )
    .addOption(option('--no-wait', 'return after the first notification'))
    .addOption(flag('--plain', 'do not seal: the portal, and whoever gets into it, can read the files'))
    .addOption(insecureOption())
    .addOption(jsonOption())
    .addOption(option('--part-size <size>', 'size of the parts that travel').argParser(sizeBytes))
    .addOption(
      option(
        '--parts-in-flight <number>',
        'parts on their way at the same time; found out by trying if not given',
      ).argParser(wholeNumber),
    )
    .addHelpText('after', sendHelp)
    .action(async (paths: string[], flags: SendFlags) => {
      const signal = interruptSignal()
      const connection = await connect(flags.profile, flags)
      const view = await chooseView(process.stdout, flags.json === true)
      try {
        process.exitCode = await runSend(connection, paths, flags, view, signal)
      } finally {
        await connection.client.close()
      }
    })
}

const sendHelp = `
Examples:
  golooader send report.pdf --to bob                 wait until bob has it
  golooader send *.jpg --to bob,carol                several files, several receivers
  golooader send big.iso --to bob --no-wait          return once the portal has it; see later: golooader status
  golooader send big.iso --to bob --wait 10m         wait for bob ten minutes at most
  golooader send data.csv --to bob --json            one JSON object a line

Files are sealed for their receivers: the portal cannot read them, nor their names. Their receivers sign for them, and
'delivered' is said only with a valid receipt: golooader receipt TRANSFER.

Interrupted? Run the same command again: it goes on where it stopped.

Exit codes:
  0    delivered to all receivers (with --no-wait: stored)
  1    a bug in golooader
  2    wrong usage: nothing was sent
  3    stored, but a receiver did not take it; its reason was shown
  4    refused by the portal, or its certificate is not trusted: sending again will not help
  5    no answer: assume that it was not received; run the same command again
  6    stored, but not yet delivered when --wait ran out
  130  interrupted
  Of several files, the first of 5, 4, 3, 6 that happened to any of them.`

/** Sends files and shows it. @returns the exit code */
export async function runSend(
  connection: Connection,
  paths: readonly string[],
  flags: SendFlags,
  view: SendView,
  signal: AbortSignal,
): Promise<number> {
  const { client, portalUrl, contacts } = connection
  let outcomes: SendOutcome[] = []
  try {
    const { account, keys } = await knownSelf(
      connection,
      signal,
      new Patience({ answerTimeoutMs: flags.answerTimeout, signal }),
    )
    const isSealing = flags.plain !== true
    if (keys === null && isSealing) throw new UsageError(NO_KEYS)
    const receipts = new FileReceipts(stateFolder())
    outcomes = await send({
      client,
      identity: { portalUrl, account },
      trust: keys === null ? null : { keys, contacts, isSealing, receipts },
      stateFolder: stateFolder(),
      paths,
      to: flags.to,
      answerTimeoutMs: flags.answerTimeout,
      waitMs: typeof flags.wait === 'number' ? flags.wait : null,
      isWaiting: flags.wait !== false,
      signal,
      onEvent: (event) => view.onEvent(event),
      ...(flags.partSize === undefined ? {} : { partSizeBytes: flags.partSize }),
      ...(flags.partsInFlight === undefined ? {} : { partsInFlight: flags.partsInFlight }),
    })
  } catch (error) {
    view.end([], exitCodeFor(error))
    throw error
  }
  const exitCode = exitCodeOf(outcomes)
  view.end(outcomes, exitCode)
  return exitCode
}

/** Of several outcomes, the one that most needs somebody to act. */
function exitCodeOf(outcomes: readonly SendOutcome[]): number {
  const codes = {
    'no-answer': exitCodes.noAnswer,
    refused: exitCodes.refused,
    failed: exitCodes.failed,
    undelivered: exitCodes.undelivered,
  } as const
  for (const [outcome, code] of Object.entries(codes)) {
    if (outcomes.some((one) => one.outcome === outcome)) return code
  }
  return exitCodes.ok
}
