// Finds the bundle of a checkout's command line, and whether it was made from the current sources. The launcher does this at each
// start, so this file loads hardly anything and checks only the inputs of the build.
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

// Loaded as a built-in; the launcher explains the reason.
const { accessSync, constants, existsSync, readFileSync, statSync } =
  process.getBuiltinModule?.('node:fs') ?? (await import('node:fs'))

/** The repository, with a slash at its end. */
export const root = fileURLToPath(new URL('../../../', import.meta.url))
/** As deep as `src/cli`, so that paths relative to `import.meta.url` are the same in both. */
export const builtFolder = join(root, 'dist/cli')
/** A file with the entry of the newest build and its inputs. It is replaced as a whole, after all files that it names. */
export const stampPath = join(builtFolder, 'built.json')
/** An installation without the development dependencies has no bundler. */
export const hasBundler = () => existsSync(join(root, 'node_modules/rolldown'))

const isMissingFine = { throwIfNoEntry: false }

/** The time and size of a file, which change when the file changes. Null when it is missing. */
export function markOf(path) {
  const stats = statSync(root + path, isMissingFine)
  return stats === undefined ? null : `${stats.mtimeMs} ${stats.size}`
}

/** The URL of the bundle's entry, built again if a source has changed; without a bundler, that of the sources. */
export async function entryOfCheckout() {
  const built = builtEntry()
  if (built !== null) return built
  if (hasBundler() && mayBuild()) {
    const { spawnSync } = await import('node:child_process')
    const builder = fileURLToPath(new URL('bundle.js', import.meta.url))
    spawnSync(process.execPath, [builder], { stdio: ['ignore', 'ignore', 'inherit'], env: { PATH: process.env.PATH } })
  }
  // If the build has failed, its error has been printed, and Node runs the TypeScript sources.
  return builtEntry() ?? new URL('../main.ts', import.meta.url).href
}

/** Null when there is no complete bundle of the current sources. */
function builtEntry() {
  const stamp = readStamp()
  if (stamp === null) return null
  for (const path in stamp.inputs) if (markOf(path) !== stamp.inputs[path]) return null
  for (const name of stamp.outputs) if (!existsSync(join(builtFolder, name))) return null
  return pathToFileURL(join(builtFolder, stamp.entry)).href
}

/** The stamp of the newest build; null when it is missing or invalid. */
export function readStamp() {
  try {
    const { entry, inputs, outputs } = JSON.parse(readFileSync(stampPath, 'utf8'))
    const isStamp = outputs.includes(entry) && Object.keys(inputs).length > 0
    return isStamp ? { entry, inputs, outputs } : null
  } catch {
    return null
  }
}

/** Whether this user can write the bundle: the checkout may belong to another user or be on a read-only disk. */
function mayBuild() {
  const folder = [builtFolder, join(root, 'dist'), root].find((one) => existsSync(one)) ?? root
  try {
    accessSync(folder, constants.W_OK | constants.X_OK)
    return true
  } catch ({ code }) {
    process.stderr.write(
      `golooader: this user may not write ${folder} (${code}), so the sources run as they stand, which starts slowly. ` +
        'The owner of the checkout builds them: npm run build:cli\n',
    )
    return false
  }
}
