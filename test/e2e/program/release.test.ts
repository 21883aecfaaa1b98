/**
 * `npm run release`: a release is packed, tested and tagged, or the checkout stays unchanged. Its package is the
 * command line and the library, with types that every consumer resolves.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { serverFolder } from '../../servers/run.ts'
import { copyInto, copyOfCheckout, linkPackages, root, temporaryFolder } from './checkout.ts'

const run = promisify(execFile)
const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** The package is built, installed and run. */
const RELEASE_MS_MAX = 600_000
const identity = ['-c', 'user.name=Test', '-c', 'user.email=test@example.invalid']

/** Turns a copy of the checkout into a repository, with the fields that only an owner can fill in. */
function repository(fields: Readonly<Record<string, unknown>>, folder = copyOfCheckout()): string {
  edit(folder, 'package.json', (text) => JSON.stringify({ ...JSON.parse(text), ...fields }, null, 2))
  edit(folder, 'CHANGELOG.md', (text) => text.replace('## Unreleased\n', '## Unreleased\n\n- A change for the test.\n'))
  git(folder, 'init', '--quiet')
  // Links to the packages of this checkout are no folders, so the entry in .gitignore does not match them.
  writeFileSync(join(folder, '.git/info/exclude'), 'node_modules\n')
  commit(folder)
  return folder
}

const owned = {
  repository: { type: 'git', url: 'git+https://forge.example/golooader.git' },
  bugs: 'https://forge.example/golooader/issues',
  homepage: 'https://forge.example/golooader',
}

function edit(folder: string, path: string, change: (text: string) => string): void {
  writeFileSync(join(folder, path), change(readFileSync(join(folder, path), 'utf8')))
}

function git(folder: string, ...args: string[]): string {
  return execFileSync('git', [...identity, ...args], { cwd: folder, encoding: 'utf8' })
}

function commit(folder: string): void {
  git(folder, 'add', '--all')
  git(folder, 'commit', '--quiet', '--message', 'All of it')
}

function release(folder: string, ...args: string[]) {
  const env = {
    ...process.env,
    GIT_AUTHOR_NAME: 'Test',
    GIT_AUTHOR_EMAIL: 'test@example.invalid',
    GIT_COMMITTER_NAME: 'Test',
    GIT_COMMITTER_EMAIL: 'test@example.invalid',
  }
  return spawnSync(process.execPath, ['scripts/release.ts', ...args], { cwd: folder, env, encoding: 'utf8' })
}

const VERSION = '9.8.7'
let made: (ReturnType<typeof release> & { readonly folder: string }) | null = null

/** A release with everything built, and its package. The first test that needs it makes it. */
function released() {
  if (made === null) {
    const folder = serverFolder('release')
    copyInto(folder)
    repository(owned, folder)
    made = { folder, ...release(folder, VERSION, '--node', process.execPath) }
  }
  return made
}

test('a release has its version, its changes, a commit, a tag, and a package that works', {
  timeout: RELEASE_MS_MAX,
}, () => {
  const { folder, status, stdout, stderr } = released()
  expect(status, `${stdout}${stderr}`).toBe(0)
  expect(stdout).toContain(`the package works under Node ${process.version}`)
  expect(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version).toBe('9.8.7')
  expect(JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).version).toBe('9.8.7')
  const changes = readFileSync(join(folder, 'CHANGELOG.md'), 'utf8')
  expect(changes).toMatch(/^## Unreleased\n\n## 9\.8\.7 \(\d{4}-\d\d-\d\d\)\n\n- A change for the test\.$/m)
  expect(git(folder, 'log', '-1', '--format=%s')).toBe('Release 9.8.7\n')
  expect(git(folder, 'describe', '--exact-match')).toBe('v9.8.7\n')
  expect(git(folder, 'status', '--porcelain')).toBe('')
  expect(existsSync(join(folder, 'golooader-9.8.7.tgz'))).toBe(true)

  const again = release(folder, '9.8.7')
  expect(again.status).toBe(1)
  expect(again.stderr).toContain('there is a tag v9.8.7 already')
  const empty = release(folder, '9.8.8')
  expect(empty.status).toBe(1)
  expect(empty.stderr).toContain('nothing under "## Unreleased"')
})

