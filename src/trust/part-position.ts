/** Where a part belongs, and what binds its seal to that. */
import { concat, transferIdBytes, utf8 } from './encoding.ts'

const NONCE_ID_BYTES = 8
const NUMBER_BYTES = 4

/** Where a part belongs. It can be opened nowhere else. */
export interface PartPosition {
  readonly transferId: string
  readonly partNumber: number
  readonly isLast: boolean
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
