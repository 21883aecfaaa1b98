import type { Command } from 'commander'
import { portalDefaults } from '../portal/options.ts'
import { accountError, type LedgerPlace, linkOf, requireAccountName, withLedger } from './operator.ts'
import { databaseOption, dataOption, option, webAddress } from './options.ts'

export function inviteCommand(program: Command): void {
  program
    .command('invite')
    .summary('let someone join (for the operator of the portal)')
    .description(
      'Prints a link with which NAME joins the portal: it works once, for 24 hours.\n' +
        'Run it where the portal keeps its data, or with its --database, once the portal has been started; it may be ' +
        'running meanwhile.',
    )
    .argument('<name>', 'name of the new account: lower-case letters, digits, dots, dashes, underscores')
    .addOption(dataOption())
    .addOption(databaseOption())
    .addOption(
      option('--public-url <url>', 'address of the portal, if it is not the one it listens on').argParser(webAddress),
    )
    .option('--operator', 'an account that may see how the whole portal does')
    .addHelpText(
      'after',
      `
Examples:
  golooader invite alice
  golooader invite carol --operator
  golooader invite bob --data /srv/gl | ssh bob@laptop golooader join -`,
    )
    .action(async (name: string, flags: LedgerPlace & { publicUrl?: string; operator?: boolean }) => {
      process.stdout.write(`${await makeInvite(name, flags, { ...flags, isOperator: flags.operator === true })}\n`)
      process.stderr.write(
        `This link works once, for 24 hours. ${name} opens it in a browser, or joins with: golooader join LINK\n`,
      )
    })
}

/**
 * Makes an invite.
 *
 * @returns the link
 * @throws UsageError for a name that is taken or cannot be one, and where no portal has run yet
 */
export async function makeInvite(
  name: string,
  place: LedgerPlace,
  { publicUrl, isOperator = false }: { publicUrl?: string; isOperator?: boolean } = {},
): Promise<string> {
  requireAccountName(name)
  const { invite } = await import('../portal/index.ts')
  return withLedger(place, async (ledger) => {
    const secret = await invite(ledger, name, portalDefaults.inviteMs, { isOperator })
    return linkOf(secret, ledger, publicUrl)
  }).catch((error: unknown) => {
    throw accountError(error, name, place)
  })
}
