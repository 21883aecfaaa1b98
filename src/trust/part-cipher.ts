/**
 * Sealing and opening parts: AES-256-GCM, as a stream, so that no part has to be copied as a whole. The only file of this
 * room that needs Node.
 */
import { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { Problem } from '../protocol/index.ts'
import { concat, transferIdBytes, utf8 } from './encoding.ts'
import { sealTagBytes } from './seal-layout.ts'

const ALGORITHM = 'aes-256-gcm'
const NONCE_ID_BYTES = 8
const NUMBER_BYTES = 4

/** Where a part belongs. It can be opened nowhere else. */
export interface PartPosition {
  readonly transferId: string
  readonly partNumber: number
  readonly isLast: boolean
}

export interface PartSealer {
  /** @returns as many bytes, sealed */
  update(plain: Uint8Array): Buffer
  /** @returns the tag; the last call */
  finish(): Buffer
}

export interface PartOpener {
  /** @returns as many bytes, opened. They prove nothing before `finish` has returned */
  update(sealed: Uint8Array): Buffer
  /** @throws Problem `seal-broken` when any bit is not as it was sealed; the last call */
  finish(tag: Uint8Array): void
}

/** Seals one part. A key and a position are for one content only: whoever calls this sees to that. */
export function partSealer(partKey: Uint8Array, position: PartPosition): PartSealer {
  const cipher = createCipheriv(ALGORITHM, partKey, nonceOf(position), { authTagLength: sealTagBytes })
  cipher.setAAD(additionalDataOf(position))
  return {
    update: (plain) => cipher.update(plain),
    finish() {
      cipher.final()
      return cipher.getAuthTag()
    },
  }
}

/** Opens one part. */
export function partOpener(partKey: Uint8Array, position: PartPosition): PartOpener {
  const decipher = createDecipheriv(ALGORITHM, partKey, nonceOf(position), { authTagLength: sealTagBytes })
  decipher.setAAD(additionalDataOf(position))
  return {
    update: (sealed) => decipher.update(sealed),
    finish(tag) {
      try {
        decipher.setAuthTag(tag)
        decipher.final()
      } catch (cause) {
        throw new Problem('seal-broken', { partNumber: position.partNumber }, { cause })
      }
    },
  }
}

function nonceOf({ transferId, partNumber }: PartPosition): Uint8Array {
  return concat(transferIdBytes(transferId).subarray(-NONCE_ID_BYTES), numberBytes(partNumber))
}

function additionalDataOf({ transferId, partNumber, isLast }: PartPosition): Uint8Array {
  const last = Uint8Array.of(isLast ? 1 : 0)
  return concat(utf8('golooader v1 part\0'), transferIdBytes(transferId), numberBytes(partNumber), last)
}

function numberBytes(partNumber: number): Buffer {
  const bytes = Buffer.alloc(NUMBER_BYTES)
  bytes.writeUInt32BE(partNumber)
  return bytes
}
