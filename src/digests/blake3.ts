/**
 * BLAKE3, unkeyed, 32 bytes. A native addon computes it several times as fast as SHA-256. Where the addon cannot be loaded,
 * JavaScript computes it: too slowly to be chosen for a new transfer, but good enough to finish one that uses BLAKE3.
 */
import { createRequire } from 'node:module'
import type { DigestDriver } from './driver.ts'
import { scriptDriver } from './script-driver.ts'

/** The part of `@napi-rs/blake-hash` that is used here. It takes any bytes, although its types ask for a Buffer, and copies none. */
interface Addon {
  readonly Blake3Hasher: new () => { update(bytes: Uint8Array): unknown; digest(format: 'hex'): string }
}

// `require` instead of `import`: a module with a top-level await could not be loaded by `require`.
const load = createRequire(import.meta.url)

/** Null where the addon is missing. It is loaded with this module and not at its first use, when connections may be open. */
export const nativeBlake3: DigestDriver | null = loadNative()

/** The addon, or the implementation in JavaScript where the addon is missing. */
export const blake3: DigestDriver = nativeBlake3 ?? loadScript()

function loadNative(): DigestDriver | null {
  try {
    const { Blake3Hasher } = loadAddon()
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

/**
 * On Linux the package first looks at a process report of Node to learn which C library there is. The report takes longer than all the
 * rest, and blocks the process while it looks up the names of the peers of all open connections. So the addon for glibc is tried first:
 * it is missing, or cannot be loaded, where there is another library.
 */
function loadAddon(): Addon {
  const main = load.resolve('@napi-rs/blake-hash')
  if (process.platform === 'linux') {
    try {
      return createRequire(main)(`@napi-rs/blake-hash-linux-${process.arch}-gnu`)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }
  return load(main)
}

/** Loads the library only where the addon is missing, because it takes longer to load than the addon. */
function loadScript(): DigestDriver {
  const library: typeof import('@noble/hashes/blake3.js') = load('@noble/hashes/blake3.js')
  return scriptDriver('blake3', library.blake3)
}

/**
 * Whether an error says that this machine has no addon: the package, or its part for this platform, is not installed; the system
 * cannot or may not load it; or the package itself says that it does not support the platform.
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
