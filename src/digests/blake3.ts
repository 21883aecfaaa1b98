/**
 * BLAKE3, unkeyed, 32 bytes: several times as fast as SHA-256 where an addon in machine code computes it. Where that cannot
 * be loaded the same is computed in JavaScript: far too slow to be chosen, but no transfer has to be refused for its algorithm.
 */
import { createRequire } from 'node:module'
import type { DigestDriver } from './driver.ts'
import { scriptDriver } from './script-driver.ts'

/** What is used of `@napi-rs/blake-hash`. It takes any bytes, although its types ask for a Buffer, and copies none of them. */
interface Addon {
  readonly Blake3Hasher: new () => { update(bytes: Uint8Array): unknown; digest(format: 'hex'): string }
}

// Not by `import`, which would have to be awaited: then nobody could `require` this package any more.
const load = createRequire(import.meta.url)

/**
 * Null where the addon is missing. It is loaded with this module and not at its first use: on Linux it asks Node for a
 * report about the process, which looks up the names of the peers of all open connections, and nothing else goes on meanwhile.
 */
export const nativeBlake3: DigestDriver | null = loadNative()

/** By the addon; without it, in JavaScript. */
export const blake3: DigestDriver = nativeBlake3 ?? loadScript()

function loadNative(): DigestDriver | null {
  try {
    const { Blake3Hasher }: Addon = load('@napi-rs/blake-hash')
    return {
      name: 'blake3',
      create() {
        const hasher = new Blake3Hasher()
        return {
          update: (bytes) => {
            hasher.update(bytes)
          },
          digest: () => hasher.digest('hex'),
        }
      },
    }
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

/** A library that nobody else needs is not loaded by anybody else: it takes longer than the addon. */
function loadScript(): DigestDriver {
  const library: typeof import('@noble/hashes/blake3.js') = load('@noble/hashes/blake3.js')
  return scriptDriver('blake3', library.blake3)
}

/**
 * Whether an error says that there is no addon for this machine: it, or the package of this platform, is not installed; the
 * system cannot load it, or may not; or, in the package's own words, there is none for such a system.
 */
function isMissing(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? error.code : undefined
  return (
    code === 'MODULE_NOT_FOUND' ||
    code === 'ERR_DLOPEN_FAILED' ||
    code === 'ERR_DLOPEN_DISABLED' ||
    /^Unsupported (?:OS|architecture)\b/.test(error.message)
  )
}
