/** The command line starts from one bundle, which is rebuilt whenever a source has changed. */
import { execFile } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { builtCheckout, copyOfCheckout, root, temporaryFolder } from './checkout.ts'

const run = promisify(execFile)

/** Runs the command line of a checkout. */
async function golooader(checkout: string, args: readonly string[], nodeOptions = '') {
  const env = { PATH: process.env.PATH, HOME: temporaryFolder(), NODE_OPTIONS: nodeOptions }
  return run(process.execPath, [join(checkout, 'bin/golooader.js'), ...args], { env })
}

/** The output of a run that must fail. */
async function failure(args: readonly string[], nodeOptions: string): Promise<{ code: number; stderr: string }> {
  return golooader(root, args, nodeOptions).then(
    () => expect.fail('it ended well'),
    ({ code, stderr }) => ({ code, stderr }),
  )
}

/** For NODE_OPTIONS: code that runs first. */
function first(code: string): string {
  const path = join(temporaryFolder(), 'first.mjs')
  writeFileSync(path, code)
  return `--import=${path}`
}

describe('a checkout', () => {
  test('runs the current sources, also when several commands start right after a change', async () => {
    const checkout = await builtCheckout()
    const main = join(checkout, 'src/cli/main.ts')
    expect((await golooader(checkout, ['--help'])).stdout).toContain('Or see it all at work')
    const built = readdirSync(join(checkout, 'dist/cli'))
    writeFileSync(main, readFileSync(main, 'utf8').replace('Or see it all at work', 'Or watch it'))
    const ended = await Promise.all(Array.from({ length: 2 }, () => golooader(checkout, ['--help'])))
    for (const { stdout, stderr } of ended) {
      expect(stdout).toContain('Or watch it')
      expect(stderr).toBe('')
    }
    const rebuilt = readdirSync(join(checkout, 'dist/cli'))
    // A program that was started earlier still finds the modules that it loads later, and no module is partly written.
    expect(rebuilt).toEqual(expect.arrayContaining(built))
    expect(rebuilt.filter((name) => !/\.(?:js|js\.map|json|txt)$/.test(name))).toEqual([])
  })

  test('does not build again when nothing has changed', async () => {
    const checkout = await builtCheckout()
    const stamp = join(checkout, 'dist/cli/built.json')
    appendFileSync(stamp, '\n')
    const before = readFileSync(stamp, 'utf8')
    await golooader(checkout, ['--version'])
    expect(readFileSync(stamp, 'utf8')).toBe(before)
  })

  test.each<[what: string, harm: (folder: string, stamp: { entry: string; outputs: string[] }) => void]>([
    ['a file of it is missing', (folder, { outputs }) => rmSync(join(folder, outputs.at(-1) ?? ''))],
    ['its entry is missing', (folder, { entry }) => rmSync(join(folder, entry))],
    ['its stamp is cut off', (folder) => truncateSync(join(folder, 'built.json'), 20)],
    ['its stamp says nothing', (folder) => writeFileSync(join(folder, 'built.json'), 'null')],
    [
      'its stamp names nothing',
      (folder) => writeFileSync(join(folder, 'built.json'), '{"entry":"main-x.js","inputs":{}}'),
    ],
  ])('builds again where %s', async (_, harm) => {
    const checkout = await builtCheckout()
    const folder = join(checkout, 'dist/cli')
    const stampOf = () => JSON.parse(readFileSync(join(folder, 'built.json'), 'utf8'))
    const { entry, outputs } = stampOf()
    harm(folder, { entry, outputs })
    const { stdout, stderr } = await golooader(checkout, ['send', '--help'])
    expect(stdout).toContain('golooader send report.pdf --to bob')
    expect(stderr).toBe('')
    expect(stampOf()).toMatchObject({ entry, outputs })
    expect(outputs.filter((name: string) => !existsSync(join(folder, name)))).toEqual([])
  })

  test('keeps the modules that a program loads that was started before a build, however old they are', async () => {
    const checkout = await builtCheckout()
    const folder = join(checkout, 'dist/cli')
    const built = readdirSync(folder)
    const dayAgo = new Date(Date.now() - 86_400_000)
    for (const name of built) utimesSync(join(folder, name), dayAgo, dayAgo)
    const main = join(checkout, 'src/cli/main.ts')
    writeFileSync(main, readFileSync(main, 'utf8').replace('Or see it all at work', 'Or watch it'))
    expect((await golooader(checkout, ['--help'])).stdout).toContain('Or watch it')
    const code = (names: string[]) => names.filter((name) => name.endsWith('.js'))
    expect(code(readdirSync(folder))).toEqual(expect.arrayContaining(code(built)))
  })

  test('without write permission runs its sources, and says so in one line', async () => {
    const checkout = await builtCheckout()
    const main = join(checkout, 'src/cli/main.ts')
    writeFileSync(main, readFileSync(main, 'utf8').replace('Or see it all at work', 'Or watch it'))
    const args = [process.execPath, join(checkout, 'bin/golooader.js'), '--help']
    for (const path of [checkout, join(checkout, 'dist'), join(checkout, 'dist/cli')]) chmodSync(path, 0o555)
    // The superuser can write everywhere, unless it gives up its capabilities.
    const isRoot = process.getuid?.() === 0
    const [program = '', ...rest] = isRoot ? ['setpriv', '--bounding-set=-all', '--inh-caps=-all', ...args] : args
    const env = { PATH: process.env.PATH, HOME: temporaryFolder() }
    const { stdout, stderr } = await run(program, rest, { env })
    expect(stdout).toContain('Or watch it')
    expect(stderr).toMatch(/^golooader: this user may not write .*dist\/cli \(EACCES\), so the sources run .*\n$/)
  })

  test('without a bundler runs its sources directly', async () => {
    const checkout = copyOfCheckout(['rolldown'])
    const { stdout, stderr } = await golooader(checkout, ['send', '--help'])
    expect(stdout).toContain('golooader send report.pdf --to bob')
    expect(stderr).toBe('')
    expect(existsSync(join(checkout, 'dist/cli'))).toBe(false)
  })

  test('says why it cannot be bundled', async () => {
    const checkout = copyOfCheckout()
    appendFileSync(join(checkout, 'src/cli/text.ts'), '\nexport const = 1\n')
    await expect(golooader(checkout, ['send', '--help'])).rejects.toMatchObject({
      stderr: expect.stringMatching(/src\/cli\/text\.ts/),
    })
  })
})

