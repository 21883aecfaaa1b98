import type { Command } from 'commander'
import { deliverLink, type LedgerPlace, placeFlags, withAccounts } from './operator.ts'
import { accountName, databaseOption, dataOption, flag, publicUrlOption } from './options.ts'
import { sayError } from './output.ts'

export function inviteCommand(program: Command): void {
  program
    .command('invite')
    .summary('let someone join (for the operator of the portal)')
    .description(
      'Prints a link with which NAME joins the portal: it works once, for 24 hours.\n' +
        'Run it where the portal keeps its data, or with its --database, once the portal has been started; it may be ' +
        'running meanwhile.',
    )
    .argument('<name>', 'name of the new account: lower-case letters, digits, dots, dashes, underscores', accountName)
    .addOption(dataOption())
    .addOption(databaseOption())
    .addOption(publicUrlOption())
    .addOption(flag('--operator', 'let the account see the state of the whole portal'))
    .addHelpText(
      'after',
      `
Examples:
  golooader invite alice
  golooader invite carol --operator
  golooader invite bob --data /srv/gl | ssh bob@laptop golooader join -`,
    )
    .action(async (name: string, flags: LedgerPlace & { operator?: boolean }) => {
      const isOperator = flags.operator === true
      const link = await withAccounts(flags, name, (accounts) => accounts.invite(name, { isOperator }))
      await deliverLink(link, `golooader invite ${name}${placeFlags(flags)}`)
      sayError(`This link works once, for 24 hours. ${name} opens it in a browser, or joins with: golooader join LINK`)
    })
}
