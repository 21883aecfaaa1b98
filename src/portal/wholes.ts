/**
 * Small files: a transfer with all of its content in one request, kept by the ledger itself. `stored` is said when the one
 * transaction that records all of it is durable; there is nothing else that could be there by halves.
 */
import { digestDriver, digestOf, manifestDigestOf } from '../digests/index.ts'
import { type Notification, Problem, partCount, type WholeTransfer } from '../protocol/index.ts'
import { admissionOf, refused, requireSuitable } from './admission.ts'
import { afterMove, type PortalContext } from './context.ts'
import type { Account } from './ledger/contract.ts'
import type { Transfers } from './transfers.ts'

/**
 * Takes a whole transfer in. The same request again gets the same answer.
 *
 * @returns the first notification
 * @throws Problem `digest-mismatching-value` when the content is not the one that the sender meant: nothing of it is kept;
 *   whatever an announcement is refused with
 */
export async function takeWhole(
  context: PortalContext,
  transfers: Transfers,
  account: Account,
  transferId: string,
  { manifestDigest, manifest, ...announcement }: WholeTransfer,
  content: Uint8Array,
): Promise<Notification> {
  const { ledger, options, turns, metrics } = context
  await requireSuitable(context, transferId, announcement)
  const { wholeSizeBytesMax } = options
  if (announcement.sizeBytes > wholeSizeBytesMax || partCount(announcement) > 1) {
    throw new Problem('body-too-large', { wholeSizeBytesMax })
  }
  if (content.length !== announcement.sizeBytes) {
    throw new Problem('part-incomplete', { arrivedBytes: content.length, lengthBytes: announcement.sizeBytes })
  }
  const algorithm = digestDriver(announcement.digestAlgorithm).name
  const digest = digestOf(algorithm, content)
  const actual = manifestDigestOf(algorithm, content.length === 0 ? [] : [digest])
  if (actual !== manifestDigest) throw new Problem('digest-mismatching-value', { expected: manifestDigest, actual })
  const whole = { manifestDigest, manifest: manifest ?? null, digest, content }
  const newTransfer = { ...announcement, transferId, senderId: account.accountId }
  const admission = await admissionOf(context)
  const { transfer, notification } = await turns.take(transferId, () => ledger.deposit(newTransfer, admission, whole))
  if (notification === null) {
    return transfers.complete(account, transferId, { attempt: transfer.attempt, manifestDigest })
  }
  if (notification.notification === 'refused') throw refused(context, transfer, notification)
  metrics.notifications.inc({ notification: notification.notification })
  metrics.partBytes.inc({ direction: 'in' }, content.length)
  afterMove(context, transfer)
  return notification
}
