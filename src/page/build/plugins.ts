/** What the page's build does that Vite does not do by itself. */
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants } from 'node:zlib'
import type { Plugin } from 'vite'

const compress = promisify(brotliCompress)
const TEXT = /\.(?:html|js|css|svg|json|txt|webmanifest)$/

/** `X.browser.ts` takes the place of `X.ts`: the same exports, by what a browser has. TypeScript knows it by `moduleSuffixes`. */
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
 * TypeBox tries whether it may make functions from text. The page's Content-Security-Policy forbids that, and each try would be
 * reported as a violation; so TypeBox is told, and interprets its schemas. What it knows of formats (addresses, dates, names of
 * hosts in all scripts) is not loaded: no schema of ours names one, and one that did would be noticed.
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

/** Beside each text its brotli form: made once and well, instead of at each request. */
export function precompressed(): Plugin {
  let folder: string | null = null
  return {
    name: 'golooader:precompressed',
    apply: 'build',
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
