/** The command line: every command, and how it ends. */
import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { accountsCommand } from './accounts.ts'
import { cancelCommand } from './cancel.ts'
import { contactsCommand, whoamiCommand } from './contacts.ts'
import { demoCommand } from './demo.ts'
import { reportError } from './exit.ts'
import { inviteCommand } from './invite.ts'
import { joinCommand } from './join.ts'
import { portalCommand } from './portal.ts'
import { receiptCommand } from './receipt.ts'
import { receiveCommand } from './receive.ts'
import { sendCommand } from './send.ts'
import { statusCommand } from './status.ts'
import { verifyCommand } from './verify.ts'

const help = `
The first five minutes, on one machine:
  golooader portal                           run the portal (leave it running)
  golooader invite alice                     prints a link; then: golooader join LINK
  golooader invite bob                       prints a link; then: golooader join LINK
  golooader receive --into in --profile bob  bob waits for files
  golooader send report.pdf --to bob --profile alice

Every option is also an environment variable: --answer-timeout is GOLOOADER_ANSWER_TIMEOUT. Flags win.
Or see it all at work: golooader demo`

/** Every command with its options. */
export function commandLine(): Command {
  const program = new Command('golooader')
    .description('File delivery with receipts: send a file, and hear twice what became of it.')
    .version(version())
    .showHelpAfterError('(golooader --help shows how)')
    .addHelpText('after', help)
    .exitOverride()
  for (const add of [
    portalCommand,
    inviteCommand,
    accountsCommand,
    joinCommand,
    receiveCommand,
    sendCommand,
    statusCommand,
    cancelCommand,
    receiptCommand,
    verifyCommand,
    contactsCommand,
    whoamiCommand,
    demoCommand,
  ]) {
    add(program)
  }
  return program
}

/** Runs a command line. @returns the exit code */
export async function main(argv: readonly string[]): Promise<number> {
  const program = commandLine()
  // That nobody reads, or that a log is full, is no reason to stop the work, and must not change how it ends.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  try {
    await program.parseAsync(argv, { from: 'user' })
    return Number(process.exitCode ?? 0)
  } catch (error) {
    return reportError(error)
  }
}

function version(): string {
  const manifest: { version: string } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return manifest.version
}