describe('a stack', () => {
  const demo = readFileSync(join(root, 'src/cli/demo.ts'), 'utf8').split('\n')
  const line = demo.findIndex((text) => text.includes('await mkdtemp(')) + 1
  const place = new RegExp(`at demo .*${join(root, 'src/cli/demo.ts')}:${line}:\\d+`)

  test('of an unexpected error in a command names the sources', async () => {
    const code = `import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module'
      fs.promises.mkdtemp = () => { throw new RangeError('broken for this test') }
      syncBuiltinESMExports()`
    const { code: exitCode, stderr } = await failure(['demo'], first(code))
    expect(stderr).toMatch(/^golooader: this is a bug, please report it:\nRangeError: broken for this test\n/)
    expect(stderr).toMatch(place)
    expect(exitCode).toBe(1)
  })

  test('of an uncaught error names the sources, and does not print the line of the bundle', async () => {
    const code = `import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module'
      fs.promises.mkdtemp = () => {
        const error = new RangeError('broken for this test')
        setImmediate(() => { throw error })
        return new Promise(() => {})
      }
      syncBuiltinESMExports()`
    const { code: exitCode, stderr } = await failure(['demo'], first(code))
    expect(stderr).toMatch(/^golooader: this is a bug, please report it:\nRangeError: broken for this test\n/)
    expect(stderr).toMatch(place)
    expect(Math.max(...stderr.split('\n').map((text) => text.length))).toBeLessThan(400)
    expect(exitCode).toBe(1)
  })
})

