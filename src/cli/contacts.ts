import type { Command } from 'commander'
import type { Profile } from '../library/profile.ts'
import { interruptSignal } from './exit.ts'
import {
  accountName,
  fingerprint,
  insecureOption,
  jsonOption,
  openedProfile,
  type ProfileFlags,
  profileOption,
  systemCaOption,
} from './options.ts'
import { print } from './output.ts'

interface Flags extends ProfileFlags {
  readonly json?: boolean
}

export function contactsCommand(program: Command): void {
  const contacts = program
    .command('contacts')
    .summary('see whom you know by which keys, and say whom you trust')
    .description(
      'Lists the accounts whose keys this machine knows, with short fingerprints. Keys are remembered at the first use;\n' +
        'other keys are refused from then on, until you confirm them.',
    )
    .addOption(profileOption())
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  golooader contacts                                               list them
  golooader contacts trust bob abcd-efgh-ijkl-mnop-qrst-uvwx       before the first use, or after bob got new keys

The fingerprint is what 'golooader whoami' says on the other's machine. Ask for it by another way than the portal.`,
    )
    .action(async (flags: Flags) => {
      await using me = await openedProfile(flags)
      showContacts(await me.contacts(), flags.json === true)
    })
  contacts
    .command('trust')
    .summary('trust the keys that have this fingerprint')
    .description('Trusts the keys of an account with this fingerprint. They replace the keys trusted before.')
    .argument('<name>', 'the account', accountName)
    .argument('<fingerprint>', 'what golooader whoami says on its machine', fingerprint)
    .addOption(profileOption())
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .action(async (name: string, wanted: string, _flags: unknown, command: Command) => {
      const flags: Flags = command.optsWithGlobals()
      await using me = await openedProfile(flags)
      await me.trust(name, wanted, { signal: interruptSignal() })
      print(`${name} is trusted by the keys ${wanted}\n`)
    })
}

export function whoamiCommand(program: Command): void {
  program
    .command('whoami')
    .summary('see your own account and the fingerprint of your keys')
    .description('Shows your account, and the fingerprint by which others know your keys.')
    .addOption(profileOption())
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  golooader whoami --profile bob')
    .action(async (flags: Flags) => {
      await using me = await openedProfile(flags)
      const identity = await me.identity({ signal: interruptSignal() })
      const { account, portalUrl } = identity
      print(
        flags.json === true
          ? `${JSON.stringify({ account, portalUrl, fingerprint: identity.fingerprint, keys: identity.keys })}\n`
          : `${account} at ${portalUrl}\nkeys: ${identity.fingerprint ?? 'none: nothing can be sealed for you, and you sign nothing'}\n`,
      )
    })
}

function showContacts(known: Awaited<ReturnType<Profile['contacts']>>, isJson: boolean): void {
  if (isJson) {
    for (const contact of known) print(`${JSON.stringify(contact)}\n`)
    return
  }
  if (known.length === 0)
    print('no contacts yet: keys are remembered when you first send to an account, or receive from it\n')
  const width = Math.max(0, ...known.map(({ account }) => account.length))
  for (const { account, fingerprint, by, since } of known) {
    const how = by === 'fingerprint' ? 'you compared the fingerprint' : 'remembered at the first use'
    print(`${account.padEnd(width)}  ${fingerprint}  ${how}, ${since.slice(0, 10)}\n`)
  }
}
