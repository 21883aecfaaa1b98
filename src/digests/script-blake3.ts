import type { blake3 } from '@noble/hashes/blake3.js'
import { toHex } from '../protocol/index.ts'
import type { DigestDriver } from './driver.ts'

/** BLAKE3 in JavaScript, for any runtime. @param library passed in, because who needs it loads it in ways of its own */
export function scriptBlake3(library: typeof blake3): DigestDriver {
  return {
    name: 'blake3',
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
