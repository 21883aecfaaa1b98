/**
 * A file of any size as the body of one request, for senders that have only curl. The portal does the work of a sender: it makes
 * the transfer, cuts the file into parts, hashes them, and completes the transfer.
 *
 * - With a known length, the transfer is announced before its content arrives, and receivers fetch meanwhile.
 * - A small file is recorded together with its content in one transaction.
 * - With an unknown length, parts are stored under an id that the ledger does not know, and one transaction at the end records the
 *   whole transfer. If the body breaks before, the parts are removed; parts that a killed portal leaves are found as orphans.
 *
 * A body that breaks off cannot be continued, and its parts are deleted. A sender that gave an idempotency key may repeat the
 * request. Without a key the sender does not know the id, so the transfer is refused.
 */
import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import { manifestDigestOf } from '../../digests/index.ts'
import {
  type Announcement,
  choosePartSizeBytes,
  type DigestAlgorithm,
  defaultDigestAlgorithm,
  isDigestAlgorithm,
  newTransferId,
  Problem,
  partSizeBytesDefault,
  partsPerTransferMax,
} from '../../protocol/index.ts'
import { areAlive, type PortalContext } from '../context.ts'
import type { Account, Admission, NewTransfer, Transfer } from '../ledger/contract.ts'
import { limitOf, storageFull } from '../ledger/room.ts'
import { offeredDigestAlgorithms, type PortalOptions } from '../options.ts'
import type { PartsKey } from '../store/contract.ts'
import type { ActiveUpload } from './active-uploads.ts'
import { type Description, mayBeSame } from './active-uploads.ts'
import { admissionOf, recordedProblem, requireDiskRoom, requireSuitable } from './admission.ts'
import type { BodyDigests } from './body-digests.ts'
import {
  type Body,
  type BodyParts,
  intoMemory,
  intoStore,
  isAtEnd,
  requireAll,
  type Splitting,
  sealIfWhole,
  splitBody,
} from './body-splitter.ts'
import { storeInline } from './inline-uploads.ts'
import {
  descriptionOf,
  isStored,
  isStoredContent,
  otherContent,
  replacedProblem,
  requireStoredAs,
} from './same-request.ts'
import type { Transfers } from './transfers.ts'

const GENERATION_BYTES = 12

/** A file of a request. */
export interface OneRequestFile extends Description {
  /** The transferId that the sender chose as idempotency key, so that it can repeat the request; null without one. */
  readonly key: string | null
  readonly digests: BodyDigests | null
  /** Called at the end of the file. @throws Problem when the content does not match the digests in the request */
  readonly verify: () => void
  readonly source: Readable
  /** Aborts when the client has disconnected. */
  readonly signal: AbortSignal
  /** Called when the request has been admitted, before any of the body is read. */
  readonly onAdmitted: () => void
}

/** The state of one request. */
interface OneRequest {
  readonly context: PortalContext
  readonly transfers: Transfers
  readonly account: Account
  readonly transferId: string
  readonly file: OneRequestFile
  readonly upload: ActiveUpload
  readonly body: Body
  readonly digestAlgorithm: DigestAlgorithm
}

/**
 * Receives a file. When this resolves, it is stored. A repeated request with the same key makes no second transfer.
 *
 * @throws Problem for a refusal; then nothing of the file is kept
 */
export async function receiveFile(
  context: PortalContext,
  transfers: Transfers,
  account: Account,
  file: OneRequestFile,
): Promise<Transfer> {
  const { key, sizeBytes, source } = file
  const transferId = key ?? newTransferId(context.ledger.nowMs())
  const earlier = key === null ? null : await context.ledger.transfer(key)
  // Checked before a running upload is cut off, because only the same request may replace it.
  if (earlier !== null) requireSameRequest(earlier, account, file)
  const digestAlgorithm = digestAlgorithmOf(context, earlier)
  await requireSuitable(context, account, transferId, announcementOf({ file, digestAlgorithm }, sizeBytes ?? 0))
  using upload = await context.activeUploads.begin(transferId, account.accountId, file)
  const signal = AbortSignal.any([file.signal, upload.signal])
  const request = {
    context,
    transfers,
    account,
    transferId,
    file,
    upload,
    body: { source, signal, extraHasher: file.digests },
    digestAlgorithm,
  }
  const known = key === null ? null : await knownTransfer(request)
  if (known !== null && isStored(known)) return await repeated(request, known)
  // If an earlier try announced the length, this one has the same length, even if it does not say so.
  const announcedBytes = sizeBytes ?? known?.sizeBytes ?? null
  // Awaited here, because the upload is disposed of when this function returns.
  if (announcedBytes === null) return await receiveOfUnknownSize(request)
  const isSmall = announcedBytes <= Math.min(context.options.wholeSizeBytesMax, partSizeBytesDefault)
  return isSmall ? await receiveSmall(request, announcedBytes) : await receiveAnnounced(request, announcedBytes)
}

