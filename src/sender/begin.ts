/** Chooses the transfer of a file: the one of its journal entry, or a new one. */
import { NoResponseError, RemoteProblem } from '../client/index.ts'
import { newTransferId, Problem, partCount } from '../protocol/index.ts'
import type { ContentKey, PartDigests } from '../trust/index.ts'
import type { SendContext } from './context.ts'
import type { JournalEntry, JournalKey } from './journal.ts'
import { recordLayoutOf, sealOf, wireLayoutOf } from './layout.ts'
import { partSizeBytesFor } from './part-size.ts'
import { beginRecord } from './seal-record.ts'
import { isSameSource, type OpenSource, type Source } from './source.ts'
import { ownContentKey, sealedForText, sealMetadata } from './trust.ts'

/** The transfer of a file. `isResumed` when another run began it or is just beginning it. */
export interface Begun {
  readonly entry: JournalEntry
  /** Null where the transfer is not sealed. */
  readonly contentKey: ContentKey | null
  readonly isResumed: boolean
  /** The part of a new sealed transfer that has only one. Its digest is in the journal entry. */
  readonly sealedPart: SealedPart | null
}

/** A part as it travels. */
export interface SealedPart {
  readonly bytes: Uint8Array
  readonly digests: PartDigests
}

/**
 * Finds the transfer that another run began for this very file, or makes a new one and records it before the portal hears of it. If
 * the file has changed since, the old transfer is cancelled, unless the portal has stored it and so promised it to its
 * receivers.
 *
 * @param over the transferId of this file's journal entry that has turned out to be over, and must not be resumed
 * @throws Problem `source-changed` when the open file is an older version than the one in the journal
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
        // Another run may have opened the file later. Then this run's version is the outdated one, and this throws.
        await file.assertUnchanged()
      }
      await cancelUnstored(context, known.transferId)
    }
    const begun = await newEntry(context, file)
    if (await journal.replace(known, begun.entry)) return begun
    await sealRecords.remove(begun.entry.transferId)
    // Another run was faster. The loop reads its entry.
  }
}

/** Cancels a transfer that the portal is still receiving. Failures are ignored, because the transfer expires in any case. */
export async function cancelUnstored(
  { client, signal }: Pick<SendContext, 'client' | 'signal'>,
  transferId: string,
): Promise<void> {
  try {
    await client.cancel(transferId, { signal, onlyWhile: 'receiving' })
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof RemoteProblem) && !(error instanceof NoResponseError)) throw error
  }
}

/** @returns null when the transfer is not sealed; undefined when it is sealed for other keys than the current ones */
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

/** Makes a new transfer and its seal record. The record exists before another run can find the journal entry. */
async function newEntry(context: SendContext, file: OpenSource): Promise<Begun> {
  const { trust, account: from, receiverKeys } = context
  const transferId = newTransferId(context.idTimeMs())
  const { mediaType } = file
  const metadata = { name: file.source.name, ...(mediaType === undefined ? {} : { mediaType }) }
  const wantedBytes = Math.min(context.partSizeBytes, context.way.partSizeBytesMax)
  const sealed =
    trust?.isSealing === true
      ? await sealMetadata({ transferId, from, keys: trust.keys, receiverKeys }, metadata)
      : null
  const entry: JournalEntry = {
    ...keyOf(context, file.source),
    transferId,
    metadata: sealed?.metadata ?? metadata,
    sealedFor: trust?.isSealing === true ? await sealedForText(trust.keys.publicKeys, receiverKeys) : null,
    source: file.identity,
    partSizeBytes: partSizeBytesFor(file.identity.sizeBytes, wantedBytes, context.limits),
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

/** @returns null when the file does not have exactly one part */
async function sealOnlyPart(file: OpenSource, entry: JournalEntry, contentKey: ContentKey): Promise<SealedPart | null> {
  const layout = wireLayoutOf(entry)
  if (partCount(layout) !== 1) return null
  const bytes = new Uint8Array(layout.sizeBytes)
  return { bytes, digests: await file.readPart(bytes, 0, entry.digestAlgorithm, sealOf(entry, contentKey, 1)) }
}

function keyOf({ portalUrl, account, to, trust }: SendContext, { place, name }: Source): JournalKey {
  return { portalUrl, account, place, name, to, isSealed: trust?.isSealing === true }
}
