/**
 * Whether a file is what a stored transfer holds. Where only name, size and time tell files apart, one that looks the same may
 * be another, and the end of that transfer must not be told of it: the file is read, and held against what was signed.
 */
import { manifestDigestOf } from '../digests/index.ts'
import { partCount, partSpan, type TransferStatus } from '../protocol/index.ts'
import { type ContentKey, ownManifest } from '../trust/index.ts'
import type { SendContext } from './context.ts'
import type { JournalEntry } from './journal.ts'
import { layoutOf, sealOf, wireLayoutOf } from './layout.ts'
import type { OpenSource, PartDigests } from './source.ts'

/** What the parts of a file are, as far as they have been read. */
export interface ReadParts {
  readonly entry: JournalEntry
  readonly contentKey: ContentKey | null
  /** By part number; what is read now is added. */
  readonly digests: Map<number, PartDigests>
}

/**
 * Nothing of what is read leaves, so that it may be sealed with a key of other content.
 *
 * @returns false also where nothing was signed that it could be held against
 * @throws Problem `source-changed`, `source-unreadable`, `receipt-invalid`, the signal's reason
 */
export async function isContentOf(
  { manifest }: TransferStatus,
  { trust, account, signal, onEvent }: SendContext,
  file: OpenSource,
  { entry, contentKey, digests }: ReadParts,
): Promise<boolean> {
  if (trust === null || manifest === null) return false
  const { transferId, metadata, digestAlgorithm } = entry
  const signed = await ownManifest(manifest, trust.keys.publicKeys, { transferId, from: account, metadata })
  const layout = layoutOf(entry)
  const wireLayout = wireLayoutOf(entry)
  const buffer = new Uint8Array(Math.min(wireLayout.partSizeBytes, wireLayout.sizeBytes))
  const inOrder: string[] = []
  for (let partNumber = 1; partNumber <= partCount(layout); partNumber++) {
    signal.throwIfAborted()
    const { offsetBytes, lengthBytes } = partSpan(layout, partNumber)
    const target = buffer.subarray(0, partSpan(wireLayout, partNumber).lengthBytes)
    const seal = contentKey === null ? null : sealOf(entry, contentKey, partNumber)
    const read = digests.get(partNumber) ?? (await file.readPart(target, offsetBytes, digestAlgorithm, seal))
    digests.set(partNumber, read)
    inOrder.push(read.digest)
    const hashedBytes = offsetBytes + lengthBytes
    onEvent({ type: 'uploading', transferId, hashedBytes, sentBytes: 0, acknowledgedBytes: 0 })
  }
  await file.assertUnchanged()
  return manifestDigestOf(digestAlgorithm, inOrder) === signed.manifestDigest
}
