/** What the portal asks of an announcement, and what it says where it cannot take the transfer. */
import {
  type Announcement,
  isDigestAlgorithm,
  isProblemCode,
  type Notification,
  Problem,
  type ProblemJson,
  partCount,
  partSizeBytesMax,
  partSizeBytesMin,
  partsPerTransferMax,
} from '../protocol/index.ts'
import type { PortalContext } from './context.ts'
import type { Admission, Transfer } from './ledger/contract.ts'
import { offeredDigestAlgorithms } from './options.ts'
import { topics } from './signals/index.ts'

/** @throws Problem for what no transfer of this portal can be */
export async function requireSuitable(
  context: PortalContext,
  transferId: string,
  announcement: Announcement,
): Promise<void> {
  const { sealedOnly, transferSizeBytesMax: sizeBytesMax } = context.options
  if (sealedOnly && !('sealed' in announcement.metadata)) throw new Problem('sealing-required')
  await requireDigestAlgorithm(context, transferId, announcement.digestAlgorithm)
  if (announcement.sizeBytes > sizeBytesMax) {
    throw new Problem('transfer-too-large', { sizeBytes: announcement.sizeBytes, sizeBytesMax })
  }
  const count = partCount(announcement)
  if (announcement.partSizeBytes < partSizeBytesMin || count > partsPerTransferMax) {
    throw new Problem('part-size-unsuitable', { partSizeBytesMin, partSizeBytesMax, partsPerTransferMax })
  }
}

/** A transfer goes on with what it began with, even where the portal has come back without what makes that fast. */
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

/** The bounds of this portal, as they are now. */
export async function admissionOf({ store, options }: PortalContext): Promise<Admission> {
  const roomBytes = await store.freeBytes()
  return {
    expiryMs: options.expiryMs,
    uploadTimeoutMs: options.uploadTimeoutMs,
    accountBytesMax: options.accountBytesMax,
    accountTransfersMax: options.accountTransfersMax,
    storageBytesMax: options.storageBytesMax,
    freeBytes: roomBytes === null ? null : Math.max(0, roomBytes - options.freeBytesMin),
  }
}

/** The last of the disk is the ledger's, lest nothing can be written down any more. @throws Problem `storage-full` */
export async function requireDiskRoom({ store, options }: PortalContext, lengthBytes: number): Promise<void> {
  const roomBytes = await store.freeBytes()
  if (roomBytes === null || roomBytes - lengthBytes >= options.freeBytesMin) return
  const freeBytes = Math.max(0, roomBytes - options.freeBytesMin)
  throw new Problem('storage-full', { neededBytes: lengthBytes, freeBytes })
}

/** A transfer was refused at once: wakes whom it concerns. @returns the problem, with the event that recorded it */
export function refused(
  { signals, metrics }: PortalContext,
  { senderId }: Transfer,
  notification: Notification & { readonly notification: 'refused' },
): Problem {
  metrics.notifications.inc({ notification: 'refused' })
  signals.publish(topics.events(senderId))
  return recordedProblem(notification)
}

/** The problem of a notification as the answer to the request that caused it, with the event that recorded it. */
export function recordedProblem(notification: Notification & { readonly problem: ProblemJson }): Problem {
  const { transferId, eventId, at, attempt, problem } = notification
  const { code } = problem
  if (!isProblemCode(code)) throw new Error(`the portal recorded the problem ${code}, which it does not know`)
  return new Problem(code, { ...detailsOf(problem), transferId, eventId, at, attempt })
}

/** The members of a recorded problem that are not those of every problem. */
function detailsOf({ type: _type, title: _title, status: _status, code: _code, ...details }: Record<string, unknown>) {
  return details
}
