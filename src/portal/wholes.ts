/**
 * Transfers that are there as a whole before the ledger hears of them. `stored` is said when the one transaction that records
 * all of it is durable; there is nothing else that could be there by halves. Of a small file that takes its content, too.
 */
import { digestDriver, digestOf, manifestDigestOf } from '../digests/index.ts'
import { isWhole, type Notification, Problem, type WholeTransfer } from '../protocol/index.ts'
import { admissionOf, refused, requireSuitable } from './admission.ts'
import { afterMove, type PortalContext } from './context.ts'
import type { Account, Admission, NewTransfer, Transfer, WholeContent } from './ledger/contract.ts'
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
  const { options } = context
  await requireSuitable(context, transferId, announcement)
  const { wholeSizeBytesMax } = options
  if (!isWhole(announcement, wholeSizeBytesMax)) throw new Problem('body-too-large', { wholeSizeBytesMax })
  if (content.length !== announcement.sizeBytes) {
    throw new Problem('part-incomplete', { arrivedBytes: content.length, lengthBytes: announcement.sizeBytes })
  }
  const algorithm = digestDriver(announcement.digestAlgorithm).name
  const digest = digestOf(algorithm, content)
  const actual = manifestDigestOf(algorithm, content.length === 0 ? [] : [digest])
  if (actual !== manifestDigest) throw new Problem('digest-mismatching-value', { expected: manifestDigest, actual })
  const whole = { manifestDigest, manifest: manifest ?? null, digest, content }
  const newTransfer = { ...announcement, transferId, senderId: account.accountId }
  const { transfer, notification } = await deposit(context, newTransfer, await admissionOf(context), whole)
  if (notification === null) {
    return transfers.complete(account, transferId, { attempt: transfer.attempt, manifestDigest })
  }
  return notification
}

/**
 * Records a transfer that is there as a whole.
 *
 * @returns no notification where the transfer was known, and beyond that
 * @throws Problem for what it is refused with
 */
export async function deposit(
  context: PortalContext,
  newTransfer: NewTransfer,
  admission: Admission,
  whole: WholeContent,
): Promise<{ transfer: Transfer; notification: Notification | null }> {
  const { ledger, turns, metrics } = context
  const deposited = await turns.take(newTransfer.transferId, () => ledger.deposit(newTransfer, admission, whole))
  const { transfer, notification } = deposited
  if (notification === null) return deposited
  if (notification.notification === 'refused') throw refused(context, transfer, notification)
  metrics.notifications.inc({ notification: notification.notification })
  if ('content' in whole) metrics.partBytes.inc({ direction: 'in' }, whole.content.length)
  afterMove(context, transfer)
  return deposited
}
