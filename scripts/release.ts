/**
 * `npm run release -- VERSION`: makes a release in this checkout and publishes nothing.
 *
 * It writes the version into package.json and package-lock.json, gives the changes under "Unreleased" that version and today's
 * date, packs, installs the package in an empty folder under the oldest Node that `engines` allows, runs it there, commits, and
 * tags. Where a step fails, the checkout is as it was before.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const root = join(import.meta.dirname, '..')
/** What a registry and the people who find a package there need, and what only the owner of the repository knows. */
const FIELDS = ['repository', 'bugs', 'homepage', 'author', 'license', 'keywords'] as const
const CHANGED = ['package.json', 'package-lock.json', 'CHANGELOG.md']
const UNRELEASED = '## Unreleased\n'
const VERSION = /^\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/
const USAGE = `usage: npm run release -- VERSION [--node PATH]

VERSION is like 0.2.0 or 0.2.0-rc.1. --node names the Node that runs the packed program once before it is tagged;
without it the oldest one that package.json allows is fetched from the registry.`

class ReleaseError extends Error {
  override readonly name = 'ReleaseError'
}

try {
  release()
} catch (error) {
  if (!(error instanceof ReleaseError)) throw error
  console.error(`release: ${error.message}`)
  process.exitCode = 1
}

function release(): void {
  const { version, nodePath } = parsed()
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  checkManifest(manifest)
  if (git('status', '--porcelain') !== '') throw new ReleaseError('the checkout has changes: commit them first')
  const tag = `v${version}`
  if (git('tag', '--list', tag) !== '') throw new ReleaseError(`there is a tag ${tag} already`)
  let tarball = ''
  try {
    writeFileSync(join(root, 'CHANGELOG.md'), changelogOf(version))
    run('npm', ['version', version, '--no-git-tag-version', '--allow-same-version', '--ignore-scripts'])
    tarball = packed()
    smokeTest(tarball, version, nodePath ?? fetchedNode(manifest.engines.node))
    git('add', ...CHANGED)
    git('commit', '--quiet', '--message', `Release ${version}`)
    git('tag', '--annotate', tag, '--message', `GoLooader ${version}`)
  } catch (error) {
    git('checkout', '--quiet', 'HEAD', '--', ...CHANGED)
    if (tarball !== '') rmSync(join(root, tarball), { force: true })
    throw error
  }
  console.log(`${tag} is committed and tagged, ${tarball} is packed and has been tried. To publish it:
  git push --follow-tags
  npm publish ${tarball}`)
}

function parsed(): { version: string; nodePath: string | null } {
  try {
    const { values, positionals } = parseArgs({ options: { node: { type: 'string' } }, allowPositionals: true })
    const [version = '', ...rest] = positionals
    if (!VERSION.test(version) || rest.length > 0) throw new ReleaseError(USAGE)
    return { version, nodePath: values.node ?? null }
  } catch (cause) {
    throw new ReleaseError(USAGE, { cause })
  }
}

function checkManifest(manifest: Readonly<Record<string, unknown>>): void {
  const missing = FIELDS.filter((field) => manifest[field] === undefined)
  if (missing.length > 0)
    throw new ReleaseError(`package.json has no ${missing.join(', ')}: see CONTRIBUTING.md, Releases`)
  const { repository } = manifest
  if (typeof repository !== 'object' || repository === null || !('type' in repository && 'url' in repository))
    throw new ReleaseError('repository in package.json must be an object with type and url')
}

/** CHANGELOG.md with what is unreleased under the version, and an empty "Unreleased" above it. */
function changelogOf(version: string): string {
  const text = readFileSync(join(root, 'CHANGELOG.md'), 'utf8')
  const [before, after] = text.split(UNRELEASED)
  const changes = after?.split(/^## /m)[0]?.trim() ?? ''
  if (before === undefined || after === undefined || changes === '') {
    throw new ReleaseError('CHANGELOG.md has nothing under "## Unreleased"')
  }
  const date = new Date().toISOString().slice(0, 10)
  return `${before}${UNRELEASED}\n## ${version} (${date})\n${after}`
}

/** @returns the name of the package's file */
function packed(): string {
  const [{ filename }] = JSON.parse(run('npm', ['pack', '--json', '--silent']).replace(/^[^[]*/, ''))
  return String(filename)
}

/** Installs the package as a user does, and delivers a file with it. */
function smokeTest(tarball: string, version: string, node: string): void {
  const folder = mkdtempSync(join(tmpdir(), 'golooader-release-'))
  try {
    run('npm', ['init', '--yes', '--silent'], folder)
    run('npm', ['install', '--no-audit', '--no-fund', '--silent', '--prefer-offline', join(root, tarball)], folder)
    const bin = join(folder, 'node_modules/golooader/bin/golooader.js')
    const told = run(node, [bin, '--version'], folder).trim()
    if (told !== version) throw new ReleaseError(`the packed program says that it is ${told}`)
    const demo = run(node, [bin, 'demo', bin], folder)
    if (!demo.includes('the delivered file is the sent one')) throw new ReleaseError(`the packed demo failed:\n${demo}`)
    const entries = Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).exports)
    const imports = entries.map((entry) => `await import('golooader${entry.slice(1)}')`).join('\n')
    writeFileSync(join(folder, 'entries.mjs'), imports)
    run(node, ['entries.mjs'], folder)
    console.log(`the package works under Node ${run(node, ['--version'], folder).trim()}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** @returns the oldest Node that the package allows, from the registry: the package `node` has a program for each platform */
function fetchedNode(range: string): string {
  const oldest = /^>=(\d+)(?:\.(\d+)\.(\d+))?$/.exec(range)
  if (oldest === null) throw new ReleaseError(`cannot tell the oldest Node of "${range}"`)
  const [, major, minor = '0', patch = '0'] = oldest
  const version = `${major}.${minor}.${patch}`
  const folder = join(tmpdir(), `golooader-node-${version}`)
  const path = join(folder, 'node_modules/node/bin/node')
  if (!existsSync(path))
    run('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', '--silent', `node@${version}`])
  return path
}

function git(...args: string[]): string {
  return run('git', args).trim()
}

function run(program: string, args: readonly string[], cwd = root): string {
  try {
    return execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 2 ** 30 })
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string }
    throw new ReleaseError(`${program} ${args.join(' ')} failed:\n${stderr}${stdout}`, { cause })
  }
}
