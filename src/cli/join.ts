import { text } from 'node:stream/consumers'
import type { Command } from 'commander'
import { PortalClient, RemoteProblem } from '../client/index.ts'
import { nodeTransport, type TransportOptions } from '../client/node-transport.ts'
import { isInvite } from '../protocol/index.ts'
import { AccountKeys, fingerprintOf } from '../trust/index.ts'
import { shortPatience } from './connect.ts'
import { interruptSignal, UsageError } from './exit.ts'
import { insecureOption, option } from './options.ts'
import { pendingToken, readProfile, writeProfile } from './profiles.ts'

export function joinCommand(program: Command): void {
  program
    .command('join')
    .summary('join a portal with the link of an invite')
    .description(
      'Joins the portal that invited you, and keeps what proves it is you in a profile on this machine:\n' +
        'a token, and the keys that files to you are sealed for and that sign what you send and receive.\n' +
        'Joining again with the same link, after a lost answer, is safe.',
    )
    .argument('<link>', "the link, or '-' to read it from standard input")
    .addOption(option('--profile <name>', 'name for the profile; the name of the account if not given'))
    .addOption(insecureOption())
    .addHelpText(
      'after',
      `
Examples:
  golooader join 'https://portal.example/join#gli_…'
  golooader join - < link.txt
  golooader join 'https://…' --profile work`,
    )
    .action(async (link: string, flags: { profile?: string; insecure?: boolean }) => {
      const { account, path, portalUrl, fingerprint } = await joinPortal(link, flags.profile, interruptSignal(), flags)
      process.stdout.write(
        `joined ${portalUrl} as ${account} (profile ${path})\n` +
          `your keys:      ${fingerprint}\n` +
          'receive files:  golooader receive --into DIR\n' +
          'send files:     golooader send FILE --to NAME\n',
      )
    })
}

/** Joins, and keeps the profile. */
export async function joinPortal(
  linkOrDash: string,
  profileName: string | undefined,
  signal: AbortSignal,
  { insecure = false }: TransportOptions = {},
): Promise<{ account: string; path: string; portalUrl: string; fingerprint: string }> {
  const { portalUrl, invite } = parseLink(linkOrDash === '-' ? await text(process.stdin) : linkOrDash)
  const transport = nodeTransport(portalUrl, { insecure })
  const client = new PortalClient(transport, null)
  try {
    const { token, settle } = await pendingToken(invite)
    const patience = shortPatience(signal)
    const { account } = await patience
      .insist(() => client.join({ invite, token }, { signal }))
      .catch(async (error: unknown) => {
        // With this token the invite will never be of use: it is used up, or has run out.
        if (error instanceof RemoteProblem && error.code === 'invite-invalid') await settle()
        throw error
      })
    const name = profileName ?? account
    const other = await readProfile(name)
    if (other !== null && (other.portalUrl !== portalUrl || other.account !== account)) {
      throw new UsageError(
        `there is a profile '${name}' already, for ${other.account} at ${other.portalUrl}. ` +
          'Run the same command again with --profile and another name',
      )
    }
    // Who joins anew, because the token was lost or stolen, is still known by the same keys.
    const keys = other?.keys === undefined ? await AccountKeys.generate() : await AccountKeys.parse(other.keys)
    const path = await writeProfile(name, { portalUrl, account, token, keys: keys.secret })
    const joined = new PortalClient(transport, token)
    await patience.insist(() => joined.setKeys(keys.publicKeys, { signal }))
    await settle()
    return { account, path, portalUrl, fingerprint: await fingerprintOf(keys.publicKeys) }
  } finally {
    await client.close()
  }
}

function parseLink(link: string): { portalUrl: string; invite: string } {
  const url = URL.canParse(link.trim()) ? new URL(link.trim()) : null
  const invite = url?.hash.slice(1) ?? ''
  const isLink = url !== null && /^https?:$/.test(url.protocol) && url.pathname.endsWith('/join') && isInvite(invite)
  if (!isLink) {
    throw new UsageError(
      'this is not the link of an invite: it looks like https://portal.example/join#gli_… ' +
        "(in a shell, put it in quotes: '#' begins a comment there)",
    )
  }
  return { portalUrl: `${url.origin}${url.pathname.slice(0, -'/join'.length)}`, invite }
}
