/**
 * BLAKE3 in WebAssembly: a dozen times as fast as in JavaScript. Only the worker that hashes parts comes here: its
 * Content-Security-Policy lets it compile some, the page's does not (`portal/http/security-headers.ts`).
 */
import { createBLAKE3 } from 'hash-wasm'
import type { DigestDriver } from '../../digests/index.ts'

/**
 * Computes one digest at a time: whoever begins another has given up the one before.
 *
 * @returns null where there is no WebAssembly: in some browsers their user or administrator switches it off, and a proxy may say
 * another policy. Nothing is lost then but time.
 */
export async function compiledBlake3(): Promise<DigestDriver | null> {
  try {
    const hasher = await createBLAKE3()
    return {
      name: 'blake3',
      create() {
        hasher.init()
        return {
          update: (bytes) => {
            hasher.update(bytes)
          },
          digest: () => hasher.digest(),
        }
      },
    }
  } catch {
    return null
  }
}
