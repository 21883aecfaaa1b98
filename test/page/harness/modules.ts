/** Bundles modules of the sources and of tests for a browser, as the page's build does. */
import { join } from 'node:path'
import { build } from 'vite'
import { oncePerRun } from '../../servers/run.ts'

const root = join(import.meta.dirname, '../../..')
/** The name of the entry module in a bundle. */
export const ENTRY = 'entry.js'

/** The files that a browser fetches for a module, by name. */
export type Bundle = ReadonlyMap<string, Uint8Array>

const bundles = new Map<string, Promise<Bundle>>()

/** @param path of a module, relative to the repository; tests call its exports */
export function bundleOf(path: string): Promise<Bundle> {
  let bundle = bundles.get(path)
  if (bundle === undefined) {
    // To bundle takes longer than most tests: it is done once a run.
    bundle = oncePerRun(`bundle-${path.replaceAll('/', '-')}`, () => makeBundle(path)).then(
      (files) => new Map(files.map(([name, base64]) => [name, Buffer.from(base64, 'base64')])),
    )
    bundles.set(path, bundle)
  }
  return bundle
}

/** The name of each file, and what is in it in base64. */
async function makeBundle(path: string): Promise<[string, string][]> {
  const built = await build({
    root: join(root, 'src/page'),
    configFile: join(root, 'src/page/vite.config.ts'),
    logLevel: 'error',
    build: {
      write: false,
      minify: false,
      rolldownOptions: {
        input: join(root, path),
        // Tests call exports that no module imports.
        preserveEntrySignatures: 'strict',
        output: { entryFileNames: ENTRY },
      },
    },
  })
  const outputs = Array.isArray(built) ? built : [built]
  const files = outputs.flatMap((one) => ('output' in one ? one.output : []))
  return files.map((file) => {
    const content = file.type === 'asset' ? file.source : file.code
    return [file.fileName, Buffer.from(content).toString('base64')]
  })
}
