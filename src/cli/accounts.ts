import type { Command } from 'commander'
import type { AccountRecord } from '../portal/ledger/accounts-contract.ts'
import type { Ledger } from '../portal/ledger/contract.ts'
import { portalDefaults } from '../portal/options.ts'
import { accountError, type LedgerPlace, linkOf, requireAccountName, withLedger } from './operator.ts'
import { databaseOption, dataOption, jsonOption, option, webAddress } from './options.ts'
import { localTime } from './status.ts'
import { bytesText } from './text.ts'

/** Names that are read from the ledger at a time. */
const PAGE = 500

/** One name: an account, or somebody who was invited and has not come yet. */
interface Line {
  readonly account: string
  readonly state: 'active' | 'revoked' | 'invited'
  readonly isOperator: boolean
  /** When it was opened; null for one that is not an account yet. */
  readonly since: string | null
  readonly revokedAt: string | null
  readonly openTransfers: number
  readonly openBytes: number
  /** Until when a link opens or renews it; null where there is none. */
  readonly linkUntil: string | null
}

export function accountsCommand(program: Command): void {
  const accounts = program
    .command('accounts')
    .summary('look after the accounts (for the operator of the portal)')
    .description(
      'Shows the accounts of a portal, revokes them, and renews the tokens that prove them.\n' +
        'Run it where the portal keeps its data, or with its --database; the portal may be running meanwhile.',
    )
    .addHelpText(
      'after',
      `
Examples:
  golooader accounts                    who is there
  golooader accounts revoke bob         bob is out, within a second
  golooader accounts rotate bob         prints a link with which bob, and his token, come back anew
  golooader accounts operator carol     carol may see how the whole portal does
  golooader accounts --data /srv/gl --json | jq .account

A token was stolen? Revoke first, then rotate: until its link is used, rotate alone leaves the old token good.`,
    )

  accounts
    .command('list', { isDefault: true })
    .summary('show the accounts, and who was invited (the default)')
    .description('Shows every account: since when, its state, what it sends, and until when a link opens or renews it.')
    .addOption(dataOption())
    .addOption(databaseOption())
    .addOption(jsonOption())
    .action((flags: LedgerPlace & { json?: boolean }) => list(flags, flags.json === true))

  accounts
    .command('revoke')
    .summary('end an account at once')
    .description(
      'The token of NAME is dead at once, and what is under way with it is cut within a second. Uploads that are not\n' +
        'complete are refused, and what waits for NAME fails; what NAME has got stored is still delivered. The name\n' +
        "stays taken: 'golooader accounts rotate NAME' brings the account back. Revoking it again is no error.",
    )
    .argument('<name>', 'the account')
    .addOption(dataOption())
    .addOption(databaseOption())
    .action((name: string, flags: LedgerPlace) => revoke(name, flags))

  accounts
    .command('rotate')
    .summary("replace an account's token; brings a revoked account back")
    .description(
      'Prints a link with which the owner of NAME joins again under that name: it works once, for 24 hours, and voids\n' +
        'earlier ones. Once it is used, the old token is dead and what is under way with it is cut within a second;\n' +
        "until then the old token goes on working. If it was stolen, 'golooader accounts revoke NAME' comes first.",
    )
    .argument('<name>', 'the account')
    .addOption(dataOption())
    .addOption(databaseOption())
    .addOption(
      option('--public-url <url>', 'address of the portal, if it is not the one it listens on').argParser(webAddress),
    )
    .action((name: string, flags: LedgerPlace & { publicUrl?: string }) => rotate(name, flags, flags.publicUrl))

  accounts
    .command('operator')
    .summary('let an account see how the whole portal does')
    .description(
      'An operator sees in its page what the portal stores and delivers, who is connected, and what went wrong: names of\n' +
        'accounts and sizes, never names of files. It can do nothing more than any other account.',
    )
    .argument('<name>', 'the account')
    .option('--revoke', 'make it an account like any other again')
    .addOption(dataOption())
    .addOption(databaseOption())
    .action((name: string, flags: LedgerPlace & { revoke?: boolean }) =>
      setOperator(name, flags, flags.revoke !== true),
    )
}

