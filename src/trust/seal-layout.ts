/** The sizes of what is sealed: every part grows by its tag. */
import { type PartLayout, Problem, partCount } from '../protocol/index.ts'

/** What AES-GCM adds to a part. */
export const sealTagBytes = 16

/** From the file's own sizes to those that travel. */
export function sealedLayout(plain: PartLayout): PartLayout {
  return {
    sizeBytes: plain.sizeBytes + partCount(plain) * sealTagBytes,
    partSizeBytes: plain.partSizeBytes + sealTagBytes,
  }
}

/** From the sizes that travel to the file's own. @throws Problem `seal-broken` for sizes that no sealed file has */
export function openedLayout(wire: PartLayout): PartLayout {
  const count = partCount(wire)
  const partSizeBytes = wire.partSizeBytes - sealTagBytes
  const sizeBytes = wire.sizeBytes - count * sealTagBytes
  // The last part holds at least one byte of the file.
  const isPossible = partSizeBytes > 0 && (count === 0 ? sizeBytes === 0 : sizeBytes > (count - 1) * partSizeBytes)
  if (!isPossible) throw new Problem('seal-broken', { detail: 'no sealed file has these sizes' })
  return { sizeBytes, partSizeBytes }
}
