/** The position of a part in a transfer. Its seal is bound to it. */
import { type PartLayout, Problem, partCount, sealTagBytes } from '../protocol/index.ts'
import { concat, transferIdBytes, utf8 } from './encoding.ts'

const NONCE_ID_BYTES = 8
const NUMBER_BYTES = 4

/** The position of a part. A sealed part can be opened only at its position. */
export interface PartPosition {
  readonly transferId: string
  readonly partNumber: number
  readonly isLast: boolean
}

/** The key and the position that seal a part. The caller uses the two together for one content only. */
export interface PartSeal {
  readonly partKey: Uint8Array
  readonly position: PartPosition
}

export function nonceOf({ transferId, partNumber }: PartPosition): Uint8Array<ArrayBuffer> {
  return concat(transferIdBytes(transferId).subarray(-NONCE_ID_BYTES), numberBytes(partNumber))
}

export function additionalDataOf({ transferId, partNumber, isLast }: PartPosition): Uint8Array<ArrayBuffer> {
  const last = Uint8Array.of(isLast ? 1 : 0)
  return concat(utf8('golooader v1 part\0'), transferIdBytes(transferId), numberBytes(partNumber), last)
}

function numberBytes(partNumber: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(NUMBER_BYTES)
  new DataView(bytes.buffer).setUint32(0, partNumber)
  return bytes
}

export { sealTagBytes }

/** Converts the sizes of the file to those of the sealed parts. */
export function sealedLayout(plain: PartLayout): PartLayout {
  return {
    sizeBytes: plain.sizeBytes + partCount(plain) * sealTagBytes,
    partSizeBytes: plain.partSizeBytes + sealTagBytes,
  }
}

/** Converts the sizes of sealed parts to those of the file. @throws Problem `seal-broken` for sizes that no sealed file has */
export function openedLayout(wire: PartLayout): PartLayout {
  const count = partCount(wire)
  const partSizeBytes = wire.partSizeBytes - sealTagBytes
  const sizeBytes = wire.sizeBytes - count * sealTagBytes
  // The last part holds at least one byte of the file.
  const isPossible = partSizeBytes > 0 && (count === 0 ? sizeBytes === 0 : sizeBytes > (count - 1) * partSizeBytes)
  if (!isPossible) throw new Problem('seal-broken', { detail: 'no sealed file has these sizes' })
  return { sizeBytes, partSizeBytes }
}
