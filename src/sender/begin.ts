/** Under which transfer a file is sent: the one its journal entry names, or a new one. */
import { NoAnswer, RemoteProblem } from '../client/index.ts'
import { choosePartSizeBytes, type Limits, newTransferId, Problem, partCount } from '../protocol/index.ts'
import { type ContentKey, sealTagBytes } from '../trust/index.ts'
import type { SendContext } from './context.ts'
import type { JournalEntry, JournalKey } from './journal.ts'
import { recordLayoutOf, sealOf, wireLayoutOf } from './layout.ts'
import { beginRecord } from './seal-record.ts'
import { isSameSource, type OpenSource, type PartDigests, type Source } from './source.ts'
import { ownContentKey, sealedForText, sealMetadata } from './trust.ts'

/** The transfer that a file is sent as; `isResumed` where another run began it, or is just beginning it. */
export interface Begun {
  readonly entry: JournalEntry
  /** Null where the transfer is not sealed. */
  readonly contentKey: ContentKey | null
  readonly isResumed: boolean
  /** The only part of a new transfer that is sealed: what its journal entry has the digest of. */
  readonly sealedPart: SealedPart | null
}

/** A part as it travels. */
export interface SealedPart {
  readonly bytes: Uint8Array
  readonly digests: PartDigests
}

/**
 * The transfer that another run began for this very file, or a new one, recorded before the portal hears of it. Where
 * the file has changed since, the old transfer is cancelled, unless the portal stored it: then it has been promised to
 * its receivers.
 *
 * @param over the transfer of this file that has turned out to be over, and is not to be gone on with
 * @throws Problem `source-changed` when what was opened is the older version of the file
 */
export async function begin(context: SendContext, file: OpenSource, over: string | null): Promise<Begun> {
  const { journal, sealRecords, signal } = context
  for (;;) {
    signal.throwIfAborted()
    const known = await journal.read(keyOf(context, file.source))
    if (known !== null && known.transferId !== over) {
      if (isSameSource(known.source, file.identity)) {
        const contentKey = await contentKeyOf(context, known)
        if (contentKey !== undefined) return { entry: known, contentKey, isResumed: true, sealedPart: null }
      } else {
        // Another run may have seen the file after this one did: its transfer is not the outdated one then.
        await file.assertUnchanged()
      }
      await cancelUnstored(context, known.transferId)
    }
    const begun = await newEntry(context, file)
    if (await journal.replace(known, begun.entry)) return begun
    await sealRecords.remove(begun.entry.transferId)
    // Another run was faster, so there is another entry to look at.
  }
}

/** Cancels a transfer that the portal is still receiving. It may fail to: the transfer expires in any case. */
export async function cancelUnstored(
  { client, signal }: Pick<SendContext, 'client' | 'signal'>,
  transferId: string,
): Promise<void> {
  try {
    await client.cancel(transferId, { signal, onlyWhile: 'receiving' })
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof RemoteProblem) && !(error instanceof NoAnswer)) throw error
  }
}

/** @returns null where the transfer is not sealed; undefined where it is, but not for the keys that count now */
async function contentKeyOf(
  { trust, account, receiverKeys }: SendContext,
  { transferId, metadata, sealedFor }: JournalEntry,
): Promise<ContentKey | null | undefined> {
  if (!('sealed' in metadata)) return null
  if (trust === null || sealedFor !== (await sealedForText(trust.keys.publicKeys, receiverKeys))) return undefined
  try {
    return await ownContentKey(transferId, account, metadata, trust.keys)
  } catch (error) {
    if (error instanceof Problem && error.code === 'seal-unopenable') return undefined
    throw error
  }
}

/** A new transfer, and the record of what will be sealed for it: both are there before another run can hear of it. */
async function newEntry(context: SendContext, file: OpenSource): Promise<Begun> {
  const { trust, account: from, receiverKeys } = context
  const transferId = newTransferId()
  const { name } = file.source
  const sealed =
    trust?.isSealing === true
      ? await sealMetadata({ transferId, from, keys: trust.keys, receiverKeys }, { name })
      : null
  const entry: JournalEntry = {
    ...keyOf(context, file.source),
    transferId,
    metadata: sealed?.metadata ?? { name },
    sealedFor: trust?.isSealing === true ? await sealedForText(trust.keys.publicKeys, receiverKeys) : null,
    source: file.identity,
    partSizeBytes: partSizeBytesFor(file.identity.sizeBytes, context.partSizeBytes, context.limits),
    digestAlgorithm: context.digestAlgorithm,
    createdAt: new Date().toISOString(),
    onlyPartDigest: null,
  }
  if (sealed === null) return { entry, contentKey: null, isResumed: false, sealedPart: null }
  const { contentKey } = sealed
  await beginRecord(context.sealRecords, transferId, recordLayoutOf(entry))
  const sealedPart = await sealOnlyPart(file, entry, contentKey)
  const onlyPartDigest = sealedPart?.digests.digest ?? null
  return { entry: { ...entry, onlyPartDigest }, contentKey, isResumed: false, sealedPart }
}

/** @returns null where there is not exactly one part */
async function sealOnlyPart(file: OpenSource, entry: JournalEntry, contentKey: ContentKey): Promise<SealedPart | null> {
  const layout = wireLayoutOf(entry)
  if (partCount(layout) !== 1) return null
  const bytes = new Uint8Array(layout.sizeBytes)
  return { bytes, digests: await file.readPart(bytes, 0, entry.digestAlgorithm, sealOf(entry, contentKey, 1)) }
}

function keyOf({ portalUrl, account, to, trust }: SendContext, { place, name }: Source): JournalKey {
  return { portalUrl, account, place, name, to, isSealed: trust?.isSealing === true }
}

/** The part size for a file, within the portal's limits and with no more parts than it takes. */
function partSizeBytesFor(sizeBytes: number, wantedBytes: number, limits: Limits): number {
  const { partSizeBytesMin, partSizeBytesMax, partsPerTransferMax } = limits
  let partSizeBytes = choosePartSizeBytes(sizeBytes, Math.max(wantedBytes, partSizeBytesMin))
  while (sizeBytes > partSizeBytes * partsPerTransferMax && partSizeBytes < partSizeBytesMax) partSizeBytes *= 2
  // Sealed or not, the parts that travel are within the limit.
  return Math.min(partSizeBytes, partSizeBytesMax - sealTagBytes)
}
