/**
 * Inline uploads: transfers whose whole content has arrived before the ledger records them. One transaction records the transfer as
 * `stored`, for a small file together with its content, so no partial state exists.
 */
import { digestDriver, digestOf, manifestDigestOf } from '../../digests/index.ts'
import { isWhole, type Notification, Problem, type WholeTransfer } from '../../protocol/index.ts'
import { afterMove, type PortalContext, wakeReceivers } from '../context.ts'
import type { Account, Admission, InlineContent, NewTransfer, Transfer } from '../ledger/contract.ts'
import { admissionOf, refused, requireSuitable } from './admission.ts'
import type { Transfers } from './transfers.ts'

/** A file that came whole. */
export interface InlineUploadRequest {
  readonly account: Account
  readonly transferId: string
  readonly whole: WholeTransfer
  readonly content: Uint8Array
  /** Where many come together: the bounds of this portal as they are. */
  readonly admission?: Admission
}

/**
 * Receives a transfer in one request. A repeated request gets the same answer.
 *
 * @returns the first notification
 * @throws Problem `digest-mismatching-value` when the content does not match its digest: nothing of it is kept; the refusals of an
 *   announcement
 */
export async function receiveInline(
  context: PortalContext,
  transfers: Transfers,
  { account, transferId, whole, content, admission }: InlineUploadRequest,
): Promise<Notification> {
  const { options } = context
  const { manifestDigest, manifest, ...announcement } = whole
  await requireSuitable(context, account, transferId, announcement)
  const { wholeSizeBytesMax } = options
  if (!isWhole(announcement, wholeSizeBytesMax)) throw new Problem('body-too-large', { wholeSizeBytesMax })
  if (content.length !== announcement.sizeBytes) {
    throw new Problem('part-incomplete', { arrivedBytes: content.length, lengthBytes: announcement.sizeBytes })
  }
  const algorithm = digestDriver(announcement.digestAlgorithm).name
  const digest = digestOf(algorithm, content)
  const actual = manifestDigestOf(algorithm, content.length === 0 ? [] : [digest])
  if (actual !== manifestDigest) throw new Problem('digest-mismatching-value', { expected: manifestDigest, actual })
  const inline = { manifestDigest, manifest: manifest ?? null, digest, content }
  const newTransfer = { ...announcement, transferId, senderId: account.accountId }
  const { transfer, notification } = await storeInline(
    context,
    newTransfer,
    admission ?? (await admissionOf(context)),
    inline,
  )
  if (notification === null) {
    return transfers.complete(account, transferId, { attempt: transfer.attempt, manifestDigest })
  }
  return notification
}

/**
 * Records a transfer whose whole content has arrived.
 *
 * @returns the notification is null when the transfer was known and already had it
 * @throws Problem for a refusal
 */
export async function storeInline(
  context: PortalContext,
  newTransfer: NewTransfer,
  admission: Admission,
  inline: InlineContent,
): Promise<{ transfer: Transfer; notification: Notification | null }> {
  const { ledger, turns, metrics } = context
  // Its receivers look before the commit already, so that offer and content become durable together.
  let areAwake = false
  const recorded = await turns.run(newTransfer.transferId, () =>
    ledger.storeInline(newTransfer, admission, inline, (written) => {
      areAwake = true
      wakeReceivers(context, written)
    }),
  )
  const { transfer, notification } = recorded
  if (notification === null) return recorded
  if (notification.notification === 'refused') throw refused(context, transfer, notification)
  metrics.notifications.inc({ notification: notification.notification })
  if ('content' in inline) metrics.partBytes.inc({ direction: 'in' }, inline.content.length)
  afterMove(context, transfer, { areReceiversAwake: areAwake })
  return recorded
}
