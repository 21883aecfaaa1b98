import type { Command } from 'commander'
import { readTextOrNull } from '../hop/index.ts'
import { portalDefaults } from '../portal/options.ts'
import { isAccountName } from '../protocol/index.ts'
import { UsageError } from './exit.ts'
import { dataOption, option, webAddress } from './options.ts'

export function inviteCommand(program: Command): void {
  program
    .command('invite')
    .summary('let someone join (for the operator of the portal)')
    .description(
      'Prints a link with which NAME joins the portal: it works once, for 24 hours.\n' +
        'Run it where the portal keeps its data; the portal may be running meanwhile.',
    )
    .argument('<name>', 'name of the new account: lower-case letters, digits, dots, dashes, underscores')
    .addOption(dataOption())
    .addOption(
      option('--public-url <url>', 'address of the portal, if it is not the one it listens on').argParser(webAddress),
    )
    .addHelpText(
      'after',
      `
Examples:
  golooader invite alice
  golooader invite bob --data /srv/gl | ssh bob@laptop golooader join -`,
    )
    .action(async (name: string, flags: { data: string; publicUrl?: string }) => {
      process.stdout.write(`${await makeInvite(name, flags.data, flags.publicUrl)}\n`)
      process.stderr.write(`This link works once, for 24 hours. ${name} joins with: golooader join LINK\n`)
    })
}

/** Makes an invite. @returns the link; the secret stands behind the `#`, where no server ever sees it */
export async function makeInvite(name: string, dataFolder: string, publicUrl?: string): Promise<string> {
  if (!isAccountName(name)) {
    throw new UsageError(
      `'${name}' cannot be the name of an account: use lower-case letters, digits, '.', '-' and '_', 63 at most`,
    )
  }
  const { addressFile, invite, openLedger } = await import('../portal/index.ts')
  const ledger = await openLedger(dataFolder)
  try {
    const secret = await invite(ledger, name, portalDefaults.inviteMs)
    const url = publicUrl ?? (await readAddress(addressFile(dataFolder)))
    return `${url}/join#${secret}`
  } finally {
    await ledger.close()
  }
}

/** The address the portal last listened on; its default one if it never ran. */
async function readAddress(path: string): Promise<string> {
  const address = await readTextOrNull(path)
  return address?.trim() ?? `http://${portalDefaults.listenHost}:${portalDefaults.listenPort}`
}
