/** Ensures that the built page matches its sources: tests start portals that serve it. */
import { execFile } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { oncePerRun } from '../servers/run.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const BUILT_PATH = join(root, 'dist/page/index.html')
/** The sources of the page: shared folders, its own, and the build. */
const sources = ['src', 'package-lock.json'].map((name) => join(root, name))

/** The same as {@link buildPage}, once a run. Every test that needs the page awaits this. */
export function builtPage(): Promise<void> {
  return oncePerRun('page', buildPage)
}

/** Builds the page where it is missing or older than its sources. */
export async function buildPage(): Promise<void> {
  if (!isStale()) return
  // It runs in a process of its own, because Vite builds differently where NODE_ENV is `test`.
  const args = [join(root, 'node_modules/vite/bin/vite.js'), 'build', join(root, 'src/page'), '--logLevel', 'warn']
  await run(process.execPath, args, { env: { ...process.env, NODE_ENV: 'production' } })
}

function isStale(): boolean {
  const builtMs = changedMs(BUILT_PATH)
  return builtMs === null || sources.some((path) => newestMs(path) > builtMs)
}

function newestMs(path: string): number {
  const stats = statSync(path)
  if (!stats.isDirectory()) return stats.mtimeMs
  return readdirSync(path).reduce((newest, name) => Math.max(newest, newestMs(join(path, name))), stats.mtimeMs)
}

function changedMs(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? null
}
