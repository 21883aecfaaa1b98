/**
 * Seals and opens parts with AES-256-GCM as a stream, so that no part has to be copied as a whole. The only file of this folder
 * that needs Node.
 */
import type { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { Problem } from '../protocol/index.ts'
import { additionalDataOf, nonceOf, type PartPosition, sealTagBytes } from './part-position.ts'

export type { PartPosition } from './part-position.ts'

const ALGORITHM = 'aes-256-gcm'

export interface PartSealer {
  /** @returns the sealed bytes, as many as `plain` */
  update(plain: Uint8Array): Buffer
  /** The last call. @returns the tag */
  finish(): Buffer
}

export interface PartOpener {
  /** @returns the opened bytes, as many as `sealed`. They are unverified until `finish` has returned */
  update(sealed: Uint8Array): Buffer
  /** The last call. @throws Problem `seal-broken` when any bit differs from what was sealed */
  finish(tag: Uint8Array): void
}

/** Seals one part. The caller uses a key and a position for one content only. */
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