async function setOperator(name: string, place: LedgerPlace, isOperator: boolean): Promise<void> {
  requireAccountName(name)
  await withLedger(place, (ledger) => ledger.setOperator(name, isOperator)).catch((error: unknown) => {
    throw accountError(error, name, place)
  })
  const now = isOperator ? 'is an operator: it may see how the whole portal does' : 'is no operator'
  process.stdout.write(`${name} ${now}\n`)
}

async function revoke(name: string, place: LedgerPlace): Promise<void> {
  requireAccountName(name)
  await withLedger(place, (ledger) => ledger.revokeAccount(name)).catch((error: unknown) => {
    throw accountError(error, name, place)
  })
  process.stdout.write(`${name} is revoked: the token is dead, and what is under way with it is cut within a second\n`)
}

async function rotate(name: string, place: LedgerPlace, publicUrl: string | undefined): Promise<void> {
  requireAccountName(name)
  const { renew } = await import('../portal/index.ts')
  const link = await withLedger(place, async (ledger) => {
    const secret = await renew(ledger, name, portalDefaults.inviteMs)
    return linkOf(secret, ledger, publicUrl)
  }).catch((error: unknown) => {
    throw accountError(error, name, place)
  })
  process.stdout.write(`${link}\n`)
  process.stderr.write(
    `This link works once, for 24 hours. ${name} joins again with: golooader join LINK\n` +
      'Until then a token that was good so far goes on working.\n',
  )
}

async function list(place: LedgerPlace, isJson: boolean): Promise<void> {
  const lines = await withLedger(place, linesOf)
  if (isJson) for (const line of lines) process.stdout.write(`${JSON.stringify(line)}\n`)
  else if (lines.length === 0) process.stdout.write('nobody has joined yet: golooader invite NAME\n')
  else process.stdout.write(tableOf(lines))
}

/** Accounts and open invites, in the order of their names. */
async function linesOf(ledger: Ledger): Promise<Line[]> {
  const accounts = await allPages((after) => ledger.accounts({ after, limit: PAGE }))
  const invites = await allPages((after) => ledger.openInvites({ after, limit: PAGE }))
  const linkUntil = new Map(invites.map(({ name, expiresAtMs }) => [name, timestamp(expiresAtMs)]))
  const lines = accounts.map((account): Line => {
    const link = linkUntil.get(account.name) ?? null
    linkUntil.delete(account.name)
    return lineOf(account, link)
  })
  for (const [account, link] of linkUntil) {
    const nothing = { since: null, revokedAt: null, isOperator: false, openTransfers: 0, openBytes: 0 }
    lines.push({ account, state: 'invited', ...nothing, linkUntil: link })
  }
  return lines.sort((one, other) => (one.account < other.account ? -1 : 1))
}

function lineOf(
  { name, createdAtMs, revokedAtMs, isOperator, openTransfers, openBytes }: AccountRecord,
  link: string | null,
): Line {
  return {
    account: name,
    state: revokedAtMs === null ? 'active' : 'revoked',
    isOperator,
    since: timestamp(createdAtMs),
    revokedAt: revokedAtMs === null ? null : timestamp(revokedAtMs),
    openTransfers,
    openBytes,
    linkUntil: link,
  }
}

async function allPages<Row extends { readonly name: string }>(
  page: (after: string) => Promise<Row[]>,
): Promise<Row[]> {
  const all: Row[] = []
  while (true) {
    const rows = await page(all.at(-1)?.name ?? '')
    all.push(...rows)
    if (rows.length < PAGE) return all
  }
}

function tableOf(lines: readonly Line[]): string {
  const rows = [
    ['NAME', 'STATE', 'SINCE', 'SENDING', 'LINK'],
    ...lines.map(({ account, state, isOperator, since, openTransfers, openBytes, linkUntil }) => [
      account,
      isOperator ? 'operator' : state,
      since === null ? '-' : localTime(since),
      openTransfers === 0 ? '-' : `${openTransfers} (${bytesText(openBytes)})`,
      linkUntil === null ? '-' : `until ${localTime(linkUntil)}`,
    ]),
  ]
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

function timestamp(ms: number): string {
  return new Date(ms).toISOString()
}
