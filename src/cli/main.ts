/** The command line: every command, and how it ends. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError, Help, type Option } from 'commander'
import { output, print, sayError } from './output.ts'
import { bugText } from './stacks.ts'
import { widthOf } from './terminal.ts'

/** Loads the definition of each command, so that a command does not load the others. */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  portal: async () => (await import('./portal.ts')).portalCommand,
  invite: async () => (await import('./invite.ts')).inviteCommand,
  accounts: async () => (await import('./accounts.ts')).accountsCommand,
  join: async () => (await import('./join.ts')).joinCommand,
  receive: async () => (await import('./receive.ts')).receiveCommand,
  send: async () => (await import('./send.ts')).sendCommand,
  watch: async () => (await import('./watch.ts')).watchCommand,
  request: async () => (await import('./request.ts')).requestCommand,
  webhook: async () => (await import('./webhook.ts')).webhookCommand,
  status: async () => (await import('./status.ts')).statusCommand,
  cancel: async () => (await import('./cancel.ts')).cancelCommand,
  receipt: async () => (await import('./receipt.ts')).receiptCommand,
  verify: async () => (await import('./verify.ts')).verifyCommand,
  contacts: async () => (await import('./contacts.ts')).contactsCommand,
  whoami: async () => (await import('./contacts.ts')).whoamiCommand,
  service: async () => (await import('./service.ts')).serviceCommand,
  logs: async () => (await import('./logs.ts')).logsCommand,
  profile: async () => (await import('./profile.ts')).profileCommand,
  doctor: async () => (await import('./doctor.ts')).doctorCommand,
  demo: async () => (await import('./demo.ts')).demoCommand,
  completion: async () => (await import('./completion.ts')).completionCommand,
}

const help = `
The first five minutes, on one machine:
  golooader portal                           run the portal (leave it running)
  golooader invite alice                     a link; then: golooader join LINK
  golooader invite bob                       a link; then: golooader join LINK
  golooader receive --into in --create --profile bob      bob waits for files
  golooader send report.pdf --to bob --profile alice
  golooader send report.pdf --link --profile alice        a link for anybody

Every option is also an environment variable: --answer-timeout is GOLOOADER_ANSWER_TIMEOUT. Flags win.

Or see it all at work: golooader demo`

/** The command line with all commands, or only with the named ones. */
export async function commandLine(names: readonly string[] = Object.keys(commands)): Promise<Command> {
  const program = new Command('golooader')
    .description('File delivery with receipts: send a file; hear when the portal has it, and when its receiver has it.')
    .version(version())
    .addHelpText('after', help)
    .configureHelp({ optionDescription })
    .configureOutput({
      writeOut: (text) => print(filledText(text, widthOf(process.stdout))),
      writeErr: (text) => sayError(filledText(text, widthOf(process.stderr)).replace(/\n$/, '')),
      outputError: (text) => sayError(text.replace(/\n$/, '')),
      getOutHelpWidth: () => widthOf(process.stdout),
      getErrHelpWidth: () => widthOf(process.stderr),
    })
    .exitOverride()
  const adds = await Promise.all(names.map((name) => commands[name]?.()))
  for (const add of adds) add?.(program)
  pointToOwnHelp(program, [])
  nameMistyped(program)
  return program
}

/** The text of an option in the help. Commander itself leaves out a default that is words and no value. */
function optionDescription(option: Option): string {
  const { defaultValue, defaultValueDescription, mandatory } = option
  const shown = { defaultValue: defaultValue ?? (mandatory ? undefined : defaultValueDescription) }
  return new Help().optionDescription(Object.assign(Object.create(option), shown))
}

/** Lines of prose that are longer are hard to read. */
const PROSE_COLUMNS_MAX = 120

/** Breaks the lines of paragraphs for a width. Lines that begin with a space are examples or tables, and stay as they are. */
export function filledText(text: string, columns: number): string {
  return text.replace(/^\S.*(?:\n\S.*)*/gm, (paragraph) =>
    new Help().boxWrap(paragraph.replaceAll('\n', ' '), Math.min(columns, PROSE_COLUMNS_MAX)),
  )
}

/** Makes the message after a mistake point to the command's own help. */
function pointToOwnHelp(command: Command, path: readonly string[]): void {
  const words = [...path, command.name()]
  command.showHelpAfterError(`(${words.join(' ')} --help shows how)`)
  for (const one of command.commands) pointToOwnHelp(one, words)
}

/**
 * A command with subcommands and a default action (`accounts`, `contacts`) would take a mistyped subcommand for an argument. This
 * makes it report an unknown command.
 */
function nameMistyped(command: Command): void {
  const refuseMistyped = (one: Command): void => {
    const [first = ''] = one.args
    const isKnown = one.commands.some((own) => own.name() === first)
    if (first !== '' && !first.startsWith('-') && !isKnown) one.error(`error: unknown command '${first}'`)
  }
  for (const one of command.commands.filter(({ commands: own }) => own.length > 0)) {
    one.allowExcessArguments()
    one.hook('preSubcommand', refuseMistyped)
    one.hook('preAction', (own, acting) => {
      if (own === acting) refuseMistyped(own)
    })
    nameMistyped(one)
  }
}

/** Runs a command line. @returns the exit code */
export async function main(argv: readonly string[]): Promise<number> {
  // Otherwise Node would also print the line of code, and lines of the bundle are long.
  process.on('uncaughtException', (error) => {
    sayError(`golooader: ${bugText(error)}`)
    process.exit(1)
  })
  // An error message that cannot be written is ignored, because the exit code still tells the result.
  process.stderr.on('error', () => {})
  const code = await run(argv)
  await output().flush()
  if (code !== 0 || !output().isLost) return code
  return (await import('./exit.ts')).exitCodes.outputLost
}

async function run(argv: readonly string[]): Promise<number> {
  try {
    const program = await commandLine(namesIn(argv))
    await program.parseAsync(withoutVainHelp(program, argv), { from: 'user' })
    return Number(process.exitCode ?? 0)
  } catch (error) {
    // Commander has printed the requested version or help.
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    const { reportError } = await import('./exit.ts')
    return reportError(error)
  }
}

/** Commands that need the definitions of all others. */
const NEED_ALL = ['completion']

/** Removes the word `help` before an unknown command, so that commander suggests the closest command instead of the general help. */
function withoutVainHelp(command: Command, argv: readonly string[]): readonly string[] {
  const [first = '', second = '', ...rest] = argv
  if (first === 'help' && second !== '' && second !== 'help' && !second.startsWith('-')) {
    return command.commands.some((one) => one.name() === second) ? argv : [second, ...rest]
  }
  const own = command.commands.find((one) => one.name() === first)
  return own === undefined || own.commands.length === 0 ? argv : [first, ...withoutVainHelp(own, argv.slice(1))]
}

/** The commands to load for a command line: its first word. Help and mistyped names need all commands. */
function namesIn([first = '']: readonly string[]): readonly string[] | undefined {
  if (/^(?:-V|--version)$/.test(first)) return []
  return Object.hasOwn(commands, first) && !NEED_ALL.includes(first) ? [first] : undefined
}

function version(): string {
  const manifest: { version: string } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return manifest.version
}