test('a release whose package does not work leaves the checkout unchanged', { timeout: RELEASE_MS_MAX }, () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  // Nothing is built, so the package lacks its program. Its dependencies are not used.
  const folder = repository({ ...owned, dependencies: {}, scripts: { ...manifest.scripts, prepack: 'true' } })
  const head = git(folder, 'rev-parse', 'HEAD')
  const { status, stderr } = release(folder, '9.8.7', '--node', process.execPath)
  expect(status).toBe(1)
  expect(stderr).toMatch(/^release: \S+node .+ failed/m)
  expect(git(folder, 'rev-parse', 'HEAD')).toBe(head)
  expect(git(folder, 'status', '--porcelain')).toBe('')
  expect(git(folder, 'tag')).toBe('')
  expect(existsSync(join(folder, 'golooader-9.8.7.tgz'))).toBe(false)
})

test('a release needs a version, a clean checkout, and the fields that only the owner can fill in', () => {
  const folder = repository({})
  expect(release(folder).stderr).toContain('usage: npm run release -- VERSION')
  expect(release(folder, 'next').stderr).toContain('usage: npm run release -- VERSION')
  const { status, stderr } = release(folder, '9.8.7')
  expect(status).toBe(1)
  expect(stderr).toContain('package.json has no repository, bugs, homepage: see CONTRIBUTING.md, Releases')
  const withFields = (fields: object) => (text: string) => JSON.stringify({ ...JSON.parse(text), ...fields })
  edit(folder, 'package.json', withFields({ ...owned, repository: 'forge.example/golooader' }))
  expect(release(folder, '9.8.7').stderr).toContain('repository in package.json must be an object with type and url')
  edit(folder, 'package.json', withFields(owned))
  expect(release(folder, '9.8.7').stderr).toContain('the checkout has changes')
})

function tarballPath(): string {
  return join(released().folder, `golooader-${VERSION}.tgz`)
}

/** Unpacks the package into `node_modules`, with its dependencies and nothing else. */
async function installed(): Promise<string> {
  const folder = temporaryFolder()
  const packages = join(folder, 'node_modules')
  mkdirSync(join(packages, 'golooader'), { recursive: true })
  await run('tar', ['-xzf', tarballPath(), '--strip-components=1', '-C', join(packages, 'golooader')])
  linkPackages(Object.keys(dependencies), packages)
  return folder
}

test('the package runs its commands, and is a library', { timeout: RELEASE_MS_MAX }, async () => {
  const folder = await installed()
  const env = { PATH: process.env.PATH, HOME: folder, TMPDIR: folder }
  const golooader = (...args: string[]) =>
    run(process.execPath, [join(folder, 'node_modules/golooader/bin/golooader.js'), ...args], { env, cwd: folder })

  expect((await golooader('--version')).stdout).toBe(`${VERSION}\n`)
  writeFileSync(join(folder, 'report.txt'), 'all is well\n')
  const { stdout: told } = await golooader('demo', 'report.txt')
  expect(told).toContain('delivered to bob: arrived, intact, receipt verified')
  expect(told).toContain('the delivered file is the sent one')

  const script = join(folder, 'script.mjs')
  writeFileSync(
    script,
    `import { GoLooaderError, openProfile, startPortal } from 'golooader'
     const portal = await startPortal({ dataFolder: 'data', listenPort: 0 })
     const page = await fetch(portal.url)
     console.log(typeof openProfile, typeof GoLooaderError, (await portal.invite('bob')).startsWith(portal.url), page.status)
     await portal.close()`,
  )
  expect((await run(process.execPath, [script], { env, cwd: folder })).stdout).toBe('function function true 200\n')

  await run(process.execPath, [
    join(root, 'node_modules/publint/src/cli.js'),
    'run',
    '--strict',
    join(folder, 'node_modules/golooader'),
  ])
  // It is an ES module only. Node reports that to `require` of CommonJS.
  await run(process.execPath, [
    join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js'),
    tarballPath(),
    '--profile',
    'esm-only',
  ])

  const built = join(folder, 'node_modules/golooader/dist')
  expect(existsSync(join(built, 'index.d.ts'))).toBe(true)
  // There is one complete build with the licenses of the bundled code, and nothing of this machine.
  const names = readdirSync(join(built, 'cli'))
  expect(names).toEqual(expect.arrayContaining(['LICENSES.txt', 'main.js']))
  expect(names).not.toContain('built.json')
  expect(names.filter((name) => /^main-.*\.js$/.test(name))).toHaveLength(1)
})