describe('a command loads only what it needs:', () => {
  /** The packages, and the folders of this project, from which a command has loaded code when it ends. */
  async function loadedBy(...args: string[]): Promise<string[]> {
    const sources = (await chunksLoadedBy(...args)).flatMap(
      (url): string[] => JSON.parse(readFileSync(new URL(`${url}.map`), 'utf8')).sources,
    )
    const names = sources.map((path) => /(?:node_modules\/(?:@[^/]+\/)?[^/]+|src\/[^/]+)(?=\/)/.exec(path)?.[0] ?? path)
    return [...new Set(names)].sort()
  }

  async function chunksLoadedBy(...args: string[]): Promise<string[]> {
    const list = join(temporaryFolder(), 'loaded')
    const hook = first(`import { registerHooks } from 'node:module'; import { appendFileSync } from 'node:fs'
      registerHooks({ load: (url, context, next) => {
        appendFileSync(${JSON.stringify(list)}, url + '\\n')
        return next(url, context)
      } })`)
    await golooader(root, args, hook)
    const urls = readFileSync(list, 'utf8').trim().split('\n')
    return urls.filter((url) => url.includes('/dist/cli/') && existsSync(new URL(`${url}.map`)))
  }

  test('--version loads only the command line itself', async () => {
    // Of the other folders it needs the one file that names errors of the system.
    expect(await loadedBy('--version')).toEqual(['node_modules/commander', 'src/cli', 'src/fs'])
  })

  test('send and receive load few files, because each costs time', async () => {
    // Beside the entry: the modules for every command, those for sending, and for a receiver those for receiving.
    expect(await chunksLoadedBy('send', '--help')).toHaveLength(2)
    expect(await chunksLoadedBy('receive', '--help')).toHaveLength(3)
  })

  test.each(['send', 'receive', 'status'])('%s loads no server, no database and no SDK', async (command) => {
    const loaded = await loadedBy(command, '--help')
    expect(loaded).toContain('src/protocol')
    expect(loaded.filter((name) => /fastify|pino|prom-client|kysely|\/pg|aws|smithy|src\/portal/.test(name))).toEqual(
      [],
    )
  })
})

describe('compiled code is cached', () => {
  /** The content of a folder after a command has used it as its cache. */
  async function leftIn(folder: string, variables: Readonly<Record<string, string>>): Promise<string[]> {
    const env = { PATH: process.env.PATH, ...variables }
    await run(process.execPath, [join(root, 'bin/golooader.js'), '--version'], { env, cwd: folder })
    return readdirSync(folder, { recursive: true }).map(String)
  }

  test('in the cache folder of the user', async () => {
    const folder = temporaryFolder()
    expect((await leftIn(folder, { HOME: folder })).length).toBeGreaterThan(2)
    expect(statSync(join(folder, '.cache/golooader')).mode & 0o777).toBe(0o700)
  })

  test('never in a folder that depends on the working directory', async () => {
    expect(await leftIn(temporaryFolder(), { HOME: 'home', XDG_CACHE_HOME: 'cache' })).toEqual([])
    expect(await leftIn(temporaryFolder(), { HOME: '' })).toEqual([])
  })

  test('never where others can write, because it runs without another check', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'golooader'))
    chmodSync(join(folder, 'golooader'), 0o777)
    expect(await leftIn(folder, { XDG_CACHE_HOME: folder })).toEqual(['golooader'])
    chmodSync(join(folder, 'golooader'), 0o700)
    rmSync(join(folder, 'golooader'), { recursive: true })
    symlinkSync(temporaryFolder(), join(folder, 'golooader'))
    expect(await leftIn(folder, { XDG_CACHE_HOME: folder })).toEqual(['golooader'])
  })
})
