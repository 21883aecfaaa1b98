import type { Command } from 'commander'
import { RemoteProblem } from '../client/index.ts'
import { isAccountName, type PublicKeys } from '../protocol/index.ts'
import { fingerprintOf, parseFingerprint } from '../trust/index.ts'
import { type Connection, connect, knownSelf, shortPatience } from './connect.ts'
import { interruptSignal, UsageError } from './exit.ts'
import { insecureOption, jsonOption, profileOption } from './options.ts'
import { printable } from './text.ts'

interface Flags {
  readonly profile?: string
  readonly insecure?: boolean
  readonly json?: boolean
}

export function contactsCommand(program: Command): void {
  const contacts = program
    .command('contacts')
    .summary('see whom you know by which keys, and say whom you trust')
    .description(
      'Lists the accounts whose keys this machine knows, with short fingerprints. Keys are remembered at the first use;\n' +
        'others are refused from then on, until you say that they are right.',
    )
    .addOption(profileOption())
    .addOption(insecureOption())
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
      const { client, contacts: known } = await connect(flags.profile, flags)
      try {
        showContacts(await known.list(), flags.json === true)
      } finally {
        await client.close()
      }
    })
  contacts
    .command('trust')
    .summary('trust the keys that have this fingerprint')
    .description('Trusts the keys of an account that have this fingerprint, in place of whatever was trusted before.')
    .argument('<name>', 'the account')
    .argument('<fingerprint>', 'what golooader whoami says on its machine')
    .addOption(profileOption())
    .addOption(insecureOption())
    .action(async (name: string, text: string, _flags: unknown, command: Command) => {
      const flags: Flags = command.optsWithGlobals()
      const fingerprint = parseFingerprint(text)
      if (!isAccountName(name)) throw new UsageError(`'${printable(name)}' cannot be the name of an account`)
      if (fingerprint === null) {
        throw new UsageError(`'${printable(text)}' is not a fingerprint: it looks like abcd-efgh-ijkl-mnop-qrst-uvwx`)
      }
      const connection = await connect(flags.profile, flags)
      try {
        await trust(connection, name, fingerprint, interruptSignal())
        process.stdout.write(`${name} is trusted by the keys ${fingerprint}\n`)
      } finally {
        await connection.client.close()
      }
    })
}

export function whoamiCommand(program: Command): void {
  program
    .command('whoami')
    .summary('see your own account and the fingerprint of your keys')
    .description('Shows as whom you act, and the fingerprint by which others know your keys.')
    .addOption(profileOption())
    .addOption(insecureOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  golooader whoami --profile bob')
    .action(async (flags: Flags) => {
      const connection = await connect(flags.profile, flags)
      try {
        const { account, keys } = await knownSelf(connection, interruptSignal())
        const fingerprint = keys === null ? null : await fingerprintOf(keys.publicKeys)
        const { portalUrl } = connection
        process.stdout.write(
          flags.json === true
            ? `${JSON.stringify({ account, portalUrl, fingerprint, keys: keys?.publicKeys ?? null })}\n`
            : `${account} at ${portalUrl}\nkeys: ${fingerprint ?? 'none: nothing can be sealed for you, and you sign nothing'}\n`,
        )
      } finally {
        await connection.client.close()
      }
    })
}

function showContacts(known: Awaited<ReturnType<Connection['contacts']['list']>>, isJson: boolean): void {
  if (isJson) {
    for (const contact of known) process.stdout.write(`${JSON.stringify(contact)}\n`)
    return
  }
  if (known.length === 0)
    process.stdout.write('nobody yet: keys are remembered when you first send to, or receive from\n')
  const width = Math.max(0, ...known.map(({ account }) => account.length))
  for (const { account, fingerprint, by, since } of known) {
    const how = by === 'fingerprint' ? 'you compared the fingerprint' : 'remembered at the first use'
    process.stdout.write(`${account.padEnd(width)}  ${fingerprint}  ${how}, ${since.slice(0, 10)}\n`)
  }
}

/** @throws UsageError when the portal names other keys: then what was trusted before stays so */
async function trust(
  { client, contacts }: Connection,
  name: string,
  fingerprint: string,
  signal: AbortSignal,
): Promise<void> {
  const named = await keysAtPortal(client, name, signal)
  const offered = named === null ? null : await fingerprintOf(named)
  if (offered !== null && offered !== fingerprint) {
    throw new UsageError(
      `the portal says that ${name} has the keys ${offered}, not ${fingerprint}. Nothing was changed. ` +
        `If ${name} insists on the fingerprint you gave, do not trust the portal`,
    )
  }
  await contacts.trust(name, fingerprint, named)
}

async function keysAtPortal(
  client: Connection['client'],
  name: string,
  signal: AbortSignal,
): Promise<PublicKeys | null> {
  try {
    return (await shortPatience(signal).insist(() => client.accountOf(name, { signal }))).keys
  } catch (error) {
    // Somebody who has not joined yet can be trusted already.
    if (error instanceof RemoteProblem && error.code === 'receiver-unknown') return null
    throw error
  }
}
