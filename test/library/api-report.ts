/**
 * The interface of the library as one text: all declarations that its entry exports or refers to, without comments. `npm run api`
 * writes it to docs/api.md; a test compares the two.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
export const reportPath = join(root, 'docs/api.md')

/** A name in a module. */
interface Place {
  readonly path: string
  readonly name: string
}

interface Module {
  /** Local name -> where it is from. */
  readonly imports: Map<string, Place>
  /** Name -> its declarations: a type and a value may have the same one. */
  readonly declarations: Map<string, string[]>
  /** Name -> where it is from; `*` has the modules that are re-exported as a whole. */
  readonly exports: Map<string, Place>
  readonly stars: string[]
}

/** Makes the report by a run of the compiler. */
export function apiReport(): string {
  const folder = mkdtempSync(join(tmpdir(), 'golooader-api-'))
  try {
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    const args = ['-p', 'tsconfig.build.json', '--emitDeclarationOnly', '--outDir', folder]
    execFileSync(process.execPath, [compiler, ...args], { cwd: root, stdio: 'inherit' })
    return textOf(new Declarations(folder))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

class Declarations {
  readonly #folder: string
  readonly #modules = new Map<string, Module>()

  constructor(folder: string) {
    this.#folder = folder
  }

  module(path: string): Module {
    let found = this.#modules.get(path)
    if (found === undefined) {
      found = parse(path, readFileSync(join(this.#folder, path.replace(/\.ts$/, '.d.ts')), 'utf8'))
      this.#modules.set(path, found)
    }
    return found
  }

  /** Where a name is declared; null for a name of a package. */
  resolve({ path, name }: Place): Place | null {
    const { declarations, imports, exports, stars } = this.module(path)
    if (declarations.has(name)) return { path, name }
    const from = imports.get(name) ?? exports.get(name)
    if (from !== undefined) return this.resolve(from)
    for (const star of stars) {
      const found = this.resolve({ path: star, name })
      if (found !== null) return found
    }
    return null
  }
}

function parse(path: string, text: string): Module {
  const module: Module = { imports: new Map(), declarations: new Map(), exports: new Map(), stars: [] }
  const plain = text.replace(/^[ \t]*\/\*\*[\s\S]*?\*\/[ \t]*\n/gm, '').replace(/\/\*\*[\s\S]*?\*\/ ?/g, '')
  for (const statement of plain.split(/\n(?=(?:import|export|declare|type|interface|class|const|function)\b)/)) {
    const [, list, star, from] =
      /^(?:import|export)(?: type)? (?:\{([\s\S]*?)\}|(\*)) from '(\.[^']+)';/.exec(statement) ?? []
    if (from !== undefined) {
      const target = normalize(join(dirname(path), from))
      if (star !== undefined) module.stars.push(target)
      const places = statement.startsWith('import') ? module.imports : module.exports
      for (const item of (list ?? '').split(',')) {
        const [name = '', local = name] = item
          .trim()
          .replace(/^type /, '')
          .split(' as ')
        if (name !== '') places.set(local, { path: target, name })
      }
      continue
    }
    const declared = /^(?:export )?(?:declare )?(?:abstract )?(?:interface|class|type|function|const) (\w+)/.exec(
      statement,
    )
    if (declared?.[1] === undefined) continue
    const known = module.declarations.get(declared[1]) ?? []
    module.declarations.set(declared[1], [
      ...known,
      statement
        .trim()
        .replace(/^export |^declare /g, '')
        .replace(/^declare /, ''),
    ])
  }
  return module
}

function textOf(declarations: Declarations): string {
  const { exports } = declarations.module('index.ts')
  const shown = new Map<string, string>()
  const open: Place[] = [...exports].map(([name]) => ({ path: 'index.ts', name }))
  for (let next = open.shift(); next !== undefined; next = open.shift()) {
    const place = declarations.resolve(next)
    if (place === null) continue
    const key = `${place.name} ${place.path}`
    if (shown.has(key)) continue
    const texts = declarations.module(place.path).declarations.get(place.name) ?? []
    shown.set(key, texts.join('\n'))
    for (const text of texts) {
      for (const [name] of text.matchAll(/\b[A-Za-z]\w*\b/g)) open.push({ path: place.path, name })
    }
  }
  const isPublic = (key: string): boolean => exports.has(key.split(' ')[0] ?? '')
  const blocks = [...shown].sort(([one], [other]) => (one < other ? -1 : 1))
  const part = (title: string, isWanted: (key: string) => boolean): string =>
    `## ${title}\n\n${blocks
      .filter(([key]) => isWanted(key))
      .map(([, text]) => `\`\`\`ts\n${text}\n\`\`\`\n`)
      .join('\n')}`
  return `# The interface of the library

Generated by \`npm run api\` from the declarations; [library.md](library.md) explains it.

Exports: ${[...exports.keys()].sort().join(', ')}

${part('Exported', isPublic)}
${part('Named by these', (key) => !isPublic(key))}`
}

if (process.argv.includes('--write')) writeFileSync(reportPath, apiReport())
