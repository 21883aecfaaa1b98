/**
 * BLAKE3 in WebAssembly: a dozen times as fast as in JavaScript. Only the worker that hashes parts uses it, because only the
 * worker's Content-Security-Policy allows WebAssembly (`portal/http/security-headers.ts`).
 */
import { createBLAKE3 } from 'hash-wasm'
import type { DigestDriver } from './driver.ts'

/**
 * Computes one digest at a time: `create` ends the previous digest.
 *
 * @returns null where WebAssembly is not available: a user or an administrator may switch it off, and a proxy may send another
 * policy. The caller then computes in JavaScript, which is slower.
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
