/** Chooses the part size of a transfer, and a smaller one when parts do not get through. */
import { choosePartSizeBytes, type Limits, partSizeBytesDefault, type TransferStatus } from '../protocol/index.ts'
import { sealTagBytes } from '../trust/index.ts'
import { isLost } from './answers.ts'
import type { SendContext } from './context.ts'
import type { Retry } from './first-hop-end.ts'
import type { JournalEntry } from './journal.ts'
import type { UploadsCutError } from './upload-cuts.ts'

/** The next part size as a share of the one that did not get through. */
const SMALLER_FACTOR = 1 / 4

/** Parts of a stream are large enough for this, unless the caller wants others. Larger ones would take more memory. */
const STREAM_BYTES_AIMED = 320e9

/** The part size for a file, within the portal's limits on size and number of parts. */
export function partSizeBytesFor(sizeBytes: number, wantedBytes: number, limits: Limits): number {
  const { partSizeBytesMin, partSizeBytesMax, partsPerTransferMax } = limits
  let partSizeBytes = choosePartSizeBytes(sizeBytes, Math.max(wantedBytes, partSizeBytesMin))
  while (sizeBytes > partSizeBytes * partsPerTransferMax && partSizeBytes < partSizeBytesMax) partSizeBytes *= 2
  // The parts stay within the limit even when sealing makes them longer.
  return Math.min(partSizeBytes, partSizeBytesMax - sealTagBytes)
}

/**
 * The part size for a stream.
 *
 * @param wantedBytes null for the default
 */
export function streamPartSizeBytes({ limits, way }: SendContext, wantedBytes: number | null): number {
  const wanted = Math.min(wantedBytes ?? partSizeBytesDefault, way.partSizeBytesMax)
  // Where larger parts did not get through, the stream may be shorter instead.
  const isFree = wantedBytes === null && wanted === partSizeBytesDefault
  const aimedBytes = isFree ? Math.min(limits.transferSizeBytesMax, STREAM_BYTES_AIMED) : 0
  return partSizeBytesFor(aimedBytes, wanted, limits)
}

/** The next smaller size for a file whose parts do not get through. @returns null when the portal accepts no smaller parts */
export function smallerPartSizeBytes({ source, partSizeBytes }: JournalEntry, limits: Limits): number | null {
  const largestBytes = Math.min(partSizeBytes, source.sizeBytes)
  const smallerBytes = partSizeBytesFor(source.sizeBytes, Math.floor(largestBytes * SMALLER_FACTOR), limits)
  return smallerBytes < largestBytes ? smallerBytes : null
}

/**
 * Cancels a transfer whose parts do not get through, so that its file can be sent as another one.
 *
 * @returns null when it is cancelled; its status when the portal has stored it meanwhile, because another run sent it. The caller
 *   must not start over before one of the two is certain
 */
export async function cancelForSmallerParts(
  { client, way, onEvent }: SendContext,
  { transferId }: JournalEntry,
  { cut, partSizeBytes }: { cut: UploadsCutError; partSizeBytes: number },
  retry: Retry,
): Promise<TransferStatus | null> {
  const status = await retry((options) => client.cancel(transferId, { ...options, onlyWhile: 'receiving' }))
  if (!isLost(status)) return status
  way.partSizeBytesMax = Math.min(way.partSizeBytesMax, partSizeBytes)
  onEvent({ type: 'smaller-parts', transferId, reason: cut.message, partSizeBytes })
  return null
}