/** The fastest algorithm on offer. A repeated request keeps the algorithm of its first try. */
export function digestAlgorithmOf({ options }: PortalContext, earlier: Transfer | null): DigestAlgorithm {
  const { digestAlgorithm } = earlier ?? {}
  if (digestAlgorithm !== undefined && isDigestAlgorithm(digestAlgorithm)) return digestAlgorithm
  return offeredDigestAlgorithms(options)[0] ?? defaultDigestAlgorithm
}

/** @throws Problem `transfer-conflict` when the key belongs to another request, as far as that is visible without the content */
export function requireSameRequest(earlier: Transfer, { accountId }: Account, file: Description): void {
  const description = descriptionOf(earlier)
  const isSame = earlier.senderId === accountId && description !== null && mayBeSame(description, file)
  if (!isSame) throw new Problem('transfer-conflict')
}

/**
 * The transfer of an earlier request with the same key; null when there is none.
 *
 * @throws Problem `transfer-conflict` when the key belongs to another request
 */
async function knownTransfer({ context, transferId, account, file }: OneRequest): Promise<Transfer | null> {
  const known = await context.ledger.transfer(transferId)
  if (known === null) return null
  requireSameRequest(known, account, file)
  if (isStored(known) || known.state === 'receiving') return known
  const detail = `the transfer of this key is ${known.state}; take another key`
  throw new Problem('transfer-conflict', { state: known.state, detail })
}

/**
 * A repeated request for a stored transfer: its body is read and compared with the stored content. The stored transfer does not
 * change.
 *
 * @throws Problem `digest-mismatching-value` when the body was damaged on its way, `transfer-conflict` when it differs from the
 *   stored content
 */
async function repeated({ context, file, body }: OneRequest, known: Transfer): Promise<Transfer> {
  file.onAdmitted()
  const isSame = await isStoredContent(context, known, body)
  // A damaged body is reported first, because the sender may have sent the right content.
  if (body.source.readableEnded) file.verify()
  if (!isSame) throw otherContent()
  return known
}

/**
 * Reads the body of a request, cuts it into parts and verifies it.
 *
 * @param sizeBytes the announced size; null when it is unknown
 * @throws Problem `part-incomplete` when it ends early, breaks or stalls; `transfer-conflict` when a body of unknown length is longer
 *   than announced by an earlier try; what `file.verify` throws
 */
async function receiveBody(
  { context: { options }, file, body, digestAlgorithm }: OneRequest,
  splitting: Omit<Splitting, 'digestAlgorithm'>,
  sizeBytes: number | null,
): Promise<BodyParts & { readonly manifestDigest: string }> {
  file.onAdmitted()
  const parts = await splitBody(options, body, { ...splitting, digestAlgorithm }, sizeBytes ?? undefined)
  requireAll(parts.sizeBytes, sizeBytes ?? parts.sizeBytes)
  const mayBeLonger = sizeBytes !== null && file.sizeBytes === null
  if (mayBeLonger && !(await isAtEnd(options, body, digestAlgorithm))) throw otherContent()
  file.verify()
  return { ...parts, manifestDigest: manifestDigestOf(digestAlgorithm, parts.digests) }
}

/** Receives a small file into memory, and records it with its content in the ledger. */
async function receiveSmall(request: OneRequest, sizeBytes: number): Promise<Transfer> {
  const { context } = request
  const admission = await admissionOf(context)
  const freeBytes = await context.ledger.roomBytes(partiesOf(request), admission)
  if (sizeBytes > freeBytes) throw storageFull(sizeBytes, freeBytes, admission)
  const gathered: Uint8Array[] = []
  const splitting = { partSizeBytes: sizeBytes, openSink: intoMemory(gathered) }
  const { manifestDigest, digests } = await receiveBody(request, splitting, sizeBytes)
  const inline = { manifestDigest, manifest: null, digest: digests[0] ?? '', content: Buffer.concat(gathered) }
  const { transfer } = await storeInline(context, newTransferOf(request, sizeBytes), admission, inline)
  return requireStoredAs(transfer, manifestDigest)
}

