import type { Command } from 'commander'
import { GoLooaderError } from '../library/error.ts'
import { type DescribedFile, type NamedItem, openedSizeBytes } from '../library/file-of.ts'
import type { Profile } from '../library/profile.ts'
import {
  type DeliveryStatus,
  isGuestName,
  type Notification,
  type ReceivedDelivery,
  type TransferStatus,
  type TransferSummary,
} from '../protocol/index.ts'
import { interruptSignal, UsageError } from './exit.ts'
import {
  flag,
  insecureOption,
  jsonOption,
  openedProfile,
  option,
  type ProfileFlags,
  profileOption,
  systemCaOption,
  transferId,
  wholeNumber,
} from './options.ts'
import { print } from './output.ts'
import { problemText } from './send-lines.ts'
import { bytesText, localTime, printable, receiversText, senderText } from './text.ts'

interface StatusFlags extends ProfileFlags {
  readonly json?: boolean
  readonly limit: number
  readonly received?: boolean
}

const LIMIT_DEFAULT = 20

/** Columns of a size in a list. */
const SIZE_WIDTH = 9

export function statusCommand(program: Command): void {
  program
    .command('status')
    .summary('show the state of what you sent, or what came for you')
    .description(
      'Shows the transfers that you sent, newest first; or one of them with both of its notifications. With --received, it\n' +
        'shows the files that wait for you or were offered to you.',
    )
    .argument('[transfer]', 'id of one transfer', transferId)
    .addOption(profileOption())
    .addOption(option('--limit <number>', 'how many transfers to show').argParser(wholeNumber).default(LIMIT_DEFAULT))
    .addOption(flag('--received', 'show what was sent to you instead'))
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  golooader status
  golooader status 01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c
  golooader status --received
  golooader status --json | jq -r '[.state, .file.name, .file.tree.fileCount] | @tsv'

With --json, 'file' has what the sender sealed and the portal cannot read: name, sizeBytes, mediaType, modifiedAt,
isExecutable, and of a folder tree.fileCount and tree.contentBytes. It is null where the keys of this account do not open it.`,
    )
    .action(async (id: string | undefined, flags: StatusFlags) => {
      if (id !== undefined && flags.received === true) {
        throw new UsageError('--received shows all that came for you: leave the id of a transfer out')
      }
      const signal = interruptSignal()
      await using me = await openedProfile(flags)
      const isJson = flags.json === true
      if (flags.received === true) await showReceived(await me.received({ limit: flags.limit, signal }), me, isJson)
      else if (id === undefined) await showList(await me.sent({ limit: flags.limit, signal }), me, isJson)
      else await showOne(await me.transfer(id, { signal }), me, isJson)
    })
}

async function showList(transfers: readonly TransferSummary[], me: Profile, isJson: boolean): Promise<void> {
  if (isJson) {
    for (const transfer of transfers) await printJson(transfer, me)
    return
  }
  if (transfers.length === 0) print('nothing sent yet: golooader send FILE --to NAME\n')
  for (const transfer of transfers) {
    const { name, size } = await shownFile(me, transfer)
    print(
      `${transfer.transferId}  ${localTime(transfer.createdAt)}  ${size.padStart(SIZE_WIDTH)}  ` +
        `${name}${unsizedText(transfer)} to ${receiversText(transfer.to)}: ${stateText(transfer)}\n`,
    )
  }
}

async function showReceived(deliveries: readonly ReceivedDelivery[], me: Profile, isJson: boolean): Promise<void> {
  if (isJson) {
    for (const delivery of deliveries) await printJson(delivery, me)
    return
  }
  if (deliveries.length === 0) print('nothing has come for you yet\n')
  for (const delivery of deliveries) {
    const { transferId, createdAt, from, request } = delivery
    const { name, size } = await shownFile(me, delivery)
    const sizeBytes = delivery.isSizeKnown === false ? null : openedSizeBytes(delivery)
    const state = delivery.state === 'waiting' ? 'waits for you' : deliveryText(delivery, sizeBytes)
    print(
      `${transferId}  ${localTime(createdAt)}  ${size.padStart(SIZE_WIDTH)}  ` +
        `${name}${unsizedText(delivery)} from ${senderText(from, request?.label)}: ${state}\n`,
    )
  }
}

/**
 * The portal's object, and in `file` what its metadata says to this account; null where its keys do not open that.
 *
 * @param more what this machine knows besides
 */
async function printJson(item: NamedItem, me: Profile, more: { readonly link?: string } = {}): Promise<void> {
  print(`${JSON.stringify({ ...item, file: await openedFile(item, me), ...more })}\n`)
}

/** @returns null where the keys of this account do not open the metadata */
async function openedFile(item: NamedItem, me: Profile): Promise<DescribedFile | null> {
  try {
    return await me.fileOf(item)
  } catch (error) {
    if (error instanceof GoLooaderError && /^seal-/.test(error.code)) return null
    throw error
  }
}

/** Shows one transfer: both hops, then all notifications. */
export async function showOne(transfer: TransferStatus, me: Profile, isJson: boolean): Promise<void> {
  const link = transfer.deliveries.some(isForLink) ? await me.link(transfer.transferId) : null
  if (isJson) {
    await printJson(transfer, me, link === null ? {} : { link: link.link })
    return
  }
  const { from, to, isSizeKnown } = transfer
  const sizeBytes = isSizeKnown === false ? null : openedSizeBytes(transfer)
  const { name, size } = await shownFile(me, transfer)
  const lines = [
    `${name}, ${size}${unsizedText(transfer)}, from ${senderText(from)} to ${receiversText(to)}`,
    `transfer ${transfer.transferId}, announced ${localTime(transfer.createdAt)}, expires ${localTime(transfer.expiresAt)}`,
    `state: ${stateText(transfer)}${uploadText(transfer)}`,
    ...(link === null ? [] : [`link: ${link.link}`, `  works until ${localTime(link.expiresAt)}`]),
    ...transfer.deliveries.map(
      (delivery) =>
        `  to ${receiverText(delivery.receiver)}: ${deliveryText(delivery, sizeBytes)}${offeredText(delivery)}`,
    ),
    ...(transfer.notifications.length === 0 ? [] : ['notifications:']),
    ...transfer.notifications.map((one) => `  ${localTime(one.at)}  ${notificationText(one)}`),
    ...(transfer.notifications.some(isReceipted)
      ? [`so says the portal; for proof: golooader receipt ${transfer.transferId}`]
      : []),
  ]
  print(`${lines.join('\n')}\n`)
}

/** Whether a link still works for this delivery. */
function isForLink({ receiver, state }: DeliveryStatus): boolean {
  return isGuestName(receiver) && (state === 'waiting' || state === 'offered')
}

/** For a stream whose size is not known yet: the shown size is the number of bytes so far. */
function unsizedText({ isSizeKnown }: Pick<TransferSummary, 'isSizeKnown'>): string {
  return isSizeKnown === false ? ' (so far, size not known yet)' : ''
}

/** For an upload that later requests continue: how much of it the portal has, whatever happens. */
function uploadText({ upload }: TransferStatus): string {
  return upload === undefined ? '' : `, ${bytesText(upload.offsetBytes)} are safe there`
}

/** Whether a notification has a receipt. */
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

/** @param sizeBytes null while the size of a stream is not known */
function deliveryText(delivery: Omit<DeliveryStatus, 'receiver'>, sizeBytes: number | null): string {
  switch (delivery.state) {
    case 'waiting':
      return delivery.offers === 0 ? 'waiting for it to come' : `waiting, offered ${delivery.offers} times`
    case 'offered':
      return `being fetched, ${bytesText(delivery.fetchedBytes)}${sizeBytes === null ? '' : ` of ${bytesText(sizeBytes)}`} so far`
    case 'delivered':
      return 'delivered'
    case 'failed':
      return delivery.problem === undefined ? 'failed' : `failed: ${problemText(delivery.problem)}`
  }
}

/** A receiver of one delivery. Only the name tells the guests of a link apart. */
function receiverText(account: string): string {
  return isGuestName(account) ? `a link (${account})` : account
}

function offeredText({ offeredAt }: DeliveryStatus): string {
  return offeredAt === undefined ? '' : `; first offered ${localTime(offeredAt)}`
}

function notificationText(notification: Notification): string {
  const receiver = 'receiver' in notification ? ` ${receiverText(notification.receiver)}` : ''
  const problem = 'problem' in notification ? `: ${problemText(notification.problem)}` : ''
  return `${notification.notification}${receiver}${problem}`
}

/** The file or folder of a transfer or delivery, safe to show. A name that the account's keys do not open is shown as such. */
async function shownFile(me: Profile, item: NamedItem): Promise<{ name: string; size: string }> {
  const file = await openedFile(item, me)
  if (file === null) {
    const hasKeys = (await me.identity()).keys !== null
    const name = hasKeys ? '(sealed with other keys)' : '(sealed, and this account has no keys)'
    return { name, size: bytesText(openedSizeBytes(item)) }
  }
  const { name, sizeBytes, tree } = file
  if (tree === null) return { name: printable(name), size: bytesText(sizeBytes) }
  const files = tree.fileCount === 1 ? '1 file' : `${tree.fileCount} files`
  return { name: `${printable(name)}/ (${files})`, size: bytesText(tree.contentBytes) }
}
