/** Processes in which the addon of BLAKE3 cannot be found, as on a machine that has none. */
import { fileURLToPath } from 'node:url'

const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }

/** Whether this is the platform of CI. There the addon must be installed: a test without it fails and is not skipped. */
export const addonIsRequired =
  process.platform === 'linux' && process.arch === 'x64' && header.glibcVersionRuntime !== undefined

export const addonPackage = '@napi-rs/blake-hash'
/** The package with the machine code for that platform. */
export const platformPackage = '@napi-rs/blake-hash-linux-x64-gnu'

const hook = fileURLToPath(new URL('./redirect-modules.ts', import.meta.url))

/** Environment variables for a process in which another path replaces a package. */
export function redirecting(name: string, path: string): Record<string, string> {
  return { NODE_OPTIONS: `--import=${hook}`, REDIRECTED_MODULES: JSON.stringify({ [name]: path }) }
}

/** Environment variables for a process without the addon. */
export const withoutAddon = redirecting(addonPackage, '/nowhere/blake-hash')
