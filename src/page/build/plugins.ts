/** Vite plugins for the build of the page. */
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants } from 'node:zlib'
import type { Plugin } from 'vite'

const compress = promisify(brotliCompress)
const TEXT = /\.(?:html|js|css|svg|json|txt|webmanifest)$/

/**
 * `X.browser.ts` replaces `X.ts` in the page. It has the same exports and uses browser APIs. TypeScript resolves it by
 * `moduleSuffixes`.
 */
export function browserFiles(): Plugin {
  return {
    name: 'golooader:browser-files',
    enforce: 'pre',
    resolveId(source, importer) {
      if (importer === undefined || !/^\.{1,2}\/.*\.tsx?$/.test(source)) return null
      const path = resolve(dirname(importer), source.replace(/(?=\.tsx?$)/, '.browser'))
      return existsSync(path) ? path : null
    },
  }
}

/**
 * TypeBox tests whether it may compile functions from text. The page's Content-Security-Policy forbids that, and the
 * browser reports each test as a violation. So the build tells TypeBox to interpret its schemas. The build also leaves
 * out TypeBox's format checks (addresses, dates, international host names), because no schema of the page names a
 * format.
 */
export function leanTypebox(): Plugin {
  const replaced: Readonly<Record<string, string>> = {
    'system/environment/evaluate.mjs': `export function CanEvaluate() { return false }
export function Evaluate() { throw new Error('code is not made from text here') }
`,
    'format/index.mjs': `const missing = () => { throw new Error('formats are not known here') }
export const Format = { Has: missing, Get: missing, Test: missing }
`,
  }
  return {
    name: 'golooader:lean-typebox',
    enforce: 'pre',
    load: (id) => replaced[/[\\/]typebox[\\/]build[\\/](.+)$/.exec(id)?.[1]?.replaceAll('\\', '/') ?? ''] ?? null,
  }
}

/** Writes a brotli form beside each text file, so that the portal need not compress at each request. */
export function precompressed(): Plugin {
  let folder: string | null = null
  return {
    name: 'golooader:precompressed',
    apply: ({ build }, { command }) => command === 'build' && build?.write !== false,
    configResolved({ root, build }) {
      folder = resolve(root, build.outDir)
    },
    async closeBundle() {
      if (folder === null || !existsSync(folder)) return
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !TEXT.test(entry.name)) continue
        const path = join(entry.parentPath, entry.name)
        const text = await readFile(path)
        const params = {
          [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
          [constants.BROTLI_PARAM_SIZE_HINT]: text.length,
        }
        await writeFile(`${path}.br`, await compress(text, { params }))
      }
    },
  }
}
