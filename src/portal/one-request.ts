/**
 * A file of any size as the body of one request, for everybody who has nothing but curl. The portal does what a sender does
 * otherwise: it makes the transfer, cuts the file into parts, digests them, and completes it.
 *
 * - Where the length is known, the transfer is announced before its content comes, and receivers fetch meanwhile.
 * - A small one is recorded together with its content, and so cannot be there by halves.
 * - Where the length is not known, parts are taken in under an id that the ledger does not know; it records all of it in one
 *   transaction at the end. What breaks before that is removed, and what a portal leaves that dies is found as an orphan.
 *
 * A body that breaks off cannot be gone on with: everything of it is deleted. A sender that named the transfer may make the
 * same request again; of any other nobody could know the id, and it is refused.
 */
import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import { digestOf, manifestDigestOf } from '../digests/index.ts'
import { judge } from '../hop/index.ts'
import {
  type Announcement,
  choosePartSizeBytes,
  type DigestAlgorithm,
  defaultDigestAlgorithm,
  isDigestAlgorithm,
  newTransferId,
  type PlainMetadata,
  Problem,
  partSizeBytesDefault,
  partsPerTransferMax,
} from '../protocol/index.ts'
import { admissionOf, recordedProblem, requireDiskRoom, requireSuitable } from './admission.ts'
import type { BodyDigests } from './body-digests.ts'
import { areAlive, type PortalContext } from './context.ts'
import { type Body, gatherBody, takeBody } from './intake.ts'
import type { Account, Admission, NewTransfer, Transfer } from './ledger/contract.ts'
import { offeredDigestAlgorithms } from './options.ts'
import type { PartsKey } from './store/contract.ts'
import type { Transfers } from './transfers.ts'
import type { Upload } from './uploads.ts'
import { deposit } from './wholes.ts'

const GENERATION_BYTES = 12

/** A file as it comes in. */
export interface IncomingFile {
  readonly to: readonly string[]
  readonly metadata: PlainMetadata
  /** Null where it shows only at the end. */
  readonly sizeBytes: number | null
  /** The transferId that its sender chose, so that it can repeat the request; null where it did not. */
  readonly key: string | null
  readonly digests: BodyDigests | null
  readonly source: Readable
  /** Aborts when nothing more will come. */
  readonly signal: AbortSignal
  /** Called once nothing stands against it, before any of the body is read. */
  readonly onAdmitted: () => void
}

/** One file on its way in. */
interface Intake {
  readonly context: PortalContext
  readonly transfers: Transfers
  readonly account: Account
  readonly transferId: string
  readonly file: IncomingFile
  readonly upload: Upload
  readonly body: Body
  readonly digestAlgorithm: DigestAlgorithm
}

/**
 * Takes a file in. When this resolves, it is stored. The same request again, under the same key, makes no second one.
 *
 * @throws Problem for what it is refused with; nothing of it is kept then
 */
export async function takeFile(
  context: PortalContext,
  transfers: Transfers,
  account: Account,
  file: IncomingFile,
): Promise<Transfer> {
  const { key, sizeBytes, source } = file
  const transferId = key ?? newTransferId()
  const digestAlgorithm = await digestAlgorithmOf(context, key)
  await requireSuitable(context, transferId, announcementOf({ file, digestAlgorithm }, sizeBytes ?? 0))
  using upload = await context.uploads.begin(transferId, account.accountId)
  const signal = AbortSignal.any([file.signal, upload.signal])
  const intake = {
    context,
    transfers,
    account,
    transferId,
    file,
    upload,
    body: { source, signal, beside: file.digests },
    digestAlgorithm,
  }
  if (key !== null) {
    const known = await knownTransfer(intake)
    if (known !== null) return known
  }
  // Awaited here: the upload is under way until then.
  if (sizeBytes === null) return await takeOfUnknownSize(intake)
  const isSmall = sizeBytes <= Math.min(context.options.wholeSizeBytesMax, partSizeBytesDefault)
  return isSmall ? await takeSmall(intake, sizeBytes) : await takeAnnounced(intake, sizeBytes)
}

/** The fastest that is on offer; what a try began with before, that the same request goes on with. */
async function digestAlgorithmOf({ ledger, options }: PortalContext, key: string | null): Promise<DigestAlgorithm> {
  const { digestAlgorithm } = (key === null ? null : await ledger.transfer(key)) ?? {}
  if (digestAlgorithm !== undefined && isDigestAlgorithm(digestAlgorithm)) return digestAlgorithm
  return offeredDigestAlgorithms(options)[0] ?? defaultDigestAlgorithm
}

/**
 * The transfer that this very request brought before, if it did.
 *
 * @returns null where it is to be brought now
 * @throws Problem `transfer-conflict` where the key stands for anything else
 */
