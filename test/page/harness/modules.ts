/** Modules of the sources and of tests as a browser runs them: bundled in the way in which the page itself is. */
import { join } from 'node:path'
import { build } from 'vite'

const root = join(import.meta.dirname, '../../..')
/** The name of a bundle's entry in it. */
export const ENTRY = 'entry.js'

/** What a browser fetches for a module, by name. */
export type Bundle = ReadonlyMap<string, string | Uint8Array>

const bundles = new Map<string, Promise<Bundle>>()

/** @param path of a module, relative to the repository: what it exports can be called */
export function bundleOf(path: string): Promise<Bundle> {
  let bundle = bundles.get(path)
  if (bundle === undefined) {
    bundle = makeBundle(path)
    bundles.set(path, bundle)
  }
  return bundle
}

async function makeBundle(path: string): Promise<Bundle> {
  const built = await build({
    root: join(root, 'src/page'),
    configFile: join(root, 'src/page/vite.config.ts'),
    logLevel: 'error',
    build: {
      write: false,
      minify: false,
      rolldownOptions: {
        input: join(root, path),
        // What nobody imports is called from outside.
        preserveEntrySignatures: 'strict',
        output: { entryFileNames: ENTRY },
      },
    },
  })
  const outputs = Array.isArray(built) ? built : [built]
  const files = outputs.flatMap((one) => ('output' in one ? one.output : []))
  return new Map(files.map((file) => [file.fileName, file.type === 'asset' ? file.source : file.code]))
}
