/** The source files and their imports, for the tests of the structure. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

export const root = join(import.meta.dirname, '../..')

export interface Source {
  /** Relative to the repository, with slashes: `src/parts/index.ts`. */
  readonly path: string
  readonly text: string
}

/** One import of one file. */
export interface Import {
  readonly from: string
  /** The name as it is written. */
  readonly specifier: string
  /** The file that it resolves to, relative to the repository; null for packages and Node's own modules. */
  readonly target: string | null
  /** `type` is removed at run time; `dynamic` is `import()`. */
  readonly kind: 'static' | 'dynamic' | 'type'
}

/** Every TypeScript file under `src`. */
export function readSources(): Source[] {
  return readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.[cm]?tsx?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => ({ path: relative(root, path).replaceAll('\\', '/'), text: readFileSync(path, 'utf8') }))
}

const STATEMENT = /^[ \t]*(?:import|export)\s+(type\s)?(?:[^'"`;=()]*?\sfrom\s*)?(['"])([^'"\n]+)\2/gm
const DYNAMIC = /\bimport\s*\(\s*(['"`])([^'"`\n]+)\1/g
const TYPE_QUERY = /\btypeof\s+$/

/** All imports of a file: `import`, `export … from`, `import()`, and type imports. */
export function importsOf({ path, text }: Source): Import[] {
  const code = withoutComments(text)
  const found: Import[] = []
  for (const { 1: type, 3: specifier = '' } of code.matchAll(STATEMENT)) {
    found.push({
      from: path,
      specifier,
      target: targetOf(path, specifier),
      kind: type === undefined ? 'static' : 'type',
    })
  }
  for (const match of code.matchAll(DYNAMIC)) {
    const specifier = match[2] ?? ''
    const isType = TYPE_QUERY.test(code.slice(0, match.index))
    found.push({ from: path, specifier, target: targetOf(path, specifier), kind: isType ? 'type' : 'dynamic' })
  }
  return found
}

function targetOf(path: string, specifier: string): string | null {
  // The suffix after `?` says how the page's build treats a file, for example as the address of a worker's script.
  const [file = ''] = specifier.split('?')
  return file.startsWith('.') ? join(dirname(path), file).replaceAll('\\', '/') : null
}

/** Comments are blanked, except that `//` inside an address or a string stays. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^([ \t]*)\/\/.*$/gm, '$1')
}