async function knownTransfer({ context, transferId, account, file }: Intake): Promise<Transfer | null> {
  const known = await context.ledger.transfer(transferId)
  if (known === null) return null
  const isSame = known.senderId === account.accountId && known.isOneRequest && isOf(known, file)
  if (!isSame) throw new Problem('transfer-conflict')
  if (known.state === 'stored' || known.state === 'ended') return known
  if (known.state === 'receiving' && file.sizeBytes !== null) return null
  const detail = `the transfer of this key is ${known.state}; take another key`
  throw new Problem('transfer-conflict', { state: known.state, detail })
}

function isOf({ deliveries, metadata, sizeBytes }: Transfer, file: IncomingFile): boolean {
  const to = new Set(deliveries.map(({ receiver }) => receiver))
  return (
    to.size === file.to.length &&
    file.to.every((receiver) => to.has(receiver)) &&
    'name' in metadata &&
    metadata.name === file.metadata.name &&
    metadata.mediaType === file.metadata.mediaType &&
    (file.sizeBytes ?? sizeBytes) === sizeBytes
  )
}

/** A small file: into memory, then into the ledger with all that is known of it. */
async function takeSmall(intake: Intake, sizeBytes: number): Promise<Transfer> {
  const { context, file, body, digestAlgorithm } = intake
  const admission = await admissionOf(context)
  const freeBytes = await context.ledger.roomBytes(partiesOf(intake), admission)
  if (sizeBytes > freeBytes) throw new Problem('storage-full', { neededBytes: sizeBytes, freeBytes })
  file.onAdmitted()
  const content = await gatherBody(context, body, sizeBytes, digestAlgorithm)
  file.digests?.verify()
  const digest = digestOf(digestAlgorithm, content)
  const manifestDigest = manifestDigestOf(digestAlgorithm, sizeBytes === 0 ? [] : [digest])
  const whole = { manifestDigest, manifest: null, digest, content }
  const { transfer } = await deposit(context, newTransferOf(intake, sizeBytes), admission, whole)
  return transfer
}

/** A file whose size is known: announced, then its parts as they come, then completed. */
async function takeAnnounced(intake: Intake, sizeBytes: number): Promise<Transfer> {
  const { context, transfers, account, transferId, file, body, digestAlgorithm } = intake
  const announcement = announcementOf(intake, sizeBytes)
  const { attempt, generation } = await begin(intake, announcement)
  const parts = { transferId, generation }
  try {
    file.onAdmitted()
    const putOff = transfers.putOffOnBytes(transferId)
    const { digests } = await takeBody(
      context,
      body,
      {
        parts,
        digestAlgorithm,
        partSizeBytes: announcement.partSizeBytes,
        beforePart: () => requireDiskRoom(context, announcement.partSizeBytes),
        onBytes: putOff,
        afterPart: (partNumber, lengthBytes) => transfers.partCame({ ...parts, partNumber }, lengthBytes),
      },
      sizeBytes,
    )
    file.digests?.verify()
    const manifestDigest = manifestDigestOf(digestAlgorithm, digests)
    const notification = await transfers.complete(account, transferId, { attempt, manifestDigest })
    if ('problem' in notification) throw recordedProblem(notification)
  } catch (error) {
    throw await brokenOff(intake, parts, attempt, error)
  }
  const transfer = await context.ledger.transfer(transferId)
  if (transfer === null) throw new Error(`transfer ${transferId} is stored, and not in the ledger`)
  return transfer
}

/** Announces a file, or begins again with one that an earlier request announced. */
async function begin(
  { context, transfers, account, transferId }: Intake,
  announcement: Announcement,
): Promise<Pick<Transfer, 'attempt' | 'generation'>> {
  const { status, isNew } = await transfers.announce(account, transferId, announcement, { isOneRequest: true })
  const ended = isNew ? null : await transfers.beginAgain(transferId, status.attempt)
  if (ended?.notification === 'refused') throw recordedProblem(ended)
  const transfer = await context.ledger.transfer(transferId)
  if (transfer?.state !== 'receiving') throw new Problem('transfer-closed', { state: transfer?.state })
  return transfer
}

/** Deletes what came of an announced transfer. @returns what to answer with */
async function brokenOff(intake: Intake, parts: PartsKey, attempt: number, error: unknown): Promise<unknown> {
  const { context, transfers, transferId, file } = intake
  const problem = error instanceof Problem ? error : new Problem('internal', {}, { cause: error })
  const isWantedAgain = file.key !== null && problem.next !== 'refused'
  const notification = await transfers.attemptFailed({ transferId, attempt }, problem, isWantedAgain)
  if (error !== problem) return error
  if (notification !== null) return 'problem' in notification ? recordedProblem(notification) : problem
  // It was ended by somebody else, and that is why. A part that came too late is nobody's.
  const now = await context.ledger.transfer(transferId)
  if (!areAlive(now, parts)) await context.store.removeParts(parts)
  if (now !== null && now.state !== 'receiving') return new Problem('transfer-closed', { state: now.state })
  // An older request of the same key, at another portal, noticed only now that it is broken.
  return problem.code === 'transfer-closed' ? new Problem('unavailable', { detail: 'the file began anew' }) : problem
}

