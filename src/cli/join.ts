import { text } from 'node:stream/consumers'
import type { Command } from 'commander'
import { join } from '../library/join.ts'
import { interruptSignal } from './exit.ts'
import { type ConnectionFlags, connectionOf, insecureOption, option, systemCaOption } from './options.ts'
import { print } from './output.ts'

export function joinCommand(program: Command): void {
  program
    .command('join')
    .summary('join a portal with the link of an invite')
    .description(
      'Joins the portal that invited you, and writes a profile on this machine: a token that identifies you, and the\n' +
        'keys with which files are sealed for you, and with which you sign what you send and receive.\n' +
        'Joining again with the same link, after a lost answer, is safe.',
    )
    .argument('<link>', "the link, or '-' to read it from standard input")
    .addOption(option('--profile <name>', 'name for the profile; the name of the account if not given'))
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addHelpText(
      'after',
      `
Examples:
  golooader join 'https://portal.example/join#gli_…'
  golooader join - < link.txt
  golooader join 'https://…' --profile work`,
    )
    .action(async (link: string, flags: ConnectionFlags & { profile?: string }) => {
      const { account, path, portalUrl, fingerprint } = await join(link === '-' ? await text(process.stdin) : link, {
        ...(flags.profile === undefined ? {} : { profile: flags.profile }),
        ...connectionOf(flags),
        signal: interruptSignal(),
      })
      print(
        `joined ${portalUrl} as ${account} (profile ${path})\n` +
          `your keys:      ${fingerprint}\n` +
          'receive files:  golooader receive --into DIR --create\n' +
          'send files:     golooader send FILE --to NAME\n',
      )
    })
}
