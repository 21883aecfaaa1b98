/**
 * What is stored under a transfer is not always what this run has sent: an earlier run may have, or another one meanwhile, and
 * then of a file that only looked the same. Where that is possible, what the portal has is compared with the file before anybody is
 * told that the file is stored. The portal is not believed for that: its content is known by the manifest that this account signed.
 */
import { partCount, partSpan, type TransferStatus } from '../protocol/index.ts'
import { type ContentKey, ownManifest } from '../trust/index.ts'
import type { SendContext } from './context.ts'
import type { JournalEntry } from './journal.ts'
import { layoutOf, sealOf, wireLayoutOf } from './layout.ts'
import type { OpenSource, PartDigests } from './source.ts'

export interface OwnContent {
  readonly context: SendContext
  readonly entry: JournalEntry
  readonly file: OpenSource
  /** Null where the transfer is not sealed. */
  readonly contentKey: ContentKey | null
  /** What this run has read of the file, by part number; what is read now is added. */
  readonly digests: Map<number, PartDigests>
  /** Of all parts, once they have been read. */
  readonly manifestDigest: () => string
}

/**
 * Whether a transfer that is stored has the content of this very file.
 *
 * @throws Problem `source-changed`, `source-unreadable`; `signature-invalid`, `receipt-invalid` where the portal shows a manifest
 *   that this account did not sign; the signal's reason
 */
export async function isOfFile(own: OwnContent, { manifest }: TransferStatus): Promise<boolean> {
  const { context, entry, file } = own
  if (file.isCertain) return true
  const { trust, account: from } = context
  if (trust === null || manifest === null) return false
  const { transferId, metadata } = entry
  const signed = await ownManifest(manifest, trust.keys.publicKeys, { transferId, from, metadata })
  await readMissing(own)
  await file.assertUnchanged()
  return signed.manifestDigest === own.manifestDigest()
}

async function readMissing({ context, entry, file, contentKey, digests }: OwnContent): Promise<void> {
  const layout = layoutOf(entry)
  const wireLayout = wireLayoutOf(entry)
  const buffer = new Uint8Array(Math.min(wireLayout.partSizeBytes, wireLayout.sizeBytes))
  for (let partNumber = 1; partNumber <= partCount(layout); partNumber++) {
    context.signal.throwIfAborted()
    if (digests.has(partNumber)) continue
    const bytes = buffer.subarray(0, partSpan(wireLayout, partNumber).lengthBytes)
    const { offsetBytes } = partSpan(layout, partNumber)
    const seal = contentKey === null ? null : sealOf(entry, contentKey, partNumber)
    digests.set(partNumber, await file.readPart(bytes, offsetBytes, entry.digestAlgorithm, seal))
  }
}
