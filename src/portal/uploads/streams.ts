/**
 * Streams: transfers that were announced without a size. Each part makes its room when it begins to arrive, and `complete` says the
 * size. All parts but the last are full. A full part may be the last one, so receivers get it only once it is known whether another
 * one follows: a sealed part can be opened only with that knowledge.
 */
import {
  type Completion,
  isStreamEnded,
  type PartLayout,
  Problem,
  partCount,
  partSpan,
  partsPerTransferMax,
  streamBytesWith,
} from '../../protocol/index.ts'
import type { PortalContext } from '../context.ts'
import type { Transfer } from '../ledger/contract.ts'
import { topics } from '../signals/index.ts'
import { admissionOf, requireSize } from './admission.ts'
import type { Receiving } from './part-upload.ts'

/**
 * The size of a transfer at its completion.
 *
 * @throws Problem `request-invalid` when it is missing, or is not the one that is known already
 */
export function completedBytes(transfer: Transfer, { sizeBytes }: Completion): number {
  const { sizeBytes: knownBytes, partSizeBytes } = transfer
  if (transfer.isSizeKnown) {
    if (sizeBytes === undefined || sizeBytes === knownBytes) return knownBytes
    throw new Problem('request-invalid', { detail: `the transfer was announced with ${knownBytes} bytes` })
  }
  if (sizeBytes === undefined) throw new Problem('request-invalid', { detail: 'a stream needs its `sizeBytes` here' })
  const mayBeLonger = sizeBytes > knownBytes && !isStreamEnded(transfer)
  if (sizeBytes !== knownBytes && !mayBeLonger) {
    throw new Problem('request-invalid', { detail: `the parts of the transfer reach to ${knownBytes} bytes` })
  }
  if (partCount({ sizeBytes, partSizeBytes }) > partsPerTransferMax) {
    throw new Problem('request-invalid', { detail: `a transfer has at most ${partsPerTransferMax} parts` })
  }
  return sizeBytes
}

/**
 * A stream after room was made for one of its parts, before any of the part is stored.
 *
 * @throws Problem `part-length-wrong`, `part-unknown`, `transfer-closed`, `storage-full`, `transfer-too-large`
 */
export async function grown(
  context: PortalContext,
  stream: Receiving,
  partNumber: number,
  lengthBytes: number,
): Promise<Receiving> {
  const { transferId, attempt, partSizeBytes, metadata } = stream
  if (partNumber > partsPerTransferMax) throw new Problem('part-unknown', { partNumber })
  const sizeBytes = streamBytesWith(stream, partNumber, lengthBytes)
  if (sizeBytes === stream.sizeBytes) return stream
  requireSize(metadata, { sizeBytes, partSizeBytes }, context.options.transferSizeBytesMax)
  const part = { attempt, partNumber, lengthBytes }
  const now = await context.ledger.growStream(transferId, part, await admissionOf(context))
  if (now?.state !== 'receiving') throw new Problem('transfer-closed', { state: now?.state })
  tellGrowth(context, stream, now)
  return now
}

/** Wakes the receivers that wait for parts that can be fetched from now on. */
function tellGrowth({ signals }: PortalContext, before: Transfer, now: Transfer): void {
  const topic = topics.transfer(now.transferId)
  if (isStreamEnded(now)) {
    // A receiver that waits for a part behind the end learns that there is none.
    signals.publish(topic)
    return
  }
  for (let known = Math.max(1, partCount(before)); known < partCount(now); known++)
    signals.publish(topic, String(known))
}

/** Where a part of a transfer ends, and whether another one follows. */
export interface KnownPart {
  readonly lengthBytes: number
  readonly hasNext: boolean
}

/**
 * @returns null for a part of a stream of which it is not known yet whether it is the last, or whether it will come at all
 * @throws Problem `part-unknown`
 */
export function knownPart(
  transfer: PartLayout & Pick<Transfer, 'isSizeKnown' | 'state'>,
  partNumber: number,
): KnownPart | null {
  const { isSizeKnown, state } = transfer
  const count = partCount(transfer)
  const isOpen = !isSizeKnown && state === 'receiving' && !isStreamEnded(transfer)
  if (isOpen && partNumber >= count && partNumber <= partsPerTransferMax) return null
  const { lengthBytes } = partSpan(transfer, partNumber)
  return { lengthBytes, hasNext: partNumber < count }
}
