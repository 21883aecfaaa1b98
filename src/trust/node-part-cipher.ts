/**
 * Sealing and opening parts: AES-256-GCM, as a stream, so that no part has to be copied as a whole. The only file of this
 * room that needs Node.
 */
import type { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { Problem } from '../protocol/index.ts'
import { additionalDataOf, nonceOf, type PartPosition } from './part-position.ts'
import { sealTagBytes } from './seal-layout.ts'

export type { PartPosition } from './part-position.ts'

const ALGORITHM = 'aes-256-gcm'

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
