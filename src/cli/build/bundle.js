// Builds the command line into `dist/cli`: an entry, and a chunk for each command, which is loaded when that command runs. npm
// runs this after an installation in a checkout and for the package; the launcher of a checkout runs it when a source has
// changed. It is JavaScript, because npm may run it with a Node that cannot read TypeScript.
//
// Several builds may run at a time, and programs run meanwhile. The name of a chunk contains a digest of its content, each file
// gets its name only when it is complete, and the stamp that names the entry is written last. `--alone` removes the files of
// earlier builds at once.
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { isBuiltin } from 'node:module'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { builtFolder, hasBundler, markOf, readStamp, root, stampPath } from './built.js'

/** Files of an earlier build are kept for this long after the next build, because running programs may still load them. */
const KEEP_MS = process.argv.includes('--alone') ? -1 : 60 * 60 * 1000
/** Native packages, which are not bundled. Node finds them in node_modules at run time. */
const external = ['@napi-rs/blake-hash', 'pg-native']
/** Inputs of a build besides the modules. The lock file stands for all packages. */
const otherInputs = ['package-lock.json', 'src/cli/build/bundle.js', 'src/cli/build/built.js']
const LICENSES_NAME = 'LICENSES.txt'

/**
 * Loads built-in modules without `import`, which evaluates all of their getters and so loads more of Node: `fs` its streams, `http`
 * its WebSocket. Commander imports child processes and starts none here.
 */
const leanBuiltins = {
  name: 'golooader:lean-builtins',
  resolveId(id, importer = '') {
    const name = id.replace(/^node:/, '')
    if (!isBuiltin(id) || name === 'module') return null
    return `\0${name === 'child_process' && /[\\/]commander[\\/]/.test(importer) ? 'none' : name}.cjs`
  },
  load(id) {
    const name = /^\0(.+)\.cjs$/.exec(id)?.[1]
    if (name === undefined) return null
    return name === 'none' ? 'module.exports = {}' : `module.exports = process.getBuiltinModule('node:${name}')`
  },
}

/** Keeps paths relative to a module valid, because chunks lie as deep as the files of `src/cli`. */
const sameDepth = {
  name: 'golooader:same-depth',
  transform(code, id) {
    const path = relative(root, id).replaceAll('\\', '/')
    if (/^src\//.test(path) && /new URL\([^)]*import\.meta\.url/.test(code) && path.split('/').length !== 3) {
      this.error(`${path} looks for files by import.meta.url, and is not as deep as src/cli`)
    }
    return null
  },
}

/** Writes the large tables of the package `mime` as JSON in a string: V8 reads that many times as fast as such an object in code. */
const tablesAsJson = {
  name: 'golooader:tables-as-json',
  async load(id) {
    if (!/[\\/]mime[\\/]dist[\\/]types[\\/]\w+\.js$/.test(id)) return null
    const { default: table } = await import(pathToFileURL(id).href)
    return `export default JSON.parse(${JSON.stringify(JSON.stringify(table))})`
  },
}

/**
 * Each loaded file costs a third of a millisecond. So the modules that every command needs, and all that those import, are one chunk,
 * and the further modules of `send` and of `receive` are one chunk each. A module goes to the first group that matches.
 */
const groups = [
  { name: 'start', test: /src\/cli\/main\.ts$/, priority: 3 },
  { name: 'sending', test: /src\/(?:cli\/send|library\/profile|sender\/node)\.ts$/, priority: 2 },
  { name: 'receiving', test: /src\/(?:cli\/receive|receiver\/node-(?:inbox|receive))\.ts$/, priority: 1 },
]

const isPure = (id) => id.startsWith(join(root, 'src/')) || /[\\/]node_modules[\\/]typebox[\\/]/.test(id)

