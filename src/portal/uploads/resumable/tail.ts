/**
 * The tail of an upload: what is durable of the part that is not complete yet. It lies in the store in segments, each under a generation of
 * its own, so that it is never taken for a part, and no store has to append. The request that completes the part begins with it.
 */
import { randomBytes } from 'node:crypto'
import { digestDriver } from '../../../digests/index.ts'
import type { PartHead } from '../../../parts/node-part-receiver.ts'
import { type DigestAlgorithm, Problem } from '../../../protocol/index.ts'
import type { Transfer } from '../../ledger/contract.ts'
import type { TailSegment, UploadResource } from '../../ledger/uploads-contract.ts'
import type { PartPlace, Store } from '../../store/contract.ts'

/** With more segments than this, they are joined to one. */
export const TAIL_SEGMENTS_MAX = 64
const GENERATION_BYTES = 12

/** The place of a new segment. */
export function newTailPlace(transferId: string, partNumber: number): PartPlace {
  return { transferId, generation: newGeneration(), partNumber }
}

/** A generation that no transfer has. What lies in it is no part of the transfer. */
export function newGeneration(): string {
  return `t${randomBytes(GENERATION_BYTES).toString('hex')}`
}

export function tailBytes(tail: readonly TailSegment[]): number {
  return tail.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
}

/** Whether a generation of the store has parts, or a segment of the tail, of an upload that can be continued. */
export function belongsTo(upload: UploadResource, transfer: Transfer, generation: string): boolean {
  const isOpen = transfer.state === 'receiving' && transfer.attempt === upload.attempt
  return (
    isOpen && (upload.generation === generation || upload.tail.some((segment) => segment.generation === generation))
  )
}

/**
 * The tail as the beginning of its part; null for none.
 *
 * @throws Problem, as it is read: `store-failed` when a segment is missing or damaged
 */
export function headOf(
  store: Store,
  { transferId, tail }: UploadResource,
  digestAlgorithm: DigestAlgorithm,
): PartHead | null {
  if (tail.length === 0) return null
  async function* read(): AsyncGenerator<Uint8Array> {
    for (const { generation, partNumber, digest } of tail) {
      const content = await store.read({ transferId, generation, partNumber, digest })
      if (content === null) throw new Problem('store-failed', { detail: 'the end of the upload is missing' })
      const hasher = digestDriver(digestAlgorithm).create()
      for await (const bytes of content.stream as AsyncIterable<Uint8Array>) {
        hasher.update(bytes)
        yield bytes
      }
      if (hasher.digest() !== digest) throw new Problem('store-failed', { detail: 'the end of the upload is damaged' })
    }
  }
  return { lengthBytes: tailBytes(tail), bytes: read }
}

/** Removes segments that do not count any more. */
export async function removeSegments(
  store: Store,
  transferId: string,
  segments: readonly TailSegment[],
): Promise<void> {
  for (const { generation } of segments) await store.removeParts({ transferId, generation })
}
