import { type DigestAlgorithm, toHex } from '../protocol/index.ts'
import type { DigestDriver } from './driver.ts'

/** The part of an algorithm of `@noble/hashes` that is used here. */
export interface ScriptHash {
  create(): { update(bytes: Uint8Array): unknown; digest(): Uint8Array }
}

/** An algorithm in JavaScript, for any runtime. @param library passed in, because Node and the page load it in different ways */
export function scriptDriver(name: DigestAlgorithm, library: ScriptHash): DigestDriver {
  return {
    name,
    create() {
      const hash = library.create()
      return {
        update: (bytes) => {
          hash.update(bytes)
        },
        digest: () => toHex(hash.digest()),
      }
    },
  }
}
