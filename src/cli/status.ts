import type { Command } from 'commander'
import {
  type DeliveryStatus,
  isTransferId,
  type Notification,
  type ReceivedDelivery,
  type TransferStatus,
  type TransferSummary,
  transfersPerPageMax,
} from '../protocol/index.ts'
import type { AccountKeys } from '../trust/index.ts'
import { connect, type KnownSelf, shortPatience } from './connect.ts'
import { interruptSignal, UsageError } from './exit.ts'
import { fileNameOf, receivedNameOf } from './metadata.ts'
import { insecureOption, jsonOption, option, profileOption, wholeNumber } from './options.ts'
import { problemText } from './send-lines.ts'
import { bytesText, listText, printable } from './text.ts'

interface StatusFlags {
  readonly profile?: string
  readonly insecure?: boolean
  readonly json?: boolean
  readonly limit: number
  readonly received?: boolean
}

const LIMIT_DEFAULT = 20

export function statusCommand(program: Command): void {
  program
    .command('status')
    .summary('see what became of what you sent, or what came for you')
    .description(
      'Shows the transfers you sent, newest first; or one of them with both of its notifications. With --received what\n' +
        'waits for you or was ever offered to you.',
    )
    .argument('[transfer]', 'id of one transfer')
    .addOption(profileOption())
    .addOption(option('--limit <number>', 'how many transfers to show').argParser(wholeNumber).default(LIMIT_DEFAULT))
    .option('--received', 'show what came for you instead')
    .addOption(insecureOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  golooader status
  golooader status 01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c
  golooader status --received
  golooader status --json | jq .state`,
    )
    .action(async (transferId: string | undefined, flags: StatusFlags) => {
      if (transferId !== undefined) requireTransferId(transferId)
      if (transferId !== undefined && flags.received === true) {
        throw new UsageError('--received shows all that came for you: leave the id of a transfer out')
      }
      const signal = interruptSignal()
      const connection = await connect(flags.profile, flags)
      const { client, keys } = connection
      try {
        const patience = shortPatience(signal)
        const limit = Math.min(flags.limit, transfersPerPageMax)
        if (flags.received === true) {
          const account = connection.account ?? (await patience.insist(() => client.account({ signal }))).account
          const page = await patience.insist(() => client.deliveries({ limit }, { signal }))
          await showReceived(page.deliveries, { account, keys }, flags.json === true)
        } else if (transferId === undefined) {
          const page = await patience.insist(() => client.transfers({ limit }, { signal }))
          await showList(page.transfers, keys, flags.json === true)
        } else {
          const transfer = await patience.insist(() => client.transfer(transferId, { signal }))
          await showOne(transfer, keys, flags.json === true)
        }
      } finally {
        await client.close()
      }
    })
}

/** @throws UsageError when the text is no transfer id */
export function requireTransferId(text: string): void {
  if (!isTransferId(text)) {
    throw new UsageError(`'${printable(text)}' is not the id of a transfer. See them with: golooader status`)
  }
}

async function showList(
  transfers: readonly TransferSummary[],
  keys: AccountKeys | null,
  isJson: boolean,
): Promise<void> {
  if (isJson) {
    for (const transfer of transfers) process.stdout.write(`${JSON.stringify(transfer)}\n`)
    return
  }
  if (transfers.length === 0) process.stdout.write('nothing sent yet: golooader send FILE --to NAME\n')
  for (const transfer of transfers) {
    const name = await fileNameOf(transfer, keys)
    process.stdout.write(
      `${transfer.transferId}  ${localTime(transfer.createdAt)}  ${bytesText(transfer.sizeBytes).padStart(9)}  ` +
        `${name} to ${listText(transfer.to)}: ${stateText(transfer)}\n`,
    )
  }
}

async function showReceived(
  deliveries: readonly ReceivedDelivery[],
  { account, keys }: KnownSelf,
  isJson: boolean,
): Promise<void> {
  if (isJson) {
    for (const delivery of deliveries) process.stdout.write(`${JSON.stringify(delivery)}\n`)
    return
  }
  if (deliveries.length === 0) process.stdout.write('nothing has come for you yet\n')
  for (const delivery of deliveries) {
    const { transferId, createdAt, sizeBytes, from } = delivery
    const name = await receivedNameOf(delivery, account, keys)
    process.stdout.write(
      `${transferId}  ${localTime(createdAt)}  ${bytesText(sizeBytes).padStart(9)}  ` +
        `${name} from ${from}: ${delivery.state === 'waiting' ? 'waits for you' : deliveryText(delivery, sizeBytes)}\n`,
    )
  }
}

/** One transfer: both hops, then everything that was notified. */
export async function showOne(transfer: TransferStatus, keys: AccountKeys | null, isJson: boolean): Promise<void> {
  if (isJson) {
    process.stdout.write(`${JSON.stringify(transfer)}\n`)
    return
  }
  const { sizeBytes, from, to } = transfer
  const lines = [
    `${await fileNameOf(transfer, keys)}, ${bytesText(sizeBytes)}, from ${from} to ${listText(to)}`,
    `transfer ${transfer.transferId}, announced ${localTime(transfer.createdAt)}, expires ${localTime(transfer.expiresAt)}`,
    `state: ${stateText(transfer)}`,
    ...transfer.deliveries.map(
      (delivery) => `  to ${delivery.receiver}: ${deliveryText(delivery, sizeBytes)}${offeredText(delivery)}`,
    ),
    ...(transfer.notifications.length === 0 ? [] : ['notifications:']),
    ...transfer.notifications.map((one) => `  ${localTime(one.at)}  ${notificationText(one)}`),
    ...(transfer.notifications.some(isReceipted)
      ? [`so says the portal; for proof: golooader receipt ${transfer.transferId}`]
      : []),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** Whether a receiver has signed for it. */
function isReceipted(notification: Notification): boolean {
  return notification.notification === 'delivered' && notification.receipt !== undefined
}

function stateText({ state, deliveries }: TransferSummary): string {
  switch (state) {
    case 'receiving':
      return 'on its way to the portal'
    case 'stored':
      return 'stored at the portal, not yet delivered to all'
    case 'ended':
      return deliveries.every((delivery) => delivery.state === 'delivered')
        ? 'delivered'
        : 'ended, not delivered to all'
    default:
      return state
  }
}

function deliveryText(delivery: Omit<DeliveryStatus, 'receiver'>, sizeBytes: number): string {
  switch (delivery.state) {
    case 'waiting':
      return delivery.offers === 0 ? 'waiting for it to come' : `waiting, offered ${delivery.offers} times`
    case 'offered':
      return `being fetched, ${bytesText(delivery.fetchedBytes)} of ${bytesText(sizeBytes)} so far`
    case 'delivered':
      return 'delivered'
    case 'failed':
      return delivery.problem === undefined ? 'failed' : `failed: ${problemText(delivery.problem)}`
  }
}

function offeredText({ offeredAt }: DeliveryStatus): string {
  return offeredAt === undefined ? '' : `; first offered ${localTime(offeredAt)}`
}

function notificationText(notification: Notification): string {
  const receiver = 'receiver' in notification ? ` ${notification.receiver}` : ''
  const problem = 'problem' in notification ? `: ${problemText(notification.problem)}` : ''
  return `${notification.notification}${receiver}${problem}`
}

/** A time of the protocol as a person here reads it. */
export function localTime(timestamp: string): string {
  const date = new Date(timestamp)
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}
