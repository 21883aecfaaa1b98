import type { Command } from 'commander'
import type { Accounts } from '../library/accounts.ts'
import type { AccountSummary } from '../portal/index.ts'
import { deliverLink, type LedgerPlace, placeFlags, withAccounts } from './operator.ts'
import { accountName, databaseOption, dataOption, flag, jsonOption, publicUrlOption, storeOption } from './options.ts'
import { print, sayError } from './output.ts'
import { bytesText, localTime, printable } from './text.ts'

/** The shortest time between two lines about what is copied. */
const PROGRESS_EVERY_MS = 500

export function accountsCommand(program: Command): void {
  const accounts = program
    .command('accounts')
    .summary('manage the accounts (for the operator of the portal)')
    .description(
      'Shows the accounts of a portal, revokes them, and renews their tokens.\n' +
        'Run it where the portal keeps its data, or with its --database; the portal may be running meanwhile.',
    )
    .addHelpText(
      'after',
      `
Examples:
  golooader accounts                    who is there
  golooader accounts revoke bob         bob is out, within a second
  golooader accounts rotate bob         prints a link with which bob joins again, with a new token
  golooader accounts operator carol     carol may see the state of the whole portal
  golooader accounts --data /srv/gl --json | jq .account
  golooader accounts move --data /srv/gl --database postgres://golooader@db.example/golooader --store 's3://golooader?…'
                                        a portal that has grown, see docs/scaling.md

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
      'Revokes the account NAME: its token stops working at once, and its open requests are cut within a second. Its\n' +
        'incomplete uploads are refused, and deliveries that wait for it fail; files that it has stored are still\n' +
        "delivered. The name stays taken: 'golooader accounts rotate NAME' brings the account back. Revoking it again\n" +
        'is no error.',
    )
    .argument('<name>', 'the account', accountName)
    .addOption(dataOption())
    .addOption(databaseOption())
    .action((name: string, flags: LedgerPlace) => revoke(name, flags))

  accounts
    .command('rotate')
    .summary("replace an account's token; brings a revoked account back")
    .description(
      'Prints a link with which the owner of NAME joins again under that name. It works once, within 24 hours, and voids\n' +
        'earlier links. When it is used, the old token stops working and its open requests are cut within a second;\n' +
        "until then the old token works. If the token was stolen, run 'golooader accounts revoke NAME' first.",
    )
    .argument('<name>', 'the account', accountName)
    .addOption(dataOption())
    .addOption(databaseOption())
    .addOption(publicUrlOption())
    .action((name: string, flags: LedgerPlace) => rotate(name, flags))

  accounts
    .command('operator')
    .summary('let an account see the state of the whole portal')
    .description(
      "An operator's page also shows what the portal stores and delivers, which receivers are connected, and recent\n" +
        'problems: names of accounts and sizes, never names of files. An operator has no other rights than other accounts.',
    )
    .argument('<name>', 'the account', accountName)
    .addOption(flag('--revoke', 'take the right away again'))
    .addOption(dataOption())
    .addOption(databaseOption())
    .action((name: string, flags: LedgerPlace & { revoke?: boolean }) =>
      setOperator(name, flags, flags.revoke !== true),
    )

  accounts
    .command('move')
    .summary('move all of a portal from its folder to PostgreSQL and S3')
    .description(
      'Copies accounts, history and stored files from the folder of a portal to a new database, and with --store to an\n' +
        'empty S3 store. Stop the portal first. If the command is interrupted, run it again: it continues. The folder stays\n' +
        'as it is, but no portal starts with its ledger any more.',
    )
    .addOption(dataOption())
    .addOption(databaseOption().makeOptionMandatory())
    .addOption(storeOption())
    .addOption(jsonOption())
    .action((flags: MoveFlags) => move(flags))
}

interface MoveFlags extends LedgerPlace {
  readonly database: string
  readonly store?: string
  readonly json?: boolean
}

async function move({ data, database, store, json = false }: MoveFlags): Promise<void> {
  const { moveAccounts } = await import('../library/accounts.ts')
  let toldMs = Number.NEGATIVE_INFINITY
  const moved = await moveAccounts({
    ...{ dataFolder: data, databaseUrl: database, storeUrl: store ?? null },
    onProgress: ({ copied, known, copiedBytes }) => {
      if (performance.now() - toldMs < PROGRESS_EVERY_MS) return
      toldMs = performance.now()
      if (json) print(`${JSON.stringify({ type: 'progress', copied, known, copiedBytes })}\n`)
      else sayError(`${copied + known} parts are there, ${bytesText(copiedBytes)} copied`)
    },
  })
  if (json) return print(`${JSON.stringify({ type: 'moved', ...moved })}\n`)
  for (const { transferId, partNumber } of moved.damaged) {
    sayError(`part ${partNumber} of transfer ${transferId} was damaged in the folder and is left out`)
  }
  const what = moved.wasMoved ? 'everything was moved before' : `${moved.rows} rows and ${moved.parts} parts moved`
  const where = `ledger in ${moved.keptIn.ledger}, parts in ${moved.keptIn.parts}`
  const folder = store === undefined ? ` --data ${printable(data)}` : ''
  const flags = store === undefined ? '' : ` --store ${quotedForShell(store)}`
  print(
    `${what}: ${printable(where)}\n` +
      `start the portal with: golooader portal${folder}${placeFlags({ data, database })}${flags}\n`,
  )
}

/** An address of S3 has `&` in it. */
function quotedForShell(text: string): string {
  return `'${printable(text)}'`
}

async function setOperator(name: string, place: LedgerPlace, isOperator: boolean): Promise<void> {
  await withAccounts(place, name, (accounts) => accounts.setOperator(name, isOperator))
  const now = isOperator ? 'is an operator: it may see the state of the whole portal' : 'is no operator'
  print(`${name} ${now}\n`)
}

async function revoke(name: string, place: LedgerPlace): Promise<void> {
  await withAccounts(place, name, (accounts) => accounts.revoke(name))
  print(`${name} is revoked: the token does not work any more, and its open requests are cut within a second\n`)
}

async function rotate(name: string, place: LedgerPlace): Promise<void> {
  const link = await withAccounts(place, name, (accounts) => accounts.renew(name))
  await deliverLink(link, `golooader accounts rotate ${name}${placeFlags(place)}`)
  sayError(
    `This link works once, for 24 hours. ${name} joins again with: golooader join LINK\n` +
      'Until then a valid token continues to work.',
  )
}

async function list(place: LedgerPlace, isJson: boolean): Promise<void> {
  const { accounts, guests } = await withAccounts(place, null, async (all) => ({
    accounts: await all.list(),
    guests: await all.guests(),
  }))
  if (isJson) for (const account of accounts) print(`${JSON.stringify(account)}\n`)
  else if (accounts.length === 0) print('no account has joined yet: golooader invite NAME\n')
  else print(tableOf(accounts) + guestLine(guests))
}

/** Guests are no people, so they are only counted. */
function guestLine({ receiving, sending, requests }: Awaited<ReturnType<Accounts['guests']>>): string {
  if (receiving + sending + requests === 0) return ''
  return `links: ${receiving} to receive, ${requests} to send by (${sending} used)\n`
}

function tableOf(accounts: readonly AccountSummary[]): string {
  const rows = [
    ['NAME', 'STATE', 'SINCE', 'SENDING', 'LINK'],
    ...accounts.map(({ account, state, isOperator, since, openTransfers, openBytes, linkUntil }) => [
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