/** A file whose size shows only at the end: within what there is room for now, and recorded as a whole. */
async function takeOfUnknownSize(intake: Intake): Promise<Transfer> {
  const { context, transferId } = intake
  const { ledger, store } = context
  const begunAtMs = ledger.nowMs()
  // Of its own: another request for the same transfer, at another portal, has others.
  const parts = { transferId, generation: randomBytes(GENERATION_BYTES).toString('hex') }
  const taken = await takeUnannounced(intake, parts).catch(async (error: unknown) => {
    await store.removeParts(parts)
    throw error
  })
  const newTransfer = { ...newTransferOf(intake, taken.sizeBytes), partSizeBytes: taken.partSizeBytes }
  const { manifestDigest } = taken
  const admission = await admissionOf(context)
  // What it needs of the disk it has already.
  const freeBytes = admission.freeBytes === null ? null : admission.freeBytes + taken.sizeBytes
  try {
    const whole = { manifestDigest, manifest: null, heldIn: 'store', ...parts, begunAtMs } as const
    const { transfer } = await deposit(context, newTransfer, { ...admission, freeBytes }, whole)
    if (!areAlive(transfer, parts)) await store.removeParts(parts)
    return transfer
  } catch (error) {
    // A ledger that was cut off may yet come to have it. Its parts must stay; if it has not, they are found as orphans.
    const isDecided = !ledger.traits.isShared || (error instanceof Problem && error.code !== 'unavailable')
    if (isDecided && !areAlive(await ledger.transfer(transferId), parts)) await store.removeParts(parts)
    throw error
  }
}

/** A body into the store, verified and durable, of which the ledger knows nothing yet. */
async function takeUnannounced(
  intake: Intake,
  parts: PartsKey,
): Promise<{ sizeBytes: number; partSizeBytes: number; manifestDigest: string }> {
  const { context, file, body, upload, digestAlgorithm } = intake
  const { ledger, store, options, metrics } = context
  const { transferSizeBytesMax } = options
  let freeBytes = await ledger.roomBytes(partiesOf(intake), await besideOthers(intake))
  const partSizeBytes = choosePartSizeBytes(Math.min(transferSizeBytesMax, freeBytes))
  file.onAdmitted()
  const { sizeBytes, digests } = await takeBody(
    context,
    body,
    {
      parts,
      digestAlgorithm,
      partSizeBytes,
      beforePart: async () => {
        freeBytes = upload.unannouncedBytes + (await ledger.roomBytes(partiesOf(intake), await besideOthers(intake)))
      },
      onBytes: (byteCount) => {
        upload.unannouncedBytes += byteCount
        requireFit(upload.unannouncedBytes, { transferSizeBytesMax, freeBytes, partSizeBytes })
      },
      afterPart: async (_partNumber, lengthBytes) => metrics.partBytes.inc({ direction: 'in' }, lengthBytes),
    },
    null,
  )
  file.digests?.verify()
  const manifestDigest = manifestDigestOf(digestAlgorithm, digests)
  const verdict = judge({ sizeBytes, partSizeBytes }, digestAlgorithm, await store.list(parts), manifestDigest)
  if (verdict.disposition !== 'received') throw verdict.problem
  await store.seal(parts)
  return { sizeBytes, partSizeBytes, manifestDigest }
}

/** The bounds of this portal, with what is coming in unannounced taken off. */
async function besideOthers({ context, account }: Intake): Promise<Admission> {
  const { uploads } = context
  const admission = await admissionOf(context)
  return {
    ...admission,
    accountBytesMax: admission.accountBytesMax - uploads.unannouncedBytes(account.accountId),
    storageBytesMax: admission.storageBytesMax - uploads.unannouncedBytes(null),
  }
}

/** @throws Problem `transfer-too-large`, `storage-full` */
function requireFit(
  arrivedBytes: number,
  bounds: { readonly transferSizeBytesMax: number; readonly freeBytes: number; readonly partSizeBytes: number },
): void {
  const { transferSizeBytesMax, freeBytes, partSizeBytes } = bounds
  if (arrivedBytes > transferSizeBytesMax) {
    throw new Problem('transfer-too-large', { sizeBytesMax: transferSizeBytesMax })
  }
  if (arrivedBytes > Math.min(freeBytes, partSizeBytes * partsPerTransferMax)) {
    throw new Problem('storage-full', { freeBytes })
  }
}

function partiesOf({ account, file }: Intake): Pick<NewTransfer, 'senderId' | 'to'> {
  return { senderId: account.accountId, to: [...file.to] }
}

function announcementOf({ file, digestAlgorithm }: Pick<Intake, 'file' | 'digestAlgorithm'>, sizeBytes: number) {
  const { to, metadata } = file
  return { to: [...to], metadata, sizeBytes, partSizeBytes: choosePartSizeBytes(sizeBytes), digestAlgorithm }
}

function newTransferOf(intake: Intake, sizeBytes: number): NewTransfer {
  const { account, transferId } = intake
  return { ...announcementOf(intake, sizeBytes), transferId, senderId: account.accountId, isOneRequest: true }
}
