/**
 * `npm run test:all`: every test, in the runs of Vitest that `tiers.ts` lists. Files with failed tests then run once more, each alone, unless
 * there are many of them.
 *
 * `--results FOLDER` keeps the results of each run there, and `summary.json`. `--rest` leaves out what `npm test` runs; its results are
 * taken from `fast.json` in that folder.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildPage } from './page/built.ts'
import {
  failedOf,
  filesOf,
  isBroken,
  RESULTS_VARIABLE,
  type RunResults,
  readResults,
  summaryOf,
  toldOf,
  withSecondRun,
} from './results.ts'
import { type Project, runs } from './tiers.ts'

/** More failed files than these are no noise of a busy machine. */
const SECOND_RUNS_MAX = 12

const root = join(import.meta.dirname, '..')
const vitest = join(root, 'node_modules/vitest/vitest.mjs')
const { values } = parseArgs({ options: { rest: { type: 'boolean', default: false }, results: { type: 'string' } } })
const folder = values.results ?? mkdtempSync(join(tmpdir(), 'golooader-results-'))
if (values.results === undefined) process.once('exit', () => rmSync(folder, { recursive: true }))

const running = new Set<ChildProcess>()
// A terminal sends Ctrl-C to all of its processes. This one waits for the others.
process.on('SIGINT', () => {})
for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    for (const child of running) child.kill(signal)
  })
}

// Built first, because concurrent runs would build it at the same time.
await buildPage()
const results: (RunResults | null)[] = values.rest && values.results !== undefined ? [readResults(pathOf('fast'))] : []
for (const atOnce of runs) results.push(...(await Promise.all(atOnce.map(runProjects))))

const first = results.flatMap((one) => one?.tests ?? [])
const files = filesOf(failedOf(first))
let last = first
if (files.length > SECOND_RUNS_MAX) console.log(`\n${files.length} files failed: too many to run them once more.`)
else {
  for (const [index, { project, file }] of files.entries()) {
    console.log(`\nOnce more, on its own: ${project}: ${file}`)
    const again = await run([project], `again-${index + 1}`, join(root, file))
    if (!isBroken(again)) last = withSecondRun(last, again?.tests ?? [])
  }
}

const summary = summaryOf(first, last, results.filter(isBroken).length)
if (values.results !== undefined) writeFileSync(pathOf('summary'), `${JSON.stringify(summary, null, 2)}\n`)
console.log()
for (const test of summary.passedAlone) console.log(`PASSED ON ITS OWN, failed beside others: ${toldOf(test)}`)
for (const test of failedOf(last)) console.log(`FAILED: ${toldOf(test)}`)
for (const error of results.flatMap((one) => one?.errors ?? [])) console.log(`FAILED outside of a test: ${error}`)
console.log(`${summary.passed} passed, ${summary.failed} failed`)
if (summary.failed > 0) process.exitCode = 1

function runProjects(projects: readonly Project[]): Promise<RunResults | null> {
  const names = projects.filter((name) => !(values.rest && name === 'fast'))
  return run(names, names.join('-'))
}

function run(projects: readonly string[], name: string, ...files: string[]): Promise<RunResults | null> {
  const args = ['run', ...projects.flatMap((project) => ['--project', project]), ...files]
  const path = pathOf(name)
  // Without a terminal each run prints whole lines. Colours stay.
  const colours = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}
  const env = { ...process.env, ...colours, [RESULTS_VARIABLE]: path }
  const child = spawn(process.execPath, [vitest, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  child.stdout.pipe(process.stdout, { end: false })
  child.stderr.pipe(process.stderr, { end: false })
  return new Promise((resolve, reject) => {
    child.once('error', reject).once('close', () => {
      running.delete(child)
      resolve(readResults(path))
    })
  })
}

function pathOf(name: string): string {
  return join(folder, `${name}.json`)
}
