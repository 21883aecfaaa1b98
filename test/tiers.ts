/**
 * Which project of Vitest a test file belongs to. It follows from the file's folder and from its imports. A line in the
 * file can override it: `// @tier fast` or `// @tier stress`.
 *
 * - `structure`: looks at the sources alone.
 * - `fast`: needs no server, no browser, no root and no name spaces. This is `npm test`. Marked files of `test/e2e` bring the main job and
 *   each row of the two notifications.
 * - `integration`: needs servers of Debian's: PostgreSQL, S3, balancers, proxies, poolers, file systems.
 * - `browser`: needs Chromium or WebKitGTK. The project `firefox` runs some of these files again, in Firefox.
 * - `e2e`: starts portals, senders and receivers as processes.
 * - `stress`: holds bounds on time, processor time and memory. Every other test passes on a machine that is ten times as slow.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { importsOf, root } from './structure/sources.ts'

export const tiers = ['structure', 'fast', 'integration', 'browser', 'e2e', 'stress'] as const
export type Tier = (typeof tiers)[number]
/** `firefox` runs files of `browser` again. */
export type Project = Tier | 'firefox'

/**
 * How `npm run test:all` runs the projects: those of one row at the same time, in a run of Vitest for each list.
 * Browsers need more processor time than the other tests, which mostly wait. Measurements run alone on the machine.
 */
export const runs: readonly (readonly (readonly Project[])[])[] = [
  [
    ['structure', 'fast', 'integration', 'e2e'],
    ['browser', 'firefox'],
  ],
  [['stress']],
]

/**
 * Files of `browser` that the project `firefox` leaves out. They test the model and the core behind the page, which do not depend on the
 * browser. Single tests of other files are marked by `chromiumTest` (`test/page/harness/once.ts`).
 */
export const chromiumFiles: readonly string[] = [
  'test/e2e/page/deceived.test.ts',
  'test/e2e/page/decide.test.ts',
  'test/e2e/page/operator.test.ts',
  'test/e2e/page/restored.test.ts',
  'test/e2e/page/troubles.test.ts',
  'test/e2e/page/webkit.test.ts',
  'test/page/history.test.ts',
]

/** In a run of several projects, those whose files wait longest come first. */
export const projectsInOrder: readonly string[] = [
  'integration',
  'e2e',
  'firefox',
  'browser',
  'fast',
  'structure',
  'stress',
]

/** Files that take longest, as `test/reporter.ts` lists them. They start first. */
export const longFiles: readonly string[] = [
  'test/drivers/inbox.test.ts',
  'test/drivers/postgres.test.ts',
  'test/e2e/load-balancer/limits.test.ts',
  'test/e2e/load-balancer/node-away.test.ts',
  'test/e2e/page/many.test.ts',
  'test/e2e/page/receive.test.ts',
  'test/e2e/program/bundle.test.ts',
  'test/e2e/program/release.test.ts',
  'test/e2e/several/node-killed.test.ts',
  'test/e2e/several/rolling-restart.test.ts',
  'test/e2e/several/what-they-share.test.ts',
  'test/e2e/services/systemd.test.ts',
  'test/e2e/trust/one-key.test.ts',
  'test/e2e/week/week.test.ts',
  'test/mounts/kill.test.ts',
  'test/page/sender.test.ts',
]

/** A line of its own in a test file whose project its folder and its imports do not tell: `// @tier stress`. */
const MARK = /^\/\/ @tier (\S+)$/m
/** What a file without a server may import of `test/servers`. */
const SERVERLESS = new Set(['test/servers/run.ts', 'test/servers/server-process.ts'])
const BROWSERS = new Set(['engine', 'webkit'].map((name) => `test/page/harness/${name}.ts`))
const PROCESSOR_TIME = 'test/suites/cpu.ts'
/** Makes a name space, in which a test mounts a small disk or is root. */
const NAME_SPACE = /['"]unshare['"]/

/** The test files of every tier, relative to the repository. */
export function filesOfTiers(): Record<Tier, string[]> {
  const files: Record<Tier, string[]> = { structure: [], fast: [], integration: [], browser: [], e2e: [], stress: [] }
  const names = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  for (const name of names.filter((one) => one.endsWith('.test.ts')).sort()) {
    const path = `test/${name.replaceAll('\\', '/')}`
    files[tierOf(path)].push(path)
  }
  return files
}

function tierOf(path: string): Tier {
  const [, marked] = MARK.exec(textOf(path)) ?? []
  if (marked !== undefined) return knownTier(marked, path)
  const folder = path.split('/')[1] ?? ''
  if (folder === 'structure') return 'structure'
  if (folder === 'stress' || folder === 'bench') return 'stress'
  if (folder === 'proxies' || folder === 'mounts') return 'integration'
  const needed = needs(path)
  if (needed.processorTime) return 'stress'
  if (needed.servers) return 'integration'
  if (needed.browsers) return 'browser'
  return folder === 'e2e' || needed.nameSpaces ? 'e2e' : 'fast'
}

function knownTier(name: string, path: string): Tier {
  const tier = tiers.find((one) => one === name)
  if (tier === undefined) throw new Error(`${path}: there is no tier ${name}`)
  return tier
}

/** What a test file needs, or anything that it imports. */
function needs(path: string): Readonly<Record<'servers' | 'browsers' | 'nameSpaces' | 'processorTime', boolean>> {
  const seen = new Set<string>()
  const open = [path]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (seen.has(next) || !next.startsWith('test/') || !existsSync(join(root, next))) continue
    seen.add(next)
    // What starts a browser asks for its programs, as what starts a server does.
    if (!BROWSERS.has(next)) open.push(...targetsOf(next))
  }
  return {
    servers: [...seen].some((one) => one.startsWith('test/servers/') && !SERVERLESS.has(one)),
    browsers: [...seen].some((one) => BROWSERS.has(one)),
    processorTime: seen.has(PROCESSOR_TIME),
    nameSpaces: NAME_SPACE.test(textOf(path)),
  }
}

/** Many files import the same ones. */
const targets = new Map<string, string[]>()

function targetsOf(path: string): string[] {
  const known = targets.get(path)
  if (known !== undefined) return known
  const imports = importsOf({ path, text: textOf(path) }).filter(({ kind }) => kind !== 'type')
  const found = imports.flatMap(({ target }) => target ?? [])
  targets.set(path, found)
  return found
}

function textOf(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}