async function bundle() {
  const { rolldown } = await import('rolldown')
  // Taken before the files are read, so that a change during the build makes it outdated.
  const marks = new Map(otherInputs.map((path) => [path, markOf(path)]))
  const noted = {
    name: 'golooader:noted',
    load(id) {
      if (id.startsWith(join(root, 'src/'))) marks.set(relative(root, id), markOf(relative(root, id)))
      return null
    },
  }
  const build = await rolldown({
    cwd: root,
    input: { main: 'src/cli/main.ts' },
    platform: 'node',
    tsconfig: false,
    external,
    plugins: [noted, sameDepth, leanBuiltins, tablesAsJson],
    // Loading one of these packages has no side effects, whether its package.json says so or not.
    treeshake: { manualPureFunctions: ['Type'], moduleSideEffects: (id) => (isPure(id) ? false : undefined) },
    // Switches off warnings about a slow build, and about modules that one command imports dynamically and another statically.
    checks: { bundlerTimings: false, ineffectiveDynamicImport: false },
    onLog: (level, log, report) => {
      if (log.code !== 'EVAL') report(level, log)
    },
  })
  // Names of classes and functions appear in logs and problems.
  const keepNames = { function: true, class: true }
  const { output } = await build.generate({
    dir: builtFolder,
    format: 'esm',
    minify: { compress: { keepNames }, mangle: { keepNames }, codegen: true },
    comments: false,
    sourcemap: true,
    sourcemapExcludeSources: true,
    entryFileNames: '[name]-[hash].js',
    chunkFileNames: '[name]-[hash].js',
    codeSplitting: { groups },
  })
  await build.close()
  const entry = output.find((one) => one.isEntry).fileName
  const outputs = output.map((one) => one.fileName)
  const replaced = readStamp()?.outputs ?? []
  await mkdir(builtFolder, { recursive: true })
  for (const one of output) await write(join(builtFolder, one.fileName), one.code ?? one.source)
  await write(join(builtFolder, LICENSES_NAME), await licensesOf(output))
  // A fixed name for the package, which has only one build.
  await write(join(builtFolder, 'main.js'), `export { main } from './${entry}'\n`)
  const code = outputs.filter((name) => name.endsWith('.js'))
  await write(stampPath, `${JSON.stringify({ entry, inputs: Object.fromEntries(marks), outputs: code })}\n`)
  await removeOld(new Set([...outputs, LICENSES_NAME, 'main.js', 'built.json']), replaced)
}

/** Writes a file and then gives it its name, so that it is complete from the moment it can be found. */
async function write(path, content) {
  const unfinished = `${path}.${process.pid}`
  try {
    await writeFile(unfinished, content)
    await rename(unfinished, path)
  } catch (error) {
    await rm(unfinished, { force: true })
    throw error
  }
}

/** @param replaced the files of the previous build. They are kept from now on, however old they are */
async function removeOld(current, replaced) {
  const now = new Date()
  for (const name of replaced) await utimes(join(builtFolder, name), now, now).catch(() => {})
  for (const name of await readdir(builtFolder)) {
    const path = join(builtFolder, name)
    const stats = current.has(name) ? null : await stat(path).catch(() => null)
    if (stats !== null && Date.now() - stats.mtimeMs > KEEP_MS) await rm(path, { recursive: true, force: true })
  }
}

/** The licence texts of the bundled packages, which have to accompany copies. */
async function licensesOf(output) {
  const folders = new Set()
  for (const { moduleIds = [] } of output) {
    for (const id of moduleIds) {
      const found = /^(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/.exec(id)
      if (found !== null) folders.add(found[1])
    }
  }
  // Many packages have the same text.
  const packagesByText = new Map()
  for (const folder of [...folders].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
    const file = (await readdir(folder)).find((one) => /^(?:licen[cs]e|copying)/i.test(one))
    const text = file === undefined ? '' : (await readFile(join(folder, file), 'utf8')).trim()
    packagesByText.set(text, [...(packagesByText.get(text) ?? []), `${name} ${version}: ${license}`])
  }
  const blocks = [...packagesByText].map(([text, packages]) => `${packages.join('\n')}\n\n${text}\n`)
  return blocks.join(`\n${'-'.repeat(80)}\n`)
}

/** Errors of the system (a full disk, a folder of another user) are no bug of the builder, so one line reports them. */
function told(error) {
  if (error?.syscall === undefined) throw error
  process.stderr.write(`golooader: the bundle of the command line cannot be written: ${error.message}\n`)
  process.exitCode = 1
}

if (hasBundler()) await bundle().catch(told)
