/** Processes in which the addon of BLAKE3 cannot be found, as on a machine that has none. */
import { fileURLToPath } from 'node:url'

const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }

/** Where CI runs, and the package of the platform must be installed: a test that lacks it there fails, and is not skipped. */
export const addonIsRequired =
  process.platform === 'linux' && process.arch === 'x64' && header.glibcVersionRuntime !== undefined

export const addonPackage = '@napi-rs/blake-hash'
/** What has the machine code in it, on the platform above. */
export const platformPackage = '@napi-rs/blake-hash-linux-x64-gnu'

const hook = fileURLToPath(new URL('./redirect-modules.ts', import.meta.url))

/** For the environment of a process in which a package is whatever lies at a path. */
export function redirecting(name: string, path: string): Record<string, string> {
  return { NODE_OPTIONS: `--import=${hook}`, REDIRECTED_MODULES: JSON.stringify({ [name]: path }) }
}

/** For the environment of a process in which the addon is not installed. */
export const withoutAddon = redirecting(addonPackage, '/nowhere/blake-hash')