/** Receives a file of known size: announces it, stores its parts as they arrive, and completes it. */
async function receiveAnnounced(request: OneRequest, sizeBytes: number): Promise<Transfer> {
  const { context, transfers, account, transferId, digestAlgorithm } = request
  const announcement = announcementOf(request, sizeBytes)
  const { partSizeBytes } = announcement
  const { attempt, generation } = await begin(request, announcement)
  const parts = { transferId, generation }
  try {
    const splitting = {
      partSizeBytes,
      openSink: intoStore(context.store, parts, digestAlgorithm),
      beforePart: () => requireDiskRoom(context, partSizeBytes),
      onBytes: transfers.extendDeadlineOnBytes(transferId),
      afterPart: (partNumber: number, lengthBytes: number) =>
        transfers.partReceived({ ...parts, partNumber }, lengthBytes),
    }
    const { manifestDigest } = await receiveBody(request, splitting, sizeBytes)
    const notification = await transfers.complete(account, transferId, { attempt, manifestDigest })
    if ('problem' in notification) throw recordedProblem(notification)
  } catch (error) {
    throw await brokenOff(request, parts, attempt, error)
  }
  const transfer = await context.ledger.transfer(transferId)
  if (transfer === null) throw new Error(`transfer ${transferId} is stored, and not in the ledger`)
  return transfer
}

/** Announces a file, or starts a new attempt at one that an earlier request announced. */
async function begin(
  { context, transfers, account, transferId }: OneRequest,
  announcement: Announcement,
): Promise<Pick<Transfer, 'attempt' | 'generation'>> {
  const { status, isNew } = await transfers.announce(account, transferId, announcement, { isOneRequest: true })
  const ended = isNew ? null : await transfers.beginAgain(transferId, status.attempt)
  if (ended?.notification === 'refused') throw recordedProblem(ended)
  const transfer = await context.ledger.transfer(transferId)
  if (transfer?.state !== 'receiving') throw new Problem('transfer-closed', { state: transfer?.state })
  return transfer
}

/** Deletes the parts of an announced transfer whose body broke. @returns the error to answer with */
async function brokenOff(request: OneRequest, parts: PartsKey, attempt: number, error: unknown): Promise<unknown> {
  const { context, transfers, transferId, file, upload } = request
  const isReplaced = upload.signal.aborted && error instanceof Problem && error.code === 'part-incomplete'
  if (isReplaced) error = replacedProblem()
  const problem = error instanceof Problem ? error : new Problem('internal', {}, { cause: error })
  const isWantedAgain = file.key !== null && problem.next !== 'refused'
  const notification = await transfers.attemptFailed({ transferId, attempt }, problem, isWantedAgain)
  if (error !== problem) return error
  if (notification !== null) return 'problem' in notification ? recordedProblem(notification) : problem
  // Another request has ended the attempt. Parts that arrived after that are deleted here.
  const now = await context.ledger.transfer(transferId)
  if (!areAlive(now, parts)) await context.store.removeParts(parts)
  if (now !== null && now.state !== 'receiving') return new Problem('transfer-closed', { state: now.state })
  // A newer request of the same key at another portal has replaced this one.
  return problem.code === 'transfer-closed'
    ? new Problem('unavailable', { detail: 'a newer request sends the file' })
    : problem
}

