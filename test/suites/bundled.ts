/**
 * Bundles a program that tests start many times. Reading its sources for each process would take several times as long as the process
 * itself.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { rolldown } from 'rolldown'
import { oncePerRun } from '../servers/run.ts'

/** Node finds the packages from this folder, as from the sources. */
const FOLDER = join(import.meta.dirname, '../../node_modules/.cache/golooader-test')
const SOURCES = join(import.meta.dirname, '../../src/')
/** Native packages, which are not bundled. */
const external = ['@napi-rs/blake-hash', 'pg-native']

/** Modules without side effects, as in the bundle of the command line (`src/cli/build/bundle.js`). */
const isPure = (id: string): boolean => id.startsWith(SOURCES) || /[\\/]node_modules[\\/]typebox[\\/]/.test(id)

/** Bundles the program once per run. @returns the path of the bundle */
export function bundledProgram(path: string): Promise<string> {
  const name = basename(path, '.ts')
  return oncePerRun(`program-${name}`, async () => {
    const build = await rolldown({
      input: path,
      platform: 'node',
      tsconfig: false,
      external,
      treeshake: { manualPureFunctions: ['Type'], moduleSideEffects: (id) => (isPure(id) ? false : undefined) },
    })
    const { output } = await build.generate({ format: 'esm', codeSplitting: false })
    await build.close()
    const [{ code }] = output
    const bundle = join(FOLDER, `${name}-${createHash('sha256').update(code).digest('hex').slice(0, 16)}.js`)
    mkdirSync(FOLDER, { recursive: true })
    // Written under another name first, because another run may do the same at the same time.
    writeFileSync(`${bundle}.${process.pid}`, code)
    renameSync(`${bundle}.${process.pid}`, bundle)
    return bundle
  })
}
