/**
 * Whether a file has the content of a stored transfer. Where only name, size and time tell files apart, two files may look the same.
 * So before the end of an old transfer is reported for a file, the file is read and compared with the signed manifest.
 */
import { manifestDigestOf } from '../digests/index.ts'
import { partCount, partSpan, type TransferStatus } from '../protocol/index.ts'
import { type ContentKey, ownManifest, type PartDigests } from '../trust/index.ts'
import type { SendContext } from './context.ts'
import type { JournalEntry } from './journal.ts'
import { layoutOf, sealOf, wireLayoutOf } from './layout.ts'
import type { OpenSource } from './source.ts'

/** The parts of a file that have been read. */
export interface ReadParts {
  readonly entry: JournalEntry
  readonly contentKey: ContentKey | null
  /** By part number. Parts that are read now are added. */
  readonly digests: Map<number, PartDigests>
}

/**
 * Seals the content to compare it. The sealed bytes never leave, so using the key for another content is harmless here.
 *
 * @returns false also when there is no signed manifest to compare with
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