/** Receives a file of unknown size, within the space that is free now, and records it as a whole at the end. */
async function receiveOfUnknownSize(request: OneRequest): Promise<Transfer> {
  const { context, transferId } = request
  const { ledger, store } = context
  const begunAtMs = ledger.nowMs()
  // Each request uses a generation of its own, because another request for the same transfer may run at another portal.
  const parts = { transferId, generation: randomBytes(GENERATION_BYTES).toString('hex') }
  const taken = await receiveUnannounced(request, parts).catch(async (error: unknown) => {
    await store.removeParts(parts)
    throw error
  })
  const newTransfer = { ...newTransferOf(request, taken.sizeBytes), partSizeBytes: taken.partSizeBytes }
  const { manifestDigest } = taken
  const admission = await admissionOf(context)
  // The content is on the disk already, so its size counts as free here.
  const freeBytes = admission.freeBytes === null ? null : admission.freeBytes + taken.sizeBytes
  try {
    const inline = { manifestDigest, manifest: null, heldIn: 'store', ...parts, begunAtMs } as const
    const { transfer } = await storeInline(context, newTransfer, { ...admission, freeBytes }, inline)
    if (!areAlive(transfer, parts)) await store.removeParts(parts)
    return requireStoredAs(transfer, manifestDigest)
  } catch (error) {
    // After a lost answer the ledger may have recorded the transfer, so the parts must stay. Otherwise they are found as orphans later.
    const isDecided = !ledger.traits.isShared || (error instanceof Problem && error.code !== 'unavailable')
    if (isDecided && !areAlive(await ledger.transfer(transferId), parts)) await store.removeParts(parts)
    throw error
  }
}

/** Stores a body, verified and durable, before the ledger knows of it. */
async function receiveUnannounced(
  request: OneRequest,
  parts: PartsKey,
): Promise<{ sizeBytes: number; partSizeBytes: number; manifestDigest: string }> {
  const { context, upload, digestAlgorithm } = request
  const { ledger, store, options, metrics } = context
  let freeBytes = await ledger.roomBytes(partiesOf(request), await besideOthers(request))
  const partSizeBytes = choosePartSizeBytes(Math.min(options.transferSizeBytesMax, freeBytes))
  const splitting = {
    partSizeBytes,
    openSink: intoStore(store, parts, digestAlgorithm),
    beforePart: async () => {
      freeBytes = upload.unannouncedBytes + (await ledger.roomBytes(partiesOf(request), await besideOthers(request)))
    },
    onBytes: (byteCount: number) => {
      upload.unannouncedBytes += byteCount
      requireFit(upload.unannouncedBytes, options, { freeBytes, partSizeBytes })
    },
    afterPart: async (_partNumber: number, lengthBytes: number) =>
      metrics.partBytes.inc({ direction: 'in' }, lengthBytes),
  }
  const { sizeBytes, manifestDigest } = await receiveBody(request, splitting, null)
  const layout = { ...parts, sizeBytes, partSizeBytes }
  const verdict = await sealIfWhole(store, layout, digestAlgorithm, manifestDigest)
  if (verdict.disposition !== 'received') throw verdict.problem
  return { sizeBytes, partSizeBytes, manifestDigest }
}

/** The bounds of this portal, minus the unannounced bytes of running uploads. */
export async function besideOthers({ context, account }: Pick<OneRequest, 'context' | 'account'>): Promise<Admission> {
  const { activeUploads } = context
  const admission = await admissionOf(context)
  return {
    ...admission,
    accountBytesMax: admission.accountBytesMax - activeUploads.unannouncedBytes(account.accountId),
    storageBytesMax: admission.storageBytesMax - activeUploads.unannouncedBytes(null),
  }
}

/** @throws Problem `transfer-too-large`, `storage-full` */
function requireFit(
  arrivedBytes: number,
  options: PortalOptions,
  { freeBytes, partSizeBytes }: { readonly freeBytes: number; readonly partSizeBytes: number },
): void {
  if (arrivedBytes > options.transferSizeBytesMax) {
    throw new Problem('transfer-too-large', { sizeBytesMax: options.transferSizeBytesMax })
  }
  if (arrivedBytes > Math.min(freeBytes, partSizeBytes * partsPerTransferMax)) {
    throw new Problem('storage-full', { freeBytes, ...limitOf(arrivedBytes, options) })
  }
}

function partiesOf({ account, file }: OneRequest): Pick<NewTransfer, 'senderId' | 'to'> {
  return { senderId: account.accountId, to: [...file.to] }
}

function announcementOf({ file, digestAlgorithm }: Pick<OneRequest, 'file' | 'digestAlgorithm'>, sizeBytes: number) {
  const { to, metadata } = file
  return { to: [...to], metadata, sizeBytes, partSizeBytes: choosePartSizeBytes(sizeBytes), digestAlgorithm }
}

function newTransferOf(request: OneRequest, sizeBytes: number): NewTransfer {
  const { account, transferId } = request
  return { ...announcementOf(request, sizeBytes), transferId, senderId: account.accountId, isOneRequest: true }
}
