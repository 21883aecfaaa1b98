/** Checks announcements, and makes the refusals of transfers. */
import {
  type Announcement,
  isDigestAlgorithm,
  isGuestName,
  isProblemCode,
  type Metadata,
  type Notification,
  type PartLayout,
  Problem,
  type ProblemJson,
  partCount,
  partSizeBytesMax,
  partSizeBytesMin,
  partsPerTransferMax,
  sealTagBytes,
} from '../../protocol/index.ts'
import type { PortalContext } from '../context.ts'
import type { Account, Admission, Transfer } from '../ledger/contract.ts'
import { offeredDigestAlgorithms } from '../options.ts'
import { topics } from '../signals/index.ts'

/** @throws Problem for an announcement that this portal can never accept */
export async function requireSuitable(
  context: PortalContext,
  sender: Account,
  transferId: string,
  announcement: Announcement,
): Promise<void> {
  const { sealedOnly, transferSizeBytesMax: sizeBytesMax } = context.options
  requireParties(sender, announcement)
  requireSealed(sender, announcement, sealedOnly)
  await requireDigestAlgorithm(context, transferId, announcement.digestAlgorithm)
  const { partSizeBytes } = announcement
  const layout = { sizeBytes: announcement.sizeBytes ?? 0, partSizeBytes }
  requireSize(announcement.metadata, layout, sizeBytesMax)
  const isPartSuitable = partSizeBytes >= partSizeBytesMin && partSizeBytes <= partSizeBytesMax
  if (!isPartSuitable || partCount(layout) > partsPerTransferMax) {
    throw new Problem('part-size-unsuitable', { partSizeBytesMin, partSizeBytesMax, partsPerTransferMax })
  }
}

/** What guests send and receive is always sealed. @throws Problem `sealing-required` */
function requireSealed({ name }: Account, { to, metadata }: Announcement, sealedOnly: boolean): void {
  if ('sealed' in metadata) return
  if (sealedOnly) throw new Problem('sealing-required')
  if (![name, ...to].some(isGuestName)) return
  throw new Problem('sealing-required', { detail: 'what is sent by a link is always sealed' })
}

/**
 * Checks that each receiver is named once, and that sealed metadata has a wrapped key exactly for each of them and for the sender: the
 * portal would store any other key, too, and give it to receivers. The schema has bounded their number.
 *
 * @throws Problem `request-invalid`
 */
function requireParties(sender: Account, { to, metadata }: Announcement): void {
  const receivers = new Set(to)
  if (receivers.size < to.length) throw new Problem('request-invalid', { detail: '`to` names an account twice' })
  if (!('sealed' in metadata)) return
  const parties = receivers.add(sender.name)
  const holders = Object.keys(metadata.keys)
  if (holders.length === parties.size && holders.every((holder) => parties.has(holder))) return
  const detail = '`metadata.keys` is to have the accounts of `to` and the sender, and no other'
  throw new Problem('request-invalid', { detail })
}

/** The limit counts only the bytes of the file itself, without what sealing has added. @throws Problem `transfer-too-large` */
export function requireSize(metadata: Metadata, layout: PartLayout, sizeBytesMax: number): void {
  const { sizeBytes } = layout
  const sealedByBytes = 'sealed' in metadata ? Math.min(partCount(layout), partsPerTransferMax) * sealTagBytes : 0
  if (sizeBytes - sealedByBytes > sizeBytesMax) throw new Problem('transfer-too-large', { sizeBytes, sizeBytesMax })
}

/** A known transfer keeps its algorithm, even if the portal was restarted without the addon that makes it fast. */
async function requireDigestAlgorithm(
  { ledger, options }: PortalContext,
  transferId: string,
  digestAlgorithm: string,
): Promise<void> {
  const offered = offeredDigestAlgorithms(options)
  if (isDigestAlgorithm(digestAlgorithm)) {
    if (offered.includes(digestAlgorithm) || (await ledger.transfer(transferId)) !== null) return
  }
  throw new Problem('digest-unsupported-algorithm', { wanted: offered })
}

/** The current bounds of this portal. */
export async function admissionOf({ store, options }: PortalContext): Promise<Admission> {
  const roomBytes = await store.freeBytes()
  return {
    expiryMs: options.expiryMs,
    uploadTimeoutMs: options.uploadTimeoutMs,
    accountBytesMax: options.accountBytesMax,
    accountTransfersMax: options.accountTransfersMax,
    accountUploadsMax: options.accountUploadsMax,
    accountGuestsMax: options.accountGuestsMax,
    accountGuestBytesMax: options.accountGuestBytesMax,
    storageBytesMax: options.storageBytesMax,
    freeBytes: roomBytes === null ? null : Math.max(0, roomBytes - options.freeBytesMin),
  }
}

/** Keeps some space on the disk free, so that the ledger can still write. @throws Problem `storage-full` */
export async function requireDiskRoom({ store, options }: PortalContext, lengthBytes: number): Promise<void> {
  const roomBytes = await store.freeBytes()
  if (roomBytes === null || roomBytes - lengthBytes >= options.freeBytesMin) return
  const freeBytes = Math.max(0, roomBytes - options.freeBytesMin)
  throw new Problem('storage-full', { neededBytes: lengthBytes, freeBytes })
}

/** A transfer was refused at its announcement: wakes its waiters. @returns the problem, with the event that logged it */
export function refused(
  { signals, metrics }: PortalContext,
  { senderId }: Transfer,
  notification: Notification & { readonly notification: 'refused' },
): Problem {
  metrics.notifications.inc({ notification: 'refused' })
  signals.publish(topics.events(senderId))
  return recordedProblem(notification)
}

/** The problem of a notification, for the answer to the request that caused it, with the event that logged it. */
export function recordedProblem(notification: Notification & { readonly problem: ProblemJson }): Problem {
  const { transferId, eventId, at, attempt, problem } = notification
  const { code } = problem
  if (!isProblemCode(code)) throw new Error(`the portal recorded the problem ${code}, which it does not know`)
  return new Problem(code, { ...detailsOf(problem), transferId, eventId, at, attempt })
}

/** The members of a logged problem beyond those that every problem has. */
function detailsOf({ type: _type, title: _title, status: _status, code: _code, ...details }: Record<string, unknown>) {
  return details
}
